package raftlog

import (
	"sync"

	"github.com/hashicorp/raft"
)

// The newest entries are in memory, for followers that are a little behind: packs of commands, which are of up to a
// quarter of a MiB. A single command that is larger, of which there may be some MiB in each entry, is read from the disk.
const (
	cachedEntries = 128
	cachedSize    = 512 << 10
)

// cache is a log store with its newest entries in memory.
type cache struct {
	raft.LogStore

	mu     sync.RWMutex
	newest [cachedEntries]*raft.Log // by index, modulo their number
}

// GetLog implements raft.LogStore.
func (c *cache) GetLog(index uint64, e *raft.Log) error {
	c.mu.RLock()
	kept := c.newest[index%cachedEntries]
	c.mu.RUnlock()
	if kept != nil && kept.Index == index {
		*e = *kept
		return nil
	}
	return c.LogStore.GetLog(index, e)
}

// StoreLog implements raft.LogStore.
func (c *cache) StoreLog(e *raft.Log) error { return c.StoreLogs([]*raft.Log{e}) }

// StoreLogs implements raft.LogStore. What cannot be stored is not in memory either.
func (c *cache) StoreLogs(entries []*raft.Log) error {
	if err := c.LogStore.StoreLogs(entries); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		kept := e
		if len(e.Data) > cachedSize {
			kept = nil
		}
		c.newest[e.Index%cachedEntries] = kept
	}
	return nil
}

// DeleteRange implements raft.LogStore.
func (c *cache) DeleteRange(low, high uint64) error {
	c.mu.Lock()
	clear(c.newest[:])
	c.mu.Unlock()
	return c.LogStore.DeleteRange(low, high)
}
