package fsm

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkID holds an id or a role's name to the rule for all of them: 1 to MaxID bytes of UTF-8 without
// control characters. Ids are otherwise opaque and compared exactly.
func checkID(what, id string) error {
	if id == "" {
		return fmt.Errorf("%s is empty", what)
	}
	if len(id) > MaxID {
		return fmt.Errorf("%s is %d bytes long, over the limit of %d", what, len(id), MaxID)
	}
	return checkText(what, id, MaxID)
}

// checkIDs is checkID for a list.
func checkIDs(what string, ids []string) error {
	for i, id := range ids {
		if err := checkID(fmt.Sprintf("%s[%d]", what, i), id); err != nil {
			return err
		}
	}
	return nil
}

// checkText holds a text that people read to limit bytes of UTF-8 without control characters.
func checkText(what, text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("%s is %d bytes long, over the limit of %d", what, len(text), limit)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s is not valid UTF-8", what)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("%s contains a control character", what)
	}
	return nil
}

// checkRole holds a role's name to Mesos's rules (src/common/roles.cpp): "*", or components between slashes,
// none of them empty, ".", "..", "*", starting with "-" or containing white space or DEL.
func checkRole(role string) error {
	if role == "*" {
		return nil
	}
	if role == "" {
		return errors.New("a role's name is empty")
	}
	for component := range strings.SplitSeq(role, "/") {
		switch {
		case component == "":
			return fmt.Errorf("role %q has an empty component", role)
		case component == "." || component == ".." || component == "*":
			return fmt.Errorf("role %q has the component %q", role, component)
		case component[0] == '-':
			return fmt.Errorf("role %q has a component starting with a dash", role)
		case strings.ContainsAny(component, "\t\n\v\f\r \x7f"):
			return fmt.Errorf("role %q contains white space", role)
		}
	}
	return nil
}
