package zklog

import "testing"

// loseReign removes the candidate that a member leads by, as an operator may.
func (l *Log[R]) loseReign(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	current := l.reign
	l.mu.Unlock()
	if current == nil {
		return
	}
	if err := current.session.remove(candidate(current.candidate)); err != nil && current.Err() == nil {
		t.Errorf("remove the candidate: %v", err)
		return
	}
	<-current.Done() // or a snapshot would still be asked of this reign, and fail with it
}

// crash is what the servers see of a process that is killed: the session is not ended, it expires.
func (l *Log[R]) crash() {
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	s.mu.Lock()
	s.mute = true
	s.mu.Unlock()
	s.hangUp()
	_ = l.Close()
}

// candidateOf is the node that a member leads by.
func candidateOf(l *Log[result]) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head.Candidate
}
