package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/liveness"
)

// order is what a node of a cluster of its own is told to do, a line of JSON.
type order struct {
	Do       string `json:"do"` // grow, writes, collect, profile, or a part of mesos
	Load     Load   `json:"load,omitzero"`
	Snapshot bool   `json:"snapshot,omitempty"` // take one again and again during writes
	Agents   int    `json:"agents,omitempty"`
	File     string `json:"file,omitempty"` // of profile
}

// answer is what came of an order.
type answer struct {
	Rows  []Row  `json:"rows,omitempty"`
	Error string `json:"error,omitempty"`
}

// Node is what a node can be told to use.
type Node struct {
	Registrar *registrar.Registrar
	Watchman  *liveness.Watchman
	Snapshot  func(ctx context.Context) error
}

// Inside carries out orders from in, one after the other, until there are no more.
func Inside(ctx context.Context, n Node, in io.Reader, out io.Writer) error {
	i := &inside{Node: n, target: embedded{n.Registrar, n.Watchman}, fleet: newFleet()}
	answers := json.NewEncoder(out)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		rows, err := i.obey(ctx, o)
		a := answer{Rows: rows}
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return errors.Join(lines.Err(), i.profile(""))
}

// inside is the agents and the target of a node.
type inside struct {
	Node
	target    target
	fleet     *fleet
	profiling *os.File
}

func (i *inside) obey(ctx context.Context, o order) ([]Row, error) {
	switch o.Do {
	case "grow":
		return nil, i.fleet.grow(ctx, i.target, o.Agents, func(int, int) {})
	case "writes":
		return one(i.writes(ctx, o.Load, o.Snapshot))
	case "mesos-admit", "mesos-remove", "mesos-reach", "mesos-prune":
		return i.mesos(ctx, o.Do, o.Agents)
	case "collect":
		return one(collected(), nil)
	case "profile":
		return nil, i.profile(o.File)
	}
	return nil, fmt.Errorf("there is nothing like %q to do", o.Do)
}

func one(row Row, err error) ([]Row, error) { return []Row{row}, err }

// writes toggles random agents from within the process that leads; with snapshots, one is always being written.
func (i *inside) writes(ctx context.Context, l Load, snapshots bool) (Row, error) {
	stop, done := make(chan struct{}), make(chan error, 1)
	var took []time.Duration
	go func() {
		for snapshots {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			start := time.Now()
			if err := i.Snapshot(ctx); err != nil {
				done <- err
				return
			}
			took = append(took, time.Since(start))
		}
		done <- nil
	}()
	row, err := l.closed(ctx, func(ctx context.Context, caller int) error { return i.fleet.toggle(ctx, i.target, l, caller) })
	close(stop)
	if failed := <-done; failed != nil || err != nil {
		return row, errors.Join(err, failed)
	}
	if len(took) > 0 {
		all := summary(took)
		row.More = map[string]float64{"snapshots": float64(all.Count), "snapshot_p50_ms": all.P50}
	}
	return row, nil
}

// collected is what the process holds after a collection.
func collected() Row {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Row{Count: 1, More: map[string]float64{
		"heap_mib": float64(m.HeapAlloc) / (1 << 20), "objects": float64(m.HeapObjects), "resident_mib": float64(resident()) / (1 << 20),
	}}
}

// resident is the memory that the process holds, in bytes; 0 where the system does not tell.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages uint64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// profile ends the profile that is being taken, and begins one that goes to a file where it is given one.
func (i *inside) profile(file string) (err error) {
	if i.profiling != nil {
		pprof.StopCPUProfile()
		name := i.profiling.Name()
		err = i.profiling.Close()
		i.profiling = nil
		if allocs, failed := os.Create(name + ".allocs"); failed == nil {
			err = errors.Join(err, pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
		}
	}
	if file == "" || err != nil {
		return err
	}
	if i.profiling, err = os.Create(file); err != nil {
		return err
	}
	return pprof.StartCPUProfile(i.profiling)
}
