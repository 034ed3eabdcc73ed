package zklog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/log"
)

// session is one ZooKeeper session: what is ephemeral lives as long as it does at the servers, and its context ends
// before that. Calls on conn wait while there is no connection, and return once the session has ended. It survives
// servers that come and go. When it has ended, another one is begun.
type session struct {
	context.Context
	end  context.CancelCauseFunc
	conn *zk.Conn

	cfg     Config
	acl     []zk.ACL
	granted atomic.Int64 // session timeout, by the servers; nanoseconds

	mu    sync.Mutex
	link  net.Conn // the present connection, nil before the first
	mute  bool     // nothing is sent any more: what a killed process looks like to the servers
	gone  chan struct{}
	heard chan struct{} // closed when the first server has granted the session
}

var (
	errExpired = fmt.Errorf("%w: the ZooKeeper session has expired", log.ErrNotLeader)
	errSilent  = fmt.Errorf("%w: the ZooKeeper ensemble was not heard from for so long that the session may expire", log.ErrNotLeader)
)

// quiet passes on what the library has to say, for who looks closely.
type quiet struct{ hclog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.Debug("zookeeper client: " + fmt.Sprintf(format, args...))
}

// begin starts a session. It waits for nobody; await does.
func begin(ctx context.Context, cfg Config) (*session, error) {
	s := &session{cfg: cfg, gone: make(chan struct{}), heard: make(chan struct{}), acl: zk.WorldACL(zk.PermAll)}
	if cfg.Auth != "" {
		s.acl = zk.AuthACL(zk.PermAll)
		if cfg.WorldReadable {
			s.acl = append(s.acl, zk.WorldACL(zk.PermRead)...)
		}
	}
	s.Context, s.end = context.WithCancelCause(ctx)
	heard := sync.OnceFunc(func() { close(s.heard) })
	started := time.Now()
	conn, events, err := zk.Connect(cfg.Servers, cfg.SessionTimeout,
		zk.WithDialer(s.dial), zk.WithLogger(quiet{cfg.Logger}), zk.WithLogInfo(false),
		zk.WithEventCallback(func(e zk.Event) {
			switch {
			case e.Type != zk.EventSession:
			case e.State == zk.StateHasSession:
				heard()
			case e.State == zk.StateExpired:
				s.end(errExpired)
			}
		}))
	if err != nil {
		s.end(err)
		return nil, err
	}
	s.conn = conn
	go func() {
		for range events { // closed when the library has ended
		}
		close(s.gone)
	}()
	context.AfterFunc(s, conn.Close)
	go func() {
		select {
		case <-s.heard:
			s.prove(started)
		case <-s.Done():
		}
	}()
	return s, nil
}

