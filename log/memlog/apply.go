package memlog

import (
	"bytes"
	"fmt"

	"github.com/registrard/registrard/log"
)

// apply is the applier: it feeds the machine until the log ends.
func (l *Log[R]) apply() {
	for l.stop.Err() == nil {
		at := l.at()
		n := l.storage.after(at.entry)
		switch {
		case n.snapshot.at.entry > at.entry:
			l.restore(n.snapshot)
		case n.changed == nil:
			l.consume(at, n.command)
		default:
			select {
			case <-n.changed:
			case <-l.stop.Done():
			}
		}
	}
}

// consume hands the entry after at to the machine, and its result to whoever proposed it.
func (l *Log[R]) consume(at position, command []byte) {
	l.machineMu.Lock()
	defer l.machineMu.Unlock()
	if l.reason() != nil {
		return // halted in the meantime, before this command
	}
	at.entry++
	var r reply[R]
	if command != nil {
		at.command = at.entry
		if r.result, r.err = l.machine.Apply(at.entry, command); r.err != nil {
			l.end(fmt.Errorf("%w before the command at index %d: %w", log.ErrHalted, at.entry, r.err))
			return
		}
	}
	l.advance(at, r)
}

// restore replaces the machine's state by a snapshot that is past what this node has consumed.
func (l *Log[R]) restore(s snapshot) {
	l.machineMu.Lock()
	defer l.machineMu.Unlock()
	if err := l.machine.Restore(bytes.NewReader(s.data)); err != nil {
		l.end(fmt.Errorf("%w: restore the snapshot at index %d: %w", log.ErrHalted, s.at.entry, err))
		return
	}
	l.advance(s.at, reply[R]{})
}

// advance notes what was consumed and answers the proposal there. The caller holds machineMu, so that a
// snapshot never holds more than the position beside it. It does nothing once the log has ended.
func (l *Log[R]) advance(to position, r reply[R]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		return
	}
	l.position = to
	close(l.moved)
	l.moved = make(chan struct{})
	if answer, ok := l.waiting[to.entry]; ok {
		delete(l.waiting, to.entry)
		answer <- r
	}
}

// keep is the keeper: it takes a snapshot when the entries outgrow the last one. A snapshot that fails is
// tried again after the next change; in memory all it costs is memory.
func (l *Log[R]) keep() {
	for {
		oversized, changed := l.storage.oversized(l.cfg.SnapshotBytes)
		if oversized {
			_ = l.Snapshot(l.stop)
		}
		select {
		case <-changed:
		case <-l.stop.Done():
			return
		}
	}
}
