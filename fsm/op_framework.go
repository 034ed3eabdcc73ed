package fsm

import "cmp"

// AdmitFramework enters a framework that the registry does not know.
type AdmitFramework struct {
	Framework FrameworkObject `json:"framework"`
}

// Kind is framework.admit.
func (AdmitFramework) Kind() Kind                { return "framework.admit" }
func (op *AdmitFramework) fields(to []any) []any { return op.Framework.fields(to) }
func (op AdmitFramework) check() error           { return op.Framework.check() }

func (op AdmitFramework) apply(tx *Txn) (bool, error) {
	given := op.Framework
	if known, ok := tx.s.Framework(given.ID); ok {
		if known.State == FrameworkCompleted {
			return false, tx.reject(Completed, "framework %s has completed", given.ID)
		}
		return false, tx.reject(AlreadyKnown, "framework %s is already known", given.ID)
	}
	tx.moveFramework(Framework{
		ID: given.ID, Info: given.Info, Principal: given.Principal, User: given.User, Checkpoint: given.Checkpoint,
		Failover: given.Failover, Registered: tx.now, Reregistered: tx.now, Revision: 1,
	}, FrameworkActive, 0, "")
	return true, nil
}

// UpdateFramework replaces a framework's info; an equal one changes nothing. Principal, user and checkpoint
// cannot change.
type UpdateFramework struct {
	Framework FrameworkObject `json:"framework"`
}

// Kind is framework.update.
func (UpdateFramework) Kind() Kind                { return "framework.update" }
func (op *UpdateFramework) fields(to []any) []any { return op.Framework.fields(to) }
func (op UpdateFramework) check() error           { return op.Framework.check() }

func (op UpdateFramework) apply(tx *Txn) (bool, error) {
	given := op.Framework
	known, err := tx.livingFramework(given.ID)
	if err != nil {
		return false, err
	}
	switch {
	case given.Principal != known.Principal:
		return false, tx.reject(Immutable, "framework %s belongs to another principal", given.ID)
	case given.User != known.User:
		return false, tx.reject(Immutable, "framework %s: the user cannot change", given.ID)
	case given.Checkpoint != known.Checkpoint:
		return false, tx.reject(Immutable, "framework %s: checkpoint cannot change", given.ID)
	case given.Info == known.Info:
		return false, nil
	}
	changed := *known
	changed.Info, changed.Failover, changed.Reregistered = given.Info, given.Failover, tx.now
	changed.Revision++
	put(tx, &tx.s.frameworks, &changed, false)
	tx.changed(Change{ID: changed.ID, Phase: changed.State.String(), Was: changed.State.String()})
	return true, nil
}

// ConnectFramework says that a framework's scheduler is back.
type ConnectFramework struct {
	ID string `json:"id"`
}

// Kind is framework.connected.
func (ConnectFramework) Kind() Kind                { return "framework.connected" }
func (op *ConnectFramework) fields(to []any) []any { return append(to, &op.ID) }
func (op ConnectFramework) check() error           { return checkID("id", op.ID) }

func (op ConnectFramework) apply(tx *Txn) (bool, error) {
	known, err := tx.livingFramework(op.ID)
	if err != nil || known.State == FrameworkActive {
		return false, err
	}
	connected := *known
	connected.Reregistered = tx.now
	tx.moveFramework(connected, FrameworkActive, 0, "")
	return true, nil
}

// DisconnectFramework says that a framework's scheduler is away, and since when: its failover timeout runs.
type DisconnectFramework struct {
	ID    string `json:"id"`
	Since Time   `json:"since,omitzero"` // the frame's time where not given
}

// Kind is framework.disconnected.
func (DisconnectFramework) Kind() Kind                { return "framework.disconnected" }
func (op *DisconnectFramework) fields(to []any) []any { return append(to, &op.ID, &op.Since) }
func (op DisconnectFramework) check() error           { return checkID("id", op.ID) }

func (op DisconnectFramework) apply(tx *Txn) (bool, error) {
	known, err := tx.livingFramework(op.ID)
	if err != nil || known.State == FrameworkDisconnected {
		return false, err
	}
	tx.moveFramework(*known, FrameworkDisconnected, op.Since, "")
	return true, nil
}

// CompleteFramework ends a framework for good: its id is refused from then on.
type CompleteFramework struct {
	ID     string `json:"id"`
	Reason string `json:"reason,omitempty"` // unregistered, torn down, failover timeout
}

// Kind is framework.complete.
func (CompleteFramework) Kind() Kind                { return "framework.complete" }
func (op *CompleteFramework) fields(to []any) []any { return append(to, &op.ID, &op.Reason) }

func (op CompleteFramework) check() error {
	return cmp.Or(checkID("id", op.ID), checkText("reason", op.Reason, MaxText))
}

func (op CompleteFramework) apply(tx *Txn) (bool, error) {
	known, ok := tx.s.Framework(op.ID)
	switch {
	case !ok:
		return false, tx.reject(UnknownFramework, "framework %s is unknown", op.ID)
	case known.State == FrameworkCompleted:
		return false, nil
	}
	tx.moveFramework(*known, FrameworkCompleted, 0, op.Reason)
	return true, nil
}

// PruneFrameworks forgets completed frameworks; ids of others are passed over.
type PruneFrameworks struct {
	IDs []string `json:"ids"`
}

// Kind is framework.prune.
func (PruneFrameworks) Kind() Kind                { return "framework.prune" }
func (op *PruneFrameworks) fields(to []any) []any { return append(to, &op.IDs) }
func (op PruneFrameworks) check() error           { return checkIDs("ids", op.IDs) }

func (op PruneFrameworks) apply(tx *Txn) (changed bool, err error) {
	for _, id := range op.IDs {
		if known, ok := tx.s.Framework(id); ok && known.State == FrameworkCompleted {
			drop(tx, &tx.s.frameworks, id)
			tx.changed(Change{ID: id, Was: known.State.String()})
			changed = true
		}
	}
	return changed, nil
}

// livingFramework finds one that has not completed.
func (tx *Txn) livingFramework(id string) (*Framework, error) {
	known, ok := tx.s.Framework(id)
	if !ok {
		return nil, tx.reject(UnknownFramework, "framework %s is unknown", id)
	}
	if known.State == FrameworkCompleted {
		return nil, tx.reject(Completed, "framework %s has completed", id)
	}
	return known, nil
}

// moveFramework writes a framework in another state, since a time that is the frame's where none is given.
func (tx *Txn) moveFramework(f Framework, to FrameworkState, since Time, reason string) {
	was := f.State
	if since == 0 {
		since = tx.now
	}
	f.State, f.Since, f.Reason, f.By = to, since, reason, tx.by
	put(tx, &tx.s.frameworks, &f, true)
	tx.changed(Change{ID: f.ID, Phase: to.String(), Was: was.String(), Reason: reason})
}
