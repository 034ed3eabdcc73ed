package mastership

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
)

// What a master can be told beside the Registrar's own errors; nothing was changed then.
var (
	// ErrHeld: another master's lease has not run out.
	ErrHeld = errors.New("mastership is held")
	// ErrSuperseded: the epoch was resigned, or another was claimed since.
	ErrSuperseded = errors.New("epoch is superseded")
)

// Bounds of a lease: shorter cannot be renewed in time over a network, longer keeps a dead master's place.
const (
	MinTTL = 100 * time.Millisecond
	MaxTTL = time.Hour
)

// Registrar is what this package needs of a *registrar.Registrar.
type Registrar interface {
	State() *fsm.State
	View(ctx context.Context, c registrar.Consistency) (*fsm.State, error)
	Propose(ctx context.Context, ps []fsm.Proposal) (fsm.Result, error)
	Duty(name string, run func(reign context.Context) error)
}

// Mastership grants the lease of masters that run outside the cluster. It does so while this node leads, and
// fails with log.ErrNotLeader otherwise. All methods may be called from any goroutine.
type Mastership struct {
	registrar Registrar
	logger    hclog.Logger
	turn      chan struct{} // has room for one: claims, renewals and resignations come one after the other

	mu    sync.Mutex
	reign context.Context // nil while this node does not lead
	lease lease
}

// lease is soft: it lives in the leader's memory. The zero value has run out.
type lease struct {
	epoch uint64
	ttl   time.Duration
	until time.Time // on the monotonic clock
}

// New grants mastership in each reign of r. Call it before r.Run; logger may be nil.
func New(r Registrar, logger hclog.Logger) *Mastership {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	m := &Mastership{registrar: r, logger: logger.Named("mastership"), turn: make(chan struct{}, 1)}
	r.Duty("mastership", m.serve)
	return m
}

// Grant is a mastership as it was claimed.
type Grant struct {
	Epoch uint64 `json:"epoch"` // to be sent along with every operation
	Index uint64 `json:"index"` // read the registry at or after it
}

// Claim makes id the master for ttl, under a new epoch, and supersedes the last one for good. info is the
// master's own description in canonical JSON. While another id's lease runs it fails with ErrHeld; the
// holder's own id may claim again. log.ErrUncertain says that a claim was perhaps made: claim again.
func (m *Mastership) Claim(ctx context.Context, id string, info fsm.Info, ttl time.Duration, by string) (Grant, error) {
	if ttl < MinTTL || ttl > MaxTTL {
		return Grant{}, &fsm.Rejection{Kind: "master.claim", Code: fsm.BadRequest,
			Reason: fmt.Sprintf("ttl %s is not between %s and %s", ttl, MinTTL, MaxTTL)}
	}
	ctx, reign, done, err := m.begin(ctx)
	if err != nil {
		return Grant{}, fmt.Errorf("claim mastership: %w", err)
	}
	defer done()
	// Not a linearizable read: the reign's number in the frame rejects the claim of a deposed leader.
	if holder, held := m.registrar.State().Master(); held && holder.ID != id && m.remaining(holder.Epoch) > 0 {
		return Grant{}, fmt.Errorf("%w by %s", ErrHeld, holder.ID)
	}
	result, err := m.registrar.Propose(ctx, []fsm.Proposal{{Op: fsm.ClaimMastership{ID: id, Info: info, TTL: fsm.Duration(ttl)}, By: by}})
	if err != nil {
		return Grant{}, fmt.Errorf("claim mastership: %w", err)
	}
	if rejection := result.Outcomes[0].Rejection; rejection != nil {
		return Grant{}, rejection
	}
	// The State may be past the claim already, and another's epoch must never be handed out.
	holder, held := m.registrar.State().Master()
	if !held || holder.Index != result.Index {
		return Grant{}, fmt.Errorf("claim at index %d: %w", result.Index, ErrSuperseded)
	}
	m.extend(reign, holder.Epoch, ttl)
	m.logger.Info("mastership claimed", "id", id, "epoch", holder.Epoch, "index", result.Index)
	return Grant{Epoch: holder.Epoch, Index: result.Index}, nil
}

// Renew gives the holder of epoch its whole ttl again. A lease that ran out can still be renewed as long as
// nobody has claimed; otherwise it fails with ErrSuperseded.
func (m *Mastership) Renew(ctx context.Context, epoch uint64) error {
	ctx, reign, done, err := m.begin(ctx)
	if err != nil {
		return fmt.Errorf("renew mastership: %w", err)
	}
	defer done()
	state, err := m.registrar.View(ctx, registrar.Linearizable)
	if err != nil {
		return fmt.Errorf("renew mastership: %w", err)
	}
	holder, held := state.Master()
	if !held || holder.Epoch != epoch {
		return fmt.Errorf("renew epoch %d: %w", epoch, ErrSuperseded)
	}
	m.extend(reign, epoch, time.Duration(holder.TTL))
	return nil
}

// Resign ends the epoch at once: nothing proposed under it is applied any more, and anybody may claim. It
// returns the index at which it ended.
func (m *Mastership) Resign(ctx context.Context, epoch uint64, by string) (uint64, error) {
	ctx, _, done, err := m.begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("resign mastership: %w", err)
	}
	defer done()
	result, err := m.registrar.Propose(ctx, []fsm.Proposal{{Op: fsm.ResignMastership{Epoch: epoch}, By: by}})
	if err != nil {
		return 0, fmt.Errorf("resign mastership: %w", err)
	}
	if rejection := result.Outcomes[0].Rejection; rejection != nil {
		return 0, fmt.Errorf("resign epoch %d: %w", epoch, ErrSuperseded)
	}
	m.logger.Info("mastership resigned", "epoch", epoch, "index", result.Index)
	return result.Index, nil
}

// Remaining is how long the lease of an epoch still runs, 0 where it has run out or this node does not lead.
// Who holds it is in the State: State.Master.
func (m *Mastership) Remaining(epoch uint64) time.Duration { return m.remaining(epoch) }

// serve is the leader's duty: whoever held mastership under the last leader has one whole ttl.
func (m *Mastership) serve(reign context.Context) error {
	m.mu.Lock()
	m.reign, m.lease = reign, lease{}
	if holder, held := m.registrar.State().Master(); held {
		ttl := time.Duration(holder.TTL)
		m.lease = lease{epoch: holder.Epoch, ttl: ttl, until: time.Now().Add(ttl)}
	}
	m.mu.Unlock()
	<-reign.Done()
	m.mu.Lock()
	m.reign, m.lease = nil, lease{}
	m.mu.Unlock()
	return nil
}

// begin takes the turn, and gives a context that ends with the caller's or with the reign, so that what was
// decided by this reign's lease is never proposed in the next.
func (m *Mastership) begin(ctx context.Context) (joined, reign context.Context, done func(), err error) {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, nil, context.Cause(ctx)
	}
	m.mu.Lock()
	reign = m.reign
	m.mu.Unlock()
	if reign == nil || reign.Err() != nil {
		<-m.turn
		return nil, nil, nil, log.ErrNotLeader
	}
	joined, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(reign, func() { cancel(context.Cause(reign)) })
	return joined, reign, func() {
		stop()
		cancel(nil)
		<-m.turn
	}, nil
}

func (m *Mastership) extend(reign context.Context, epoch uint64, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reign == reign {
		m.lease = lease{epoch: epoch, ttl: ttl, until: time.Now().Add(ttl)}
	}
}

func (m *Mastership) remaining(epoch uint64) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease.epoch != epoch {
		return 0
	}
	return max(time.Until(m.lease.until), 0)
}
