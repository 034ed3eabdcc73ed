package wire

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Explain says in plain words what is wrong with JSON, and where: where is the name of the whole, and may be empty.
func Explain(where string, err error) string {
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &syntax):
		reason := syntax.Err.Error()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			reason = "it ends too early"
		}
		return join(where, "not valid JSON at byte "+strconv.FormatInt(syntax.ByteOffset, 10)+": "+reason)
	case errors.As(err, &semantic):
		// Pointers of nested decodings add up.
		for inner := semantic; errors.As(inner.Err, &inner); {
			where = field(where, semantic.JSONPointer)
			semantic = inner
		}
		where = field(where, semantic.JSONPointer)
		switch {
		case errors.Is(semantic.Err, json.ErrUnknownName):
			return join(where, "unknown field")
		case errors.Is(semantic.Err, jsontext.ErrDuplicateName):
			return join(where, "given twice")
		case semantic.Err != nil && semantic.JSONKind != 0 && semantic.GoType != nil && strings.HasPrefix(semantic.Err.Error(), "strconv"):
			return join(where, "not a number that fits")
		case semantic.Err != nil:
			return join(where, semantic.Err.Error())
		case semantic.JSONKind != 0:
			return join(where, "wrong type: "+kindName(semantic.JSONKind))
		}
	}
	return join(where, err.Error())
}

func join(where, what string) string {
	if where == "" {
		return what
	}
	return where + ": " + what
}

// field appends a JSON pointer to a place: "operations[0].args" and "/agent/id" are "operations[0].args.agent.id".
func field(where string, pointer jsontext.Pointer) string {
	for token := range pointer.Tokens() {
		switch _, err := strconv.Atoi(token); {
		case err == nil:
			where += "[" + token + "]"
		case where == "":
			where = token
		default:
			where += "." + token
		}
	}
	return where
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 'f', 't':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	default:
		return "a list"
	}
}
