package raftlog

import "testing"

// What stays behind a snapshot is bounded by entries and by bytes, and never nothing.
func TestTrailing(t *testing.T) {
	for _, c := range []struct{ most, bytes, entries, want uint64 }{
		{256, 0, 0, 256},
		{256, 128 << 20, 100_000, 256},
		{256, 128 << 20, 512, 256}, // of a quarter of a MiB
		{256, 128 << 20, 8, 4},     // of 16 MiB
		{256, 1 << 30, 1, 1},
		{1, 128 << 20, 100_000, 1},
	} {
		if got := trailing(c.most, c.bytes, c.entries); got != c.want {
			t.Errorf("at most %d, %d bytes in %d entries: %d stay, not %d", c.most, c.bytes, c.entries, got, c.want)
		}
	}
}
