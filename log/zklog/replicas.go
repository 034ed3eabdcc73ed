package zklog

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/registrard/registrard/log"
)

// current is this member's reign and session.
func (l *Log[R]) current() (*reign, *session, error) {
	if err := l.reason(); err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reign, l.session, nil
}

// within does what waits for the ensemble, for no longer than ctx lives.
func within[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := do()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// List implements log.Replicas: who runs. Members have no address of the log's own.
func (l *Log[R]) List(ctx context.Context) ([]log.Replica, error) {
	_, s, err := l.current()
	if err != nil {
		return nil, err
	}
	names, err := within(ctx, func() ([]string, error) { return s.list(membersNode) })
	if err != nil {
		return nil, err
	}
	status := l.Status()
	var list []log.Replica
	for _, name := range names {
		id, err := url.PathUnescape(strings.TrimPrefix(name, "m-"))
		if err != nil {
			continue // somebody else's
		}
		replica := log.Replica{ID: id, Voter: true, Leader: id == status.Leader}
		if id == l.cfg.ID {
			replica.Match = status.Last
		}
		list = append(list, replica)
	}
	slices.SortFunc(list, func(a, b log.Replica) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// Add implements log.Replicas. A member is one by running; there is nothing to add, and this only sees that it does.
func (l *Log[R]) Add(ctx context.Context, r log.Replica) error {
	running, err := l.runs(ctx, r.ID)
	if err == nil && !running {
		err = fmt.Errorf("%w: %s does not run; members join by being started on the same ensemble", log.ErrUnknownReplica, r.ID)
	}
	return err
}

// Remove implements log.Replicas. A member that runs cannot be removed, and one that does not is none.
func (l *Log[R]) Remove(ctx context.Context, id string) error {
	running, err := l.runs(ctx, id)
	if err == nil && running {
		err = fmt.Errorf("%s runs: stop it first", id)
	}
	return err
}

func (l *Log[R]) runs(ctx context.Context, id string) (bool, error) {
	current, s, err := l.current()
	if err != nil {
		return false, err
	}
	if current == nil {
		return false, log.ErrNotLeader
	}
	return within(ctx, func() (there bool, err error) {
		err = s.insist(func() (err error) {
			there, _, err = s.conn.Exists(s.path(memberNode(id)))
			return err
		})
		return there, err
	})
}

// Transfer implements log.Replicas: it removes all candidates before the one that is to lead, this member's own among
// them, in one request. They join the queue again, at its end. It returns once this member leads no more.
func (l *Log[R]) Transfer(ctx context.Context, to string) error {
	current, s, err := l.current()
	switch {
	case err != nil:
		return err
	case current == nil:
		return log.ErrNotLeader
	case to == l.cfg.ID:
		return nil
	}
	_, err = within(ctx, func() (none struct{}, err error) {
		for current.Err() == nil {
			ahead, err := s.ahead(to)
			if err != nil {
				return none, err
			}
			err = s.insist(func() error {
				_, err := s.conn.Multi(ahead...)
				return err
			})
			if !errors.Is(err, zk.ErrNoNode) { // one of them has ended meanwhile, or all by an attempt whose answer was lost
				return none, err
			}
		}
		return none, nil
	})
	if err != nil {
		return err
	}
	select {
	case <-current.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ahead gives what removes all candidates before the first of the member named, or before the second of all.
func (s *session) ahead(to string) (ops []any, err error) {
	queue, err := s.queue()
	if err != nil {
		return nil, err
	}
	for place, name := range queue {
		id, _, err := s.get(candidate(name))
		switch {
		case errors.Is(err, zk.ErrNoNode):
			continue
		case err != nil:
			return nil, err
		case place > 0 && (to == "" || string(id) == to):
			return ops, nil
		}
		ops = append(ops, &zk.DeleteRequest{Path: s.path(candidate(name)), Version: -1})
	}
	return nil, fmt.Errorf("%w: %q waits for leadership nowhere", log.ErrUnknownReplica, to)
}
