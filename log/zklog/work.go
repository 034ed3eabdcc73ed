package zklog

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
)

// sessionPause is between a session that failed and the next.
const sessionPause = 200 * time.Millisecond

// work goes from session to session until the Log ends. It alone applies, appends and moves the head.
func (l *Log[R]) work(s *session) {
	defer func() {
		if l.unknown != nil {
			l.unknown.answer(^uint64(0), fmt.Errorf("%w: %w", log.ErrUncertain, l.reason()))
		}
	}()
	for {
		err := l.live(s)
		s.end(err)
		if errors.Is(err, ErrDamaged) {
			l.halt("what ZooKeeper keeps", err)
		} else if errors.Is(err, errTwin) {
			l.halt("this member's id is taken", err)
		}
		l.mu.Lock()
		l.leader = ""
		l.mu.Unlock()
		<-s.gone
		if l.reason() != nil {
			return
		}
		l.cfg.Logger.Warn("ZooKeeper session ended, beginning another", "cause", err)
		select {
		case <-time.After(sessionPause):
		case <-l.done:
			return
		}
		if s, err = l.reach(); err != nil {
			return // the Log has ended
		}
	}
}

// live is one session: follow, then lead. It returns why it is over.
func (l *Log[R]) live(s *session) error {
	if err := l.same(s); err != nil {
		return err
	}
	if err := s.appear(l.process, false); err != nil {
		return s.explain("appear as a member", err)
	}
	me, err := s.campaign(l.process)
	if err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	var ahead <-chan zk.Event // something about who is before this member in the queue
	var first string          // of the queue, as last looked at
	for {
		h, moved, err := s.head()
		if err != nil {
			return err
		}
		if ahead == nil {
			queue, err := s.queue()
			if err != nil {
				return err
			}
			place := slices.Index(queue, me)
			switch {
			case place < 0:
				return errDeposed
			case place > 0:
				first = queue[0]
				there, changed, err := s.watch(candidate(queue[place-1]))
				if err != nil {
					return err
				}
				if !there {
					continue
				}
				ahead = changed
			default:
				return l.rule(s, me, h)
			}
		}
		if err := l.catchUp(s, h); err != nil {
			return err
		}
		leader := ""
		if h.Candidate != first { // another one leads, or the head is still of one who is gone
			queue, err := s.queue()
			if err != nil {
				return err
			}
			if len(queue) > 0 {
				first = queue[0]
			}
		}
		if h.Candidate == first {
			leader = h.Leader
		}
		l.mu.Lock()
		l.leader = leader
		l.caughtUp = l.caughtUp || leader != ""
		l.mu.Unlock()
		for waiting := true; waiting; {
			select {
			case <-moved:
				waiting = false
			case <-ahead:
				ahead, waiting = nil, false
			case caller := <-l.asked:
				caller <- log.ErrNotLeader
			case <-s.Done():
				return context.Cause(s)
			}
		}
	}
}

// same sees that the root is the one that it was, and that nothing of it was lost that this member knows.
func (l *Log[R]) same(s *session) error {
	if err := s.sync(); err != nil {
		return err
	}
	data, _, err := s.get(identityNode)
	if errors.Is(err, zk.ErrNoNode) {
		return disk.Damaged(s.path(identityNode), "it is missing")
	} else if err != nil {
		return s.explain("read "+s.path(identityNode), err)
	}
	var id identity
	if err := decodeDocument(s.path(identityNode), data, &id); err != nil {
		return err
	}
	if id.Cluster != l.cluster {
		return disk.Damaged(s.cfg.Root, "it is of cluster %s now, and was of %s", id.Cluster, l.cluster)
	}
	h, _, err := s.head()
	if err == nil && h.Last < l.applied {
		err = disk.Damaged(s.path(headNode), "entries end at index %d, and %d was applied", h.Last, l.applied)
	}
	return err
}

// campaign joins the queue for leadership.
func (s *session) campaign(process string) (string, error) {
	for {
		names, err := s.list(candidatesNode)
		if err != nil {
			return "", fmt.Errorf("read the queue: %w", err)
		}
		mine := ""
		for _, name := range names {
			if !strings.HasPrefix(name, process+"-") {
				continue
			}
			_, stat, err := s.get(candidate(name))
			switch {
			case errors.Is(err, zk.ErrNoNode):
			case err != nil:
				return "", err
			case stat.EphemeralOwner == s.conn.SessionID() && mine == "": // made by an attempt whose answer was lost
				mine = name
			default: // of our session before
				if err := s.remove(candidate(name)); err != nil {
					return "", err
				}
			}
		}
		if mine != "" {
			return mine, nil
		}
		path, err := s.conn.Create(s.path(candidate(process+"-")), []byte(s.cfg.ID), zk.FlagEphemeral|zk.FlagSequence, s.acl)
		switch {
		case err == nil:
			return path[strings.LastIndexByte(path, '/')+1:], nil
		case s.Err() != nil:
			return "", context.Cause(s)
		case !lost(err):
			return "", s.explain("join the queue", err)
		}
	}
}

