package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// Framework is what the registry knows of one framework. Mesos keeps nothing of it over a failover, and says
// in its code that it should (MESOS-1719).
type Framework struct {
	ID           string         `json:"id"`
	State        FrameworkState `json:"state"`
	Info         Info           `json:"info"`                // as last accepted
	Principal    string         `json:"principal,omitempty"` // as first admitted; it never changes
	User         string         `json:"user,omitempty"`      // never changes
	Checkpoint   bool           `json:"checkpoint"`          // never changes
	Failover     Duration       `json:"failover_timeout"`    // how long it may stay disconnected
	Registered   Time           `json:"registered"`          // first admitted
	Reregistered Time           `json:"reregistered"`        // last admitted, updated or connected
	Since        Time           `json:"since"`               // when the state changed, as the operation says or the log knows
	Reason       string         `json:"reason,omitempty"`    // why it completed
	By           string         `json:"by,omitempty"`        // who asked for the change of state
	Revision     uint64         `json:"revision"`            // of Info, from 1
	Mark
}

func (f *Framework) key() string { return f.ID }

func (f *Framework) fields(to []any) []any {
	return append(to, &f.ID, &f.State, &f.Info, &f.Principal, &f.User, &f.Checkpoint, &f.Failover, &f.Registered, &f.Reregistered,
		&f.Since, &f.Reason, &f.By, &f.Revision)
}

// FrameworkState is where a framework is in its life.
type FrameworkState uint8

// The states. A framework leaves Completed by being pruned only.
const (
	FrameworkActive FrameworkState = 1 + iota
	FrameworkDisconnected
	FrameworkCompleted
)

var frameworkStates = [...]string{"", "active", "disconnected", "completed"}

func (f FrameworkState) String() string { return frameworkStates[f] }

// MarshalText writes the state's name.
func (f FrameworkState) MarshalText() ([]byte, error) { return []byte(frameworkStates[f]), nil }

// UnmarshalText reads the state's name.
func (f *FrameworkState) UnmarshalText(text []byte) error {
	i := slices.Index(frameworkStates[:], string(text))
	if i < 1 {
		return fmt.Errorf("%q is not a framework's state: %s", text, strings.Join(frameworkStates[1:], ", "))
	}
	*f = FrameworkState(i)
	return nil
}

// FrameworkObject is a framework as operations carry it. Only a few members of its JSON object have a meaning
// here; the rest, roles and labels and filters, is the schedulers' own and kept as given.
type FrameworkObject struct {
	ID         string
	Principal  string
	User       string
	Checkpoint bool
	Failover   Duration
	Info       Info
}

func (f *FrameworkObject) fields(to []any) []any {
	return append(to, &f.ID, &f.Principal, &f.User, &f.Checkpoint, &f.Failover, &f.Info)
}

func (f FrameworkObject) check() error {
	switch {
	case f.Info == "":
		return errors.New("framework is missing")
	case len(f.Info) > MaxInfo:
		return fmt.Errorf("framework is %d bytes, over the limit of %d: %w", len(f.Info), MaxInfo, ErrTooLarge)
	case f.Failover < 0:
		return errors.New("framework.failover_timeout is negative")
	}
	return cmp.Or(checkID("framework.id", f.ID), checkText("framework.principal", f.Principal, MaxID), checkText("framework.user", f.User, MaxID))
}

// UnmarshalJSON reads a framework object; repeated names, and wrong types of the members with a meaning, are errors.
func (f *FrameworkObject) UnmarshalJSON(text []byte) error {
	var known struct {
		ID         string   `json:"id"`
		Principal  string   `json:"principal"`
		User       string   `json:"user"`
		Checkpoint bool     `json:"checkpoint"`
		Failover   Duration `json:"failover_timeout"`
	}
	if err := json.Unmarshal(text, &known); err != nil {
		return err
	}
	info, err := CanonicalObject(text)
	if err != nil {
		return err
	}
	*f = FrameworkObject{known.ID, known.Principal, known.User, known.Checkpoint, known.Failover, info}
	return nil
}

// MarshalJSON writes the framework object.
func (f FrameworkObject) MarshalJSON() ([]byte, error) { return f.Info.MarshalJSON() }
