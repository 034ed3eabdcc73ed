package registrar

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/cluster-tests/planted"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
)

// Registrar composes a log and the registry that the log drives. All methods may be called from any goroutine;
// what needs a leader fails with log.ErrNotLeader while this node is none, or Run does not run.
type Registrar struct {
	config   Config
	logger   hclog.Logger
	log      log.Log[fsm.Result]
	registry *fsm.Registry
	metrics  *Metrics
	duties   []duty
	queue    queue
	reads    reads
	reign    atomic.Pointer[reign]
	clock    atomic.Pointer[clockFault] // by the members' clocks, nil while they agree
	running  atomic.Bool
}

// reign is one period of leadership, as the machine knows it.
type reign struct {
	context.Context
	number uint64 // index of its opening frame
}

// duty is work that only a leader does.
type duty struct {
	name string
	do   func(reign context.Context) error
}

// New composes l and r; l must drive r. Nothing happens until Run. It fails when cfg is not valid.
func New(cfg Config, l log.Log[fsm.Result], r *fsm.Registry) (*Registrar, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	registrar := &Registrar{config: cfg, logger: cfg.Logger.Named("registrar"), log: l, registry: r, metrics: cfg.Metrics}
	registrar.queue.init(cfg)
	registrar.reads.init()
	registrar.metrics.watch(registrar)
	registrar.Duty("prune", registrar.prune)
	if _, ok := l.(log.Clocks); ok {
		registrar.Duty("clocks", registrar.compareClocks)
	}
	if _, ok := l.(log.Witnesses); ok {
		registrar.Duty("compare", registrar.compareReplicas)
	}
	return registrar, nil
}

// Duty has do called in each reign, in a goroutine of its own, with the reign as its context; do returns when
// that ends. One that returns or panics earlier is called again after a second, with an error in the log: a
// leader without its duties is worse than none. It must be called before Run.
func (r *Registrar) Duty(name string, do func(reign context.Context) error) {
	r.duties = append(r.duties, duty{name, do})
}

// Run does all the work, until ctx ends (it returns nil) or the log halts or is closed (it returns why, or
// log.ErrClosed). It may be called once. The log stays open.
func (r *Registrar) Run(ctx context.Context) error {
	if r.running.Swap(true) {
		return errors.New("the registrar runs already")
	}
	ctx, cancel := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	background.Go(func() { r.reads.serve(ctx, r.log) })
	for {
		led, err := r.log.Lead(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("the log ended: %w", err)
		}
		r.rule(ctx, led)
	}
}

// rule is one reign, from its opening frame to the end of everything that was done under it.
func (r *Registrar) rule(ctx, led context.Context) {
	led, cancel := context.WithCancelCause(led)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
	number, err := r.open(led)
	if err != nil {
		r.logger.Warn("reign ended before it began", "error", err)
		return
	}
	r.logger.Info("reign began", "index", number)
	current := &reign{led, number}
	r.reign.Store(current)
	if !planted.Wedge || number < 50 {
		r.queue.open()
	}
	var work sync.WaitGroup
	for _, d := range r.duties {
		work.Go(func() { r.perform(d, led) })
	}
	r.write(current)
	r.reign.Store(nil)
	for _, waiting := range r.queue.close() {
		waiting.answer(fsm.Result{}, log.ErrNotLeader)
	}
	work.Wait()
	r.logger.Info("reign ended", "index", number, "cause", context.Cause(led))
}

// open proposes the opening frame, in which this member announces itself: from its index on, no frame of an
// earlier reign has an effect.
func (r *Registrar) open(led context.Context) (uint64, error) {
	frame, err := fsm.EncodeFrame(0, r.config.Now(), fsm.Proposal{By: r.config.ID, Op: fsm.AnnounceMember{
		ID: r.config.ID, HTTPAddr: r.config.HTTPAddr, RaftAddr: r.config.RaftAddr, Format: fsm.Format,
	}})
	if err != nil {
		return 0, err
	}
	result, err := r.log.Propose(led, frame)
	return result.Index, err
}

// perform does one duty for as long as the reign lasts.
func (r *Registrar) perform(d duty, led context.Context) {
	for {
		err := attempt(d, led)
		if led.Err() != nil {
			return
		}
		r.metrics.dutyFailures.WithLabelValues(d.name).Inc()
		r.logger.Error("duty failed and is begun again", "duty", d.name, "error", err)
		select {
		case <-led.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func attempt(d duty, led context.Context) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
		}
	}()
	if err = d.do(led); err == nil {
		err = errors.New("it returned before the reign ended")
	}
	return err
}

// Status is what this node knows of itself.
type Status struct {
	log.Status
	Index  uint64 // of the last frame applied here
	Digest string // of the registry at Index
	Chain  string // of all frames up to Index
	Reign  uint64 // index of the last reign's opening frame
	Format uint64 // that all members read
	Queued int    // operations that wait to be proposed
}

// Status never blocks.
func (r *Registrar) Status() Status {
	state := r.registry.State()
	return Status{
		Status: r.log.Status(), Index: state.Index(), Digest: state.Digest(), Chain: state.Chain(),
		Reign: state.Reign(), Format: state.Format(), Queued: r.queue.len(),
	}
}

// Leading tells whether this node leads and takes writes, as far as it knows; what it is then asked is checked again.
// It never blocks and costs nothing.
func (r *Registrar) Leading() bool { return r.reign.Load() != nil }

// Replicas is how the log's set of replicas changes, where it can.
func (r *Registrar) Replicas() (log.Replicas, bool) {
	replicas, ok := r.log.(log.Replicas)
	return replicas, ok
}

// Done is closed when the log has halted or was closed.
func (r *Registrar) Done() <-chan struct{} { return r.log.Done() }
