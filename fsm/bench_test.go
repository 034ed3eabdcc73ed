package fsm

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// fleet admits n agents.
func fleet(b *testing.B, n int) *Registry {
	b.Helper()
	m := newScripted()
	for first := 0; first < n; first += 512 {
		var ps []Proposal
		for i := first; i < min(first+512, n); i++ {
			ps = append(ps, Proposal{Op: AdmitAgent{benchAgent(b, i)}, By: "127.0.0.1"})
		}
		if _, err := m.do(Head{Reign: 1}, ps...); err != nil {
			b.Fatal(err)
		}
	}
	return m.Registry
}

func benchAgent(b *testing.B, i int) AgentObject {
	object, err := AgentInfo{
		ID: fmt.Sprintf("agent-%08d", i*7919%10_000_019), Hostname: fmt.Sprintf("node-%08d.rack-00.example.internal", i),
		Resources:  []Resource{{Name: "cpus", Scalar: &Scalar{16}}, {Name: "mem", Scalar: &Scalar{65536}}, {Name: "disk", Scalar: &Scalar{1 << 20}}},
		Attributes: []Attribute{{Name: "rack", Text: &Text{"r00"}}},
	}.Object()
	if err != nil {
		b.Fatal(err)
	}
	return object
}

var sizes = []int{1_000, 100_000, 1_000_000}

// One operation alone in its frame, and 512 in one: the cost at any size of the registry.
func BenchmarkApply(b *testing.B) {
	for _, size := range sizes {
		r := fleet(b, size)
		next := size
		for _, batch := range []int{1, 512} {
			b.Run(fmt.Sprintf("agents=%d/batch=%d", size, batch), func(b *testing.B) {
				b.ReportAllocs()
				frames := make([][]byte, 0, b.N)
				for range b.N {
					ps := make([]Proposal, batch)
					for i := range ps {
						ps[i] = Proposal{Op: AdmitAgent{benchAgent(b, next)}, By: "127.0.0.1"}
						next++
					}
					frame, err := EncodeFrame(1, time.Now(), ps...)
					if err != nil {
						b.Fatal(err)
					}
					frames = append(frames, frame)
				}
				b.ResetTimer()
				for _, frame := range frames {
					if _, err := r.Apply(r.State().Index()+1, frame); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/operation")
			})
		}
	}
}

// Random agents of 50,000 fall silent and come back, 256 in a frame: what a cluster does all day.
func BenchmarkToggle(b *testing.B) {
	const agents, batch = 50_000, 256
	r := fleet(b, agents)
	b.ReportAllocs()
	var frames [][]byte
	order := rand.New(rand.NewPCG(1, 2)).Perm(agents)
	for n := range b.N {
		ps := make([]Proposal, 0, batch)
		for k := range batch {
			i := n/2*batch + k
			agent := benchAgent(b, order[i%agents])
			if n%2 == 0 {
				ps = append(ps, Proposal{Op: MarkUnreachable{ID: agent.ID, Reason: "silent"}, By: "127.0.0.1"})
			} else {
				ps = append(ps, Proposal{Op: ReachAgent{Agent: agent}, By: "127.0.0.1"})
			}
		}
		frame, err := EncodeFrame(1, time.Now(), ps...)
		if err != nil {
			b.Fatal(err)
		}
		frames = append(frames, frame)
	}
	b.ResetTimer()
	for _, frame := range frames {
		result, err := r.Apply(r.state.index+1, frame)
		if err != nil || !result.Outcomes[0].Changed {
			b.Fatal(result.Outcomes[0].Rejection, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/operation")
}

func BenchmarkDecodeFrame(b *testing.B) {
	ps := make([]Proposal, 512)
	for i := range ps {
		ps[i] = Proposal{Op: AdmitAgent{benchAgent(b, i)}, By: "127.0.0.1"}
	}
	frame, err := EncodeFrame(1, time.Now(), ps...)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeFrame(frame); err != nil {
			b.Fatal(err)
		}
	}
}

// What status costs at a million agents.
func BenchmarkDigest(b *testing.B) {
	r := fleet(b, 1_000_000)
	b.ResetTimer()
	for range b.N {
		s := r.State()
		_, _, _ = s.Digest(), s.Chain(), s.Count(Admitted)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	r := fleet(b, 1_000_000)
	b.Run("take", func(b *testing.B) {
		for range b.N {
			if _, err := r.Snapshot(); err != nil {
				b.Fatal(err)
			}
		}
	})
	image, _ := r.Snapshot()
	var whole bytes.Buffer
	b.Run("write", func(b *testing.B) {
		for range b.N {
			n, err := image.WriteTo(io.Discard)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(n)
		}
	})
	if _, err := image.WriteTo(&whole); err != nil {
		b.Fatal(err)
	}
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(int64(whole.Len()))
		for range b.N {
			if err := New().Restore(bytes.NewReader(whole.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What a State of agents with 300 bytes of info each takes in memory, all of it, by the agent; the least that it can be is
// their ids and infos.
func BenchmarkStateBytes(b *testing.B) {
	const info = 300
	for _, size := range sizes[1:] {
		b.Run(fmt.Sprintf("agents=%d", size), func(b *testing.B) {
			for b.Loop() {
				m := newScripted()
				for first := 0; first < size; first += 512 {
					var ps []Proposal
					for i := first; i < min(first+512, size); i++ {
						agent := AgentObject{ID: fmt.Sprintf("agent-%08d", i*7919%10_000_019)}
						agent.Info = Info(fmt.Sprintf("%-*s", info, agent.ID))
						ps = append(ps, Proposal{Op: AdmitAgent{agent}, By: "127.0.0.1"})
					}
					if _, err := m.do(Head{Reign: 1}, ps...); err != nil {
						b.Fatal(err)
					}
				}
				state := m.State()
				m = nil
				with := heap()
				runtime.KeepAlive(state)
				state = nil
				b.ReportMetric(float64(with-heap())/float64(size), "bytes/agent")
			}
		})
	}
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
