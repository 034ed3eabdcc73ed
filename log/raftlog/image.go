package raftlog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"
)

// A snapshot in raft's file is this header and then what the machine wrote. Raft knows the index of the last
// entry, but not of the last that carried a command.
const snapshotMagic = "raftlog\x01"

// OpenSnapshot reads the header of a snapshot as it is in the snapshot store, and returns the index of the
// last command in it and the machine's own bytes.
func OpenSnapshot(r io.Reader) (applied uint64, state io.Reader, err error) {
	var header [len(snapshotMagic) + 8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, fmt.Errorf("snapshot header: %w", err)
	}
	if string(header[:len(snapshotMagic)]) != snapshotMagic {
		return 0, nil, errors.New("snapshot header: not one that this program writes")
	}
	return binary.BigEndian.Uint64(header[len(snapshotMagic):]), r, nil
}

// image is a snapshot that is being written.
type image struct {
	applied uint64
	state   io.WriterTo
	written func(size uint64) // called once it is on disk
	latest  func() uint64     // the last command that was applied by now
}

// Persist implements raft.FSMSnapshot, in a goroutine of its own.
func (i *image) Persist(sink raft.SnapshotSink) error {
	counted := &counter{w: sink}
	if err := i.write(counted); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	i.written(counted.n)
	return nil
}

func (i *image) write(sink io.Writer) error {
	w := bufio.NewWriterSize(&resting{to: sink, latest: i.latest, since: time.Now()}, sliceSize)
	w.WriteString(snapshotMagic) // bufio keeps the error for Flush
	w.Write(binary.BigEndian.AppendUint64(nil, i.applied))
	if _, err := i.state.WriteTo(w); err != nil {
		return err
	}
	return w.Flush()
}

const (
	sliceSize = 256 << 10             // of a snapshot: one to two milliseconds' work
	longRest  = 50 * time.Millisecond // at most, after a slice that the disk kept waiting
)

// resting writes slices, and rests after each for as long as it took, while commands are applied: a large state would
// otherwise keep a processor and the disk for seconds from those who write.
type resting struct {
	to     io.Writer
	latest func() uint64
	seen   uint64 // what latest was at the end of the last slice
	since  time.Time
}

func (r *resting) Write(slice []byte) (int, error) {
	n, err := r.to.Write(slice)
	if latest := r.latest(); latest != r.seen {
		r.seen = latest
		time.Sleep(min(time.Since(r.since), longRest))
	}
	r.since = time.Now()
	return n, err
}

// Release implements raft.FSMSnapshot.
func (i *image) Release() {}
