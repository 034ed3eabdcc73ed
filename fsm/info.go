package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Info is an agent object, or a framework's or master's, in its one canonical JSON form. It is made once at the
// edge, travels and rests as it is, and equal objects are equal strings.
type Info string

// MarshalJSON writes the object as it is.
func (i Info) MarshalJSON() ([]byte, error) {
	if i == "" {
		return []byte("{}"), nil
	}
	return []byte(i), nil
}

// UnmarshalJSON keeps an object as it was answered; operations make theirs from AgentInfo or CanonicalObject.
func (i *Info) UnmarshalJSON(text []byte) error {
	*i = Info(text)
	return nil
}

// AgentObject is an agent as operations carry it. UnmarshalJSON and AgentInfo.Object make one.
type AgentObject struct {
	ID   string
	Info Info
}

func (a *AgentObject) fields(to []any) []any { return append(to, &a.ID, &a.Info) }

func (a AgentObject) check() error {
	switch {
	case a.Info == "":
		return errors.New("agent is missing")
	case len(a.Info) > MaxInfo:
		return fmt.Errorf("agent is %d bytes, over the limit of %d: %w", len(a.Info), MaxInfo, ErrTooLarge)
	}
	return checkID("agent.id", a.ID)
}

// ParseAgent reads an agent object strictly: unknown and repeated names, wrong types and bad values are errors.
func ParseAgent(text []byte) (AgentObject, error) {
	var a AgentObject
	return a, json.Unmarshal(text, &a)
}

// UnmarshalJSONFrom is ParseAgent within a larger text.
func (a *AgentObject) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var info AgentInfo
	if err := json.UnmarshalDecode(d, &info, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	object, err := info.Object()
	*a = object
	return err
}

// MarshalJSON writes the agent object.
func (a AgentObject) MarshalJSON() ([]byte, error) { return a.Info.MarshalJSON() }

// AgentInfo is an agent object with names for its parts, in the shapes of Mesos's SlaveInfo.
type AgentInfo struct {
	ID         string      `json:"id"`
	Hostname   string      `json:"hostname"`       // at most MaxID bytes
	Port       uint16      `json:"port,omitempty"` // 0: 5051
	Resources  []Resource  `json:"resources,omitempty"`
	Attributes []Attribute `json:"attributes,omitempty"`
	Domain     *Domain     `json:"domain,omitempty"`
	Checkpoint bool        `json:"checkpoint"`
}

// Domain says where an agent stands.
type Domain struct {
	FaultDomain *FaultDomain `json:"fault_domain,omitempty"`
}

// FaultDomain is what fails together.
type FaultDomain struct {
	Region Name `json:"region"`
	Zone   Name `json:"zone"`
}

// Name is the name of a region or zone.
type Name struct {
	Name string `json:"name"`
}

// Object checks the parts and gives the canonical form: defaults filled, resources and attributes sorted,
// resources of one name, type and role summed (SlaveInfo's equality in Mesos, src/common/type_utils.cpp:
// resources are an unordered, additive collection). The receiver's slices are not modified.
func (i AgentInfo) Object() (AgentObject, error) {
	if err := cmp.Or(checkID("id", i.ID), checkID("hostname", i.Hostname)); err != nil {
		return AgentObject{}, err
	}
	if i.Port == 0 {
		i.Port = 5051
	}
	var err error
	if i.Resources, err = canonicalResources(i.Resources); err != nil {
		return AgentObject{}, err
	}
	if i.Attributes, err = canonicalAttributes(i.Attributes); err != nil {
		return AgentObject{}, err
	}
	if i.Domain != nil && i.Domain.FaultDomain != nil {
		if err := cmp.Or(checkID("domain.fault_domain.region.name", i.Domain.FaultDomain.Region.Name),
			checkID("domain.fault_domain.zone.name", i.Domain.FaultDomain.Zone.Name)); err != nil {
			return AgentObject{}, err
		}
	} else {
		i.Domain = nil
	}
	text, err := json.Marshal(i, json.Deterministic(true))
	if err != nil {
		return AgentObject{}, err
	}
	object := AgentObject{ID: i.ID, Info: Info(text)}
	return object, object.check()
}

// CanonicalObject gives the canonical form (RFC 8785) of a JSON object whose members are its owner's business: a
// framework's or a master's.
func CanonicalObject(text []byte) (Info, error) {
	value := jsontext.Value(slices.Clone(text))
	if value.Kind() != '{' {
		return "", errors.New("is not a JSON object")
	}
	if err := value.Canonicalize(); err != nil {
		return "", err
	}
	return Info(value), nil
}
