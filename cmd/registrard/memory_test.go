package main

import "testing"

func TestCollectPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 32 << 20: 400, 64 << 20: 200, 128 << 20: 100, 512 << 20: collectShare, 4 << 30: collectShare} {
		if got := collectPercent(live); got != want {
			t.Errorf("%d bytes in use: %d, not %d", live, got, want)
		}
	}
}
