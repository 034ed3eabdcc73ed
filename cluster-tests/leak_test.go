package clustertests

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// held is what a process holds and a leak makes grow.
type held struct{ goroutines, descriptors int }

func (n *Node) held() (h held, err error) {
	if h.goroutines, err = n.gauge("go_goroutines"); err == nil {
		h.descriptors, err = n.gauge("process_open_fds")
	}
	return h, err
}

// gauge reads one of a node's metrics.
func (n *Node) gauge(name string) (int, error) {
	text, err := n.get("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// What a node of a run holds at most when nobody asks it anything any more: some fifty goroutines and thirty files, and
// connections to other members, which are kept for a minute.
var atRest = held{goroutines: 150, descriptors: 100}

// leaks holds against that what every node has at the end of a run.
func (r *run) leaks() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*r.recovery)
	defer cancel()
	for _, node := range r.c.members() {
		for {
			now, err := node.held()
			if err == nil && now.goroutines <= atRest.goroutines && now.descriptors <= atRest.descriptors {
				break
			}
			if !wait(ctx, 100*time.Millisecond) {
				r.violate("leak", "%s holds %+v, %v, when nobody asks it anything", node.ID, now, err)
				break
			}
		}
	}
}
