package raftlog

// BreakDisk does what the first failed write does.
func (l *Log[R]) BreakDisk(err error) { l.stores.guard.Fail(err) }

// StoreTerm stores a term as raft does, where raft's goroutine would be.
func (l *Log[R]) StoreTerm(term uint64) error {
	return l.stores.contained(func() error {
		return votes{l.stores.vote, l.stores}.SetUint64([]byte("CurrentTerm"), term)
	})
}
