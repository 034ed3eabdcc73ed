package registrar

import (
	"sync"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
)

// write turns what is queued into frames until the reign ends and every frame in flight has been answered.
// While InFlight frames are in flight the next one collects: the slower the log, the larger the batches.
func (r *Registrar) write(current *reign) {
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	slots := make(chan struct{}, r.config.InFlight)
	for {
		select {
		case slots <- struct{}{}:
		case <-current.Done():
			return
		}
		batch := r.next(current)
		if batch == nil {
			return
		}
		inFlight.Go(func() {
			r.propose(current, batch)
			<-slots
		})
	}
}

// next waits for requests; nil: the reign ended.
func (r *Registrar) next(current *reign) []*request {
	for current.Err() == nil {
		if batch := r.queue.take(r.config.BatchOps, r.config.BatchBytes); len(batch) > 0 {
			return batch
		}
		select {
		case <-r.queue.arrived:
		case <-current.Done():
		}
	}
	return nil
}

// propose has one frame made durable and applied, and tells each request its part of what came of it.
func (r *Registrar) propose(current *reign, batch []*request) {
	parts := make([]fsm.Batch, len(batch))
	ops := 0
	for i, request := range batch {
		parts[i] = request.batch
		ops += request.batch.Ops()
	}
	head := fsm.Head{Reign: current.number, At: fsm.TimeOf(r.config.Now()), Limit: r.config.MaxRegistryBytes}
	start := time.Now()
	result, err := r.log.Propose(current, fsm.Join(head, parts...))
	r.metrics.frame(ops, time.Since(start), result, err)
	if err == nil && result.Stale {
		err = log.ErrNotLeader // a newer reign had begun: the machine passed the frame over, on every node
	}
	for _, request := range batch {
		own := fsm.Result{Index: result.Index}
		if err == nil {
			own.Outcomes = result.Outcomes[:request.batch.Ops():request.batch.Ops()]
			result.Outcomes = result.Outcomes[request.batch.Ops():]
		}
		request.answer(own, err)
	}
}
