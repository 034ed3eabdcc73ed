package fsm

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// MachineID names a machine by hostname, which is compared without regard to ASCII case, by IPv4 address, or by
// both; an empty part is an absent one. At least one is given.
type MachineID struct {
	Hostname string `json:"hostname,omitempty"`
	IP       string `json:"ip,omitempty"`
}

func (m *MachineID) fields(to []any) []any { return append(to, &m.Hostname, &m.IP) }
func (m MachineID) key() string            { return lower(m.Hostname) + "|" + m.IP }
func (m MachineID) String() string         { return m.Hostname + "|" + m.IP }

// Window is when some machines will be away.
type Window struct {
	Machines       []MachineID    `json:"machines"`
	Unavailability Unavailability `json:"unavailability"`
}

func (w *Window) fields(to []any) []any {
	return append(to, seq(&w.Machines), &w.Unavailability)
}

// Unavailability is a span of time; without a duration it has no end.
type Unavailability struct {
	Start    Time      `json:"start"`
	Duration *Duration `json:"duration,omitempty"` // not negative
}

func (u *Unavailability) fields(to []any) []any { return append(to, &u.Start, &u.Duration) }

// Schedule is all windows of maintenance.
type Schedule struct {
	Windows []Window `json:"windows"`
	Mark    `json:"-"`
}

const scheduleKey = "schedule"

func (s *Schedule) key() string           { return scheduleKey }
func (s *Schedule) fields(to []any) []any { return append(to, seq(&s.Windows)) }

// Machine is a machine that the schedule names.
type Machine struct {
	ID             MachineID      `json:"id"`
	Mode           Mode           `json:"mode"`
	Unavailability Unavailability `json:"unavailability"`
	Mark           `json:"-"`
}

func (m *Machine) key() string           { return m.ID.key() }
func (m *Machine) fields(to []any) []any { return append(to, &m.ID, &m.Mode, &m.Unavailability) }

// Mode is what maintenance does to a machine. A machine that the schedule does not name is up.
type Mode uint8

// The modes.
const (
	ModeDraining Mode = 1 + iota // its window comes
	ModeDown                     // taken out of service
)

var modes = [...]string{"up", "draining", "down"}

func (m Mode) String() string { return modes[m] }

// MarshalText writes the mode's name.
func (m Mode) MarshalText() ([]byte, error) { return []byte(modes[m]), nil }

