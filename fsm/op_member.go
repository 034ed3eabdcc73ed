package fsm

import "cmp"

// Member is where a member of the cluster is reached, and what it can read. Who votes is the log's business;
// this is no part of what the registry says.
type Member struct {
	ID       string `json:"id"`
	RaftAddr string `json:"raft_addr,omitempty"`
	HTTPAddr string `json:"http_addr,omitempty"`
	Format   uint64 `json:"format"` // the newest it reads
	Mark     `json:"-"`
}

func (m *Member) key() string { return m.ID }
func (m *Member) fields(to []any) []any {
	return append(to, &m.ID, &m.RaftAddr, &m.HTTPAddr, &m.Format)
}

// AnnounceMember records a member's addresses and format. A leader's is the opening frame of its reign. Without a format a
// member keeps its own, and a new one is taken to read the first; Unsupported below the one that is written already.
type AnnounceMember struct {
	ID       string `json:"id"`
	RaftAddr string `json:"raft_addr"`
	HTTPAddr string `json:"http_addr"`
	Format   uint64 `json:"format"`
}

// Kind is member.announce.
func (AnnounceMember) Kind() Kind { return "member.announce" }
func (op *AnnounceMember) fields(to []any) []any {
	return append(to, &op.ID, &op.RaftAddr, &op.HTTPAddr, &op.Format)
}

func (op AnnounceMember) check() error {
	return cmp.Or(checkID("id", op.ID), checkText("raft_addr", op.RaftAddr, MaxID), checkText("http_addr", op.HTTPAddr, MaxID))
}

// Reads is the newest format that the member reads, as far as is known.
func (op AnnounceMember) Reads(s *State) uint64 {
	if known, ok := s.Member(op.ID); ok && op.Format == 0 {
		return known.Format
	}
	return cmp.Or(op.Format, FirstFormat)
}

func (op AnnounceMember) apply(tx *Txn) (bool, error) {
	reads := op.Reads(tx.s)
	if reads < tx.s.format {
		return false, tx.reject(Unsupported, "member %s reads formats up to %d, and this registry has come to %d", op.ID, reads, tx.s.format)
	}
	return put(tx, &tx.s.members, &Member{ID: op.ID, RaftAddr: op.RaftAddr, HTTPAddr: op.HTTPAddr, Format: reads}, false), nil
}

// ForgetMember drops a member that left.
type ForgetMember struct {
	ID string `json:"id"`
}

// Kind is member.forget.
func (ForgetMember) Kind() Kind                { return "member.forget" }
func (op *ForgetMember) fields(to []any) []any { return append(to, &op.ID) }
func (op ForgetMember) check() error           { return checkID("id", op.ID) }

func (op ForgetMember) apply(tx *Txn) (bool, error) {
	return drop(tx, &tx.s.members, op.ID), nil
}

// RaiseFormat lets newer forms of operations and records be written, which every announced member must read.
type RaiseFormat struct {
	Format uint64 `json:"format"`
}

// Kind is member.raise.
func (RaiseFormat) Kind() Kind                { return "member.raise" }
func (op *RaiseFormat) fields(to []any) []any { return append(to, &op.Format) }
func (op RaiseFormat) check() error           { return nil }

func (op RaiseFormat) apply(tx *Txn) (bool, error) {
	if op.Format <= tx.s.format {
		return false, nil
	}
	for m := range tx.s.Members() {
		if m.Format < op.Format {
			return false, tx.reject(Unsupported, "member %s reads formats up to %d", m.ID, m.Format)
		}
	}
	tx.s.format = op.Format
	return true, nil
}