// reach begins a session, of which begun is told, and waits until a server has granted it. It fails when ctx ends.
func reach(ctx context.Context, cfg Config, begun func(*session)) (*session, error) {
	const say = 10 * time.Second
	for {
		s, err := begin(ctx, cfg)
		if err != nil { // names that are not known now may be later
			cfg.Logger.Warn("the ZooKeeper ensemble cannot be looked up, trying again", "servers", cfg.Servers, "error", err)
			select {
			case <-time.After(time.Second):
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		begun(s)
		for waiting := true; waiting; {
			select {
			case <-s.heard:
				waiting = false
			case <-time.After(say):
				cfg.Logger.Warn("waiting for the ZooKeeper ensemble", "servers", cfg.Servers)
			case <-s.Done():
				waiting = false
			}
		}
		if cfg.Auth != "" && s.Err() == nil {
			err = s.insist(func() error { return s.conn.AddAuth("digest", []byte(cfg.Auth)) })
		}
		if err == nil && s.Err() == nil {
			return s, nil
		}
		s.finish(err)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// finish ends the session and returns once nothing of it is left here.
func (s *session) finish(cause error) {
	s.end(cause)
	<-s.gone
}

func (s *session) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, min(timeout, s.cfg.SessionTimeout/3))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mute {
		return nil, errors.Join(errors.New("mute"), conn.Close())
	}
	next := &link{Conn: conn, greeting: s.cfg.SessionTimeout / 3, granted: &s.granted}
	if s.link != nil {
		next.rewatch = make(chan struct{})
	}
	s.link = next
	return next, nil
}

// hangUp closes the present connection; the library makes another one.
func (s *session) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil {
		_ = s.link.Close() // the library closes it as well
	}
}

// timeout is what the servers have granted.
func (s *session) timeout() time.Duration { return time.Duration(s.granted.Load()) }

// prove asks something again and again, and ends the session when no answer has come for nine tenths of its
// timeout: a server counts from when it got a request, which is after that was sent. A connection on which an answer
// takes too long is given up for another.
func (s *session) prove(proven time.Time) {
	for {
		asked := time.Now()
		answer := make(chan error, 1)
		go func() {
			_, _, err := s.conn.Exists(s.cfg.Root)
			answer <- err
		}()
		slow := time.After(s.timeout() / 3)
		dead := time.After(time.Until(proven.Add(s.timeout() * 9 / 10)))
		pause := s.timeout() / 6
		for waiting := true; waiting; {
			select {
			case err := <-answer:
				waiting = false
				switch {
				case err == nil:
					proven = asked
				case errors.Is(err, zk.ErrSessionExpired):
					s.end(errExpired)
				case lost(err):
					pause = min(pause, 50*time.Millisecond)
				}
			case <-slow:
				s.hangUp()
			case <-dead:
				s.end(errSilent)
			case <-s.Done():
				return
			}
		}
		select {
		case <-time.After(pause):
		case <-s.Done():
			return
		}
	}
}

// lost tells whether a request may have been done or not, since the connection was lost under it.
func lost(err error) bool {
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) || errors.Is(err, zk.ErrClosing) ||
		errors.Is(err, zk.ErrSessionMoved)
}

// insist does something until it is answered or the session has ended. What it does must bear repetition.
func (s *session) insist(do func() error) error {
	for {
		if s.Err() != nil {
			return context.Cause(s)
		}
		err := do()
		switch {
		case errors.Is(err, zk.ErrSessionExpired):
			s.end(errExpired)
			return context.Cause(s)
		case !lost(err):
			return err
		}
	}
}

// path is a node below the root.
func (s *session) path(name string) string { return s.cfg.Root + "/" + name }

func (s *session) get(name string) (data []byte, stat *zk.Stat, err error) {
	err = s.insist(func() (err error) {
		data, stat, err = s.conn.Get(s.path(name))
		return err
	})
	return data, stat, err
}

// list gives the names of a node's children, in no order.
func (s *session) list(name string) (names []string, err error) {
	err = s.insist(func() (err error) {
		names, _, err = s.conn.Children(s.path(name))
		return err
	})
	return names, err
}

// put makes a node whose name nobody else uses.
func (s *session) put(name string, data []byte) error {
	err := s.insist(func() error {
		_, err := s.conn.Create(s.path(name), data, 0, s.acl)
		return err
	})
	if errors.Is(err, zk.ErrNodeExists) {
		return nil // by an attempt whose answer was lost
	}
	return err
}

// remove takes a node away, if it is there.
func (s *session) remove(name string) error {
	err := s.insist(func() error { return s.conn.Delete(s.path(name), -1) })
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	return err
}

// watch tells whether a node is there, and closes or fills a channel when that changes, or its data does.
func (s *session) watch(name string) (there bool, changed <-chan zk.Event, err error) {
	err = s.insist(func() (err error) {
		there, _, changed, err = s.conn.ExistsW(s.path(name))
		return err
	})
	return there, changed, err
}

// sync has the server that this session talks to catch up with the ensemble.
func (s *session) sync() error {
	return s.insist(func() error {
		_, err := s.conn.Sync(s.cfg.Root)
		return err
	})
}
