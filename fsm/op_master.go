package fsm

import (
	"cmp"
	"errors"
	"fmt"
)

// Master is who claimed mastership last. Its epoch is the fencing token that its operations carry.
type Master struct {
	ID    string   `json:"id"`
	Epoch uint64   `json:"epoch"`
	Info  Info     `json:"info"` // as given with the claim; Mesos: MasterInfo, written by its Recover operation
	TTL   Duration `json:"ttl"`  // of the lease, which the leader keeps in its memory
	Since Time     `json:"since"`
	By    string   `json:"by,omitempty"`
	Mark
}

const masterKey = "master"

func (m *Master) key() string { return masterKey }
func (m *Master) fields(to []any) []any {
	return append(to, &m.ID, &m.Epoch, &m.Info, &m.TTL, &m.Since, &m.By)
}

// ClaimMastership begins a new epoch; from then on no operation of an earlier one is applied. Whether the
// earlier master's lease has run out is for the proposer to know: the machine has no clock.
type ClaimMastership struct {
	ID   string   `json:"id"`
	Info Info     `json:"info"`
	TTL  Duration `json:"ttl"`
}

// Kind is master.claim.
func (ClaimMastership) Kind() Kind                { return "master.claim" }
func (op *ClaimMastership) fields(to []any) []any { return append(to, &op.ID, &op.Info, &op.TTL) }

func (op ClaimMastership) check() error {
	switch {
	case op.Info == "":
		return errors.New("info is missing")
	case len(op.Info) > MaxInfo:
		return fmt.Errorf("info is %d bytes, over the limit of %d: %w", len(op.Info), MaxInfo, ErrTooLarge)
	case op.TTL <= 0:
		return errors.New("ttl is not above 0")
	}
	return cmp.Or(checkID("id", op.ID))
}

func (op ClaimMastership) apply(tx *Txn) (bool, error) {
	was := ""
	if old, ok := tx.s.Master(); ok {
		was = old.ID
	}
	tx.s.epoch, tx.s.leap = tx.s.epoch+1+tx.s.leap, 0
	put(tx, &tx.s.masters, &Master{ID: op.ID, Epoch: tx.s.epoch, Info: op.Info, TTL: op.TTL, Since: tx.now, By: tx.by}, true)
	tx.changed(Change{ID: op.ID, Phase: "master", Was: was})
	return true, nil
}

// ResignMastership ends an epoch at once.
type ResignMastership struct {
	Epoch uint64 `json:"epoch"`
}

// Kind is master.resign.
func (ResignMastership) Kind() Kind                { return "master.resign" }
func (op *ResignMastership) fields(to []any) []any { return append(to, &op.Epoch) }
func (op ResignMastership) check() error           { return nil }

func (op ResignMastership) apply(tx *Txn) (bool, error) {
	master, ok := tx.s.Master()
	if !ok || master.Epoch != op.Epoch {
		return false, tx.reject(Superseded, "epoch %d is not the current one", op.Epoch)
	}
	drop(tx, &tx.s.masters, masterKey)
	tx.changed(Change{ID: master.ID, Was: "master"})
	return true, nil
}
