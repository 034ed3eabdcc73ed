package fsm

import (
	"bytes"
	"fmt"
)

// consistent makes everything again that the registry keeps in step, and compares.
func (m *scripted) consistent() error { return consistent(m.Registry) }

func consistent(r *Registry) error {
	image, err := r.Snapshot()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if _, err := image.WriteTo(&b); err != nil {
		return err
	}
	// Restoring sums up every record and compares with the digest that was kept incrementally.
	again := New()
	if err := again.Restore(bytes.NewReader(b.Bytes())); err != nil {
		return err
	}
	s, t := r.State(), again.State()
	if s.totals != t.totals || s.chain != t.chain || s.index != t.index || s.time != t.time || s.reign != t.reign {
		return fmt.Errorf("restored %+v at %d, was %+v at %d", t.totals, t.index, s.totals, s.index)
	}
	image, err = again.Snapshot()
	if err != nil {
		return err
	}
	var c bytes.Buffer
	if _, err := image.WriteTo(&c); err != nil {
		return err
	}
	if !bytes.Equal(b.Bytes(), c.Bytes()) {
		return fmt.Errorf("a restored registry writes another snapshot: %d and %d bytes", b.Len(), c.Len())
	}
	for p := Admitted; p <= Gone; p++ {
		if s.agents(p).records.Len() != s.agents(p).order.Len() {
			return fmt.Errorf("%s: %d by id, %d in order", p, s.agents(p).records.Len(), s.agents(p).order.Len())
		}
		for a := range s.Agents(p, "") {
			if a.Phase != p {
				return fmt.Errorf("%s is %s among the %s", a.ID, a.Phase, p)
			}
			if a.Drain != nil && !a.Deactivated {
				return fmt.Errorf("%s drains and is not deactivated", a.ID)
			}
		}
	}
	return nil
}
