package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/registrard/registrard/cluster-tests/planted"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// What one request may bring.
const (
	maxBody       = 16 << 20
	maxOperations = 10_000
)

// limit refuses what is too large before anything reads it, and holds the rest to the same limit.
func (a *API) limit(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > maxBody {
		return tooLarge("the request is %d bytes, over the limit of %d", r.ContentLength, maxBody)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	return nil
}

func tooLarge(format string, args ...any) error {
	return message{fmt.Sprintf(format, args...), fsm.ErrTooLarge}
}

// body reads the request's JSON into a value, strictly.
func body(r *http.Request, into any) error {
	text, err := readAll(r.Body, r.ContentLength)
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, registrar.ErrBusy):
		return err
	case errors.As(err, &large):
		return tooLarge("the request is over the limit of %d bytes", large.Limit)
	case err != nil:
		return badRequest("the request could not be read: %v", err)
	case len(text) == 0:
		return badRequest("the request has no body")
	}
	return decode("", text, into)
}

// decode reads strict JSON; where says to the caller which part of the request it is.
func decode(where string, text []byte, into any) error {
	err := json.Unmarshal(text, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var cause error = registrar.ErrInvalid
	if errors.Is(err, fsm.ErrTooLarge) {
		cause = fsm.ErrTooLarge
	}
	return message{wire.Explain(where, err), cause}
}

// operation decodes one operation's arguments by its kind.
func operation(where string, kind fsm.Kind, args jsontext.Value) (fsm.Op, error) {
	if kind == "" {
		return nil, badRequest("%s: kind is missing", where)
	}
	definition, ok := fsm.Lookup(kind)
	if !ok || !definition.Public {
		return nil, badRequest("%s: unknown kind %q", where, string(kind))
	}
	if len(args) == 0 {
		args = jsontext.Value("{}")
	}
	into := definition.New()
	if err := decode(where+".args", args, into); err != nil {
		return nil, err
	}
	for _, arg := range definition.Args {
		if !arg.Optional && arg.Type == "list" && !has(args, arg.Name) {
			return nil, badRequest("%s.args: %s is missing", where, arg.Name)
		}
	}
	op := definition.Op(into)
	if err := fsm.Check(op); err != nil {
		return nil, message{fmt.Sprintf("%s.args: %s", where, err), cause(err)}
	}
	return op, nil
}

func cause(err error) error {
	if errors.Is(err, fsm.ErrTooLarge) {
		return fsm.ErrTooLarge
	}
	return registrar.ErrInvalid
}

// has tells whether a JSON object, known to be valid, has a member.
func has(object jsontext.Value, name string) bool {
	d := jsontext.NewDecoder(strings.NewReader(string(object)))
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return false
		}
		if token.String() == name {
			return true
		}
		if d.SkipValue() != nil {
			return false
		}
	}
	return false
}

// consistency reads ?consistency=.
func consistency(r *http.Request) (registrar.Consistency, error) {
	switch c := r.URL.Query().Get("consistency"); c {
	case "", "linearizable":
		if planted.StaleRead {
			return registrar.Stale, nil
		}
		return registrar.Linearizable, nil
	case "stale":
		return registrar.Stale, nil
	default:
		return 0, badRequest("consistency %q is neither linearizable nor stale", c)
	}
}

// query holds a request's parameters to those that its route knows.
func query(r *http.Request, known ...string) error {
	for name, values := range r.URL.Query() {
		if name != "consistency" && !slices.Contains(known, name) {
			return badRequest("unknown parameter %q", name)
		}
		if len(values) > 1 {
			return badRequest("parameter %q is given %d times", name, len(values))
		}
	}
	return nil
}

// number reads a parameter that is a number from 0 on.
func number(r *http.Request, name string) (n uint64, given bool, err error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, false, nil
	}
	if n, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, true, badRequest("%s %q is not a number from 0 on", name, text)
	}
	return n, true, nil
}