// UnmarshalText reads the mode's name.
func (m *Mode) UnmarshalText(text []byte) error {
	i := slices.Index(modes[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is not a mode: %s", text, strings.Join(modes[:], ", "))
	}
	*m = Mode(i)
	return nil
}

// ScheduleMaintenance replaces the schedule. Machines that it names and that were not yet in one begin to
// drain; those that are down stay down and must stay in the schedule. Mesos: UpdateSchedule, with the checks
// of its endpoint; every machine of the schedule has a record afterwards, whatever was there.
type ScheduleMaintenance struct {
	Windows []Window `json:"windows"`
}

// Kind is maintenance.schedule.
func (ScheduleMaintenance) Kind() Kind                { return "maintenance.schedule" }
func (op *ScheduleMaintenance) fields(to []any) []any { return append(to, seq(&op.Windows)) }

func (op ScheduleMaintenance) check() error {
	for i, w := range op.Windows {
		if err := checkMachines(fmt.Sprintf("windows[%d].machines", i), w.Machines); err != nil {
			return err
		}
	}
	return nil
}

func (op ScheduleMaintenance) apply(tx *Txn) (bool, error) {
	scheduled := map[string]bool{}
	for i, w := range op.Windows {
		if len(w.Machines) == 0 {
			return false, tx.reject(InvalidSchedule, "window %d has no machine", i)
		}
		if w.Unavailability.Duration != nil && *w.Unavailability.Duration < 0 {
			return false, tx.reject(InvalidSchedule, "window %d has a negative duration", i)
		}
		if err := tx.distinct(w.Machines, scheduled); err != nil {
			return false, err
		}
	}
	var absent []*Machine
	for m := range tx.s.machines.inOrder(0) {
		if scheduled[m.key()] {
			continue
		}
		if m.Mode == ModeDown {
			return false, tx.reject(InvalidSchedule, "machine %s is down and not in the schedule", m.ID)
		}
		absent = append(absent, m)
	}
	for _, m := range absent {
		tx.dropMachine(m)
	}
	for _, w := range op.Windows {
		for _, id := range w.Machines {
			machine := Machine{ID: id, Mode: ModeDraining, Unavailability: w.Unavailability}
			if known, ok := tx.s.Machine(id); ok {
				machine.ID, machine.Mode = known.ID, known.Mode
			}
			tx.putMachine(machine)
		}
	}
	return tx.putSchedule(op.Windows), nil
}

// StartMaintenance takes machines that are draining out of service. Mesos: StartMaintenance, with the checks
// of its endpoint: one bad machine refuses them all.
type StartMaintenance struct {
	Machines []MachineID `json:"machines"`
}

// Kind is maintenance.start.
func (StartMaintenance) Kind() Kind                { return "maintenance.start" }
func (op *StartMaintenance) fields(to []any) []any { return append(to, seq(&op.Machines)) }
func (op StartMaintenance) check() error           { return checkMachines("machines", op.Machines) }

func (op StartMaintenance) apply(tx *Txn) (bool, error) {
	machines, err := tx.inMode(ModeDraining, op.Machines)
	for _, m := range machines {
		down := *m
		down.Mode = ModeDown
		tx.putMachine(down)
	}
	return err == nil, err
}

// StopMaintenance puts machines that are down back into service and takes them out of the schedule; windows
// without machines go, and so does a schedule without windows. Mesos: StopMaintenance, with the checks of its
// endpoint.
type StopMaintenance struct {
	Machines []MachineID `json:"machines"`
}

// Kind is maintenance.stop.
func (StopMaintenance) Kind() Kind                { return "maintenance.stop" }
func (op *StopMaintenance) fields(to []any) []any { return append(to, seq(&op.Machines)) }
func (op StopMaintenance) check() error           { return checkMachines("machines", op.Machines) }

func (op StopMaintenance) apply(tx *Txn) (bool, error) {
	machines, err := tx.inMode(ModeDown, op.Machines)
	if err != nil {
		return false, err
	}
	up := make(map[string]bool, len(machines))
	for _, m := range machines {
		up[m.key()] = true
		tx.dropMachine(m)
	}
	schedule, _ := tx.s.Schedule() // there is one while there are machines
	var windows []Window
	for _, w := range schedule.Windows {
		w.Machines = slices.DeleteFunc(slices.Clone(w.Machines), func(id MachineID) bool { return up[id.key()] })
		if len(w.Machines) > 0 {
			windows = append(windows, w)
		}
	}
	if windows == nil {
		return drop(tx, &tx.s.schedules, scheduleKey), nil
	}
	return tx.putSchedule(windows), nil
}

// inMode finds machines that must all be in a mode.
func (tx *Txn) inMode(mode Mode, ids []MachineID) ([]*Machine, error) {
	if len(ids) == 0 {
		return nil, tx.reject(InvalidSchedule, "no machine is named")
	}
	if err := tx.distinct(ids, map[string]bool{}); err != nil {
		return nil, err
	}
	machines := make([]*Machine, len(ids))
	for i, id := range ids {
		m, ok := tx.s.Machine(id)
		if !ok {
			return nil, tx.reject(InvalidSchedule, "machine %s is not in the schedule", id)
		}
		if m.Mode != mode {
			return nil, tx.reject(InvalidSchedule, "machine %s is %s, not %s", id, m.Mode, mode)
		}
		machines[i] = m
	}
	return machines, nil
}

// distinct holds ids to Mesos's rules for a machine and adds them to seen, where none may be yet.
func (tx *Txn) distinct(ids []MachineID, seen map[string]bool) error {
	for _, id := range ids {
		if id.Hostname == "" && id.IP == "" {
			return tx.reject(InvalidSchedule, "a machine has neither hostname nor ip")
		}
		if id.IP != "" {
			if a, err := netip.ParseAddr(id.IP); err != nil || !a.Is4() {
				return tx.reject(InvalidSchedule, "machine %s: %q is not an IPv4 address", id, id.IP)
			}
		}
		if seen[id.key()] {
			return tx.reject(InvalidSchedule, "machine %s is named twice", id)
		}
		seen[id.key()] = true
	}
	return nil
}

func (tx *Txn) putMachine(m Machine) {
	var was Mode
	if known, ok := tx.s.Machine(m.ID); ok {
		was = known.Mode
	}
	if put(tx, &tx.s.machines, &m, false) {
		tx.changed(Change{ID: m.ID.String(), Phase: m.Mode.String(), Was: was.String()})
	}
}

func (tx *Txn) dropMachine(m *Machine) {
	drop(tx, &tx.s.machines, m.key())
	tx.changed(Change{ID: m.ID.String(), Phase: Mode(0).String(), Was: m.Mode.String()})
}

// putSchedule writes the windows. Watchers hear of it by the machines that changed, or by the schedule's own
// name where none did.
func (tx *Txn) putSchedule(windows []Window) bool {
	if !put(tx, &tx.s.schedules, &Schedule{Windows: windows}, false) {
		return false
	}
	if len(tx.changes) == tx.begun {
		tx.changed(Change{ID: scheduleKey})
	}
	return true
}

func checkMachines(what string, ids []MachineID) error {
	for i, id := range ids {
		if err := cmp.Or(checkText("hostname", id.Hostname, MaxID), checkText("ip", id.IP, MaxID)); err != nil {
			return fmt.Errorf("%s[%d].%w", what, i, err)
		}
	}
	return nil
}

// lower is ASCII's lower case, by which hostnames are compared.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