// queue is the candidates in the order in which they lead.
func (s *session) queue() ([]string, error) {
	names, err := s.list(candidatesNode)
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(sequence(a), sequence(b)) })
	return names, err
}

// catchUp has the machine see everything up to a head, and answers what was unknown until then.
func (l *Log[R]) catchUp(s *session, h head) error {
	for {
		applied := l.position()
		if applied >= h.Last {
			break
		}
		var err error
		restoring := applied < h.Snapshot.Index && (applied == 0 || applied+1 < h.Keep)
		if restoring {
			err = l.restore(s, h.Snapshot)
		} else {
			var entries []entry
			entries, err = s.readEntries(applied+1, min(applied+readAhead, h.Last))
			for _, e := range entries {
				if err := l.apply(e); err != nil {
					return err
				}
			}
		}
		switch {
		case err == nil:
		case s.Err() != nil:
			return context.Cause(s)
		case errors.Is(err, zk.ErrNoNode): // dropped while it was read, or lost
			if restoring {
				h, err = s.replaced(h.Snapshot, err)
			} else {
				h, err = s.dropped(l.position()+1, err)
			}
			if err != nil {
				return err
			}
		default:
			return err
		}
	}
	l.mu.Lock()
	if h.zxid > l.head.zxid {
		l.head = h
	}
	l.mu.Unlock()
	if l.unknown != nil && h.zxid > l.unknown.before.zxid { // the head has moved on, with it or without
		l.unknown.answer(^uint64(0), errDeposed)
		l.unknown = nil
	}
	return nil
}

func (l *Log[R]) position() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.applied
}

// readAhead is how many entries are asked for at once.
const readAhead = 64

// readEntries gives entries in order; with an error, those before it.
func (s *session) readEntries(from, to uint64) ([]entry, error) {
	type read struct {
		entry
		err error
	}
	var answers []chan read
	for index := from; index <= to; index++ {
		answer := make(chan read, 1)
		answers = append(answers, answer)
		go func() {
			e, err := s.readEntry(index)
			answer <- read{e, err}
		}()
	}
	var entries []entry
	for i, answer := range answers {
		r := <-answer
		if r.err != nil {
			return entries, fmt.Errorf("read entry %d: %w", from+uint64(i), r.err)
		}
		entries = append(entries, r.entry)
	}
	return entries, nil
}

// restore replaces the machine's state by a snapshot. What was proposed for an entry before it may be in it.
func (l *Log[R]) restore(s *session, ref blobRef) error {
	blob := s.readBlob(ref)
	err := l.machine.Restore(blob)
	if blob.err != nil {
		return blob.err
	}
	if err != nil { // it is what was written, so another session would change nothing
		l.halt(fmt.Sprintf("at the snapshot of index %d", ref.Index), err)
		return err
	}
	l.mu.Lock()
	l.applied = ref.Index
	l.wake()
	l.mu.Unlock()
	if l.unknown != nil {
		l.unknown.answer(ref.Index, fmt.Errorf("%w: a snapshot has taken the entry's place", log.ErrUncertain))
	}
	return nil
}

// apply hands an entry to the machine, and its answer to whoever proposed it here. An error, or a panic, halts the Log
// before the entry.
func (l *Log[R]) apply(e entry) error {
	result, err := l.consume(e)
	if p := l.unknown.at(e.index); p != nil {
		r := reply[R]{result: result}
		switch {
		case p.nonce != e.nonce:
			r = reply[R]{err: errDeposed}
		case err != nil:
			r.err = fmt.Errorf("%w: %w", log.ErrUncertain, err)
		}
		p.answer <- r
		l.unknown.proposals[e.index-l.unknown.first] = nil
	}
	if err != nil {
		l.halt(fmt.Sprintf("before the command at index %d", e.index), err)
		return err
	}
	l.keep.grown += uint64(len(e.command))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied = e.index
	l.wake()
	return nil
}

func (l *Log[R]) consume(e entry) (result R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.machine.Apply(e.index, e.command)
}
