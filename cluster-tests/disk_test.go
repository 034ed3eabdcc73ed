package clustertests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/registrard/registrard/log/disk"
)

// disks gives each node a file system of its own, ext4 in a file: it can be full, stand still, and lose what was
// not synced as when the power fails.
type disks struct {
	t    testing.TB
	base string
	size int // MiB, of each

	mu     sync.Mutex
	mounts []string
	guards []*exec.Cmd // of freezes that have not been ended
}

const diskPrefix = "registrard-disks-" // + pid

// noDisks says why there can be no disks, or nothing.
func noDisks() string {
	if os.Getuid() != 0 {
		return "mounting needs root"
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount", "fsfreeze"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "disks need " + tool
		}
	}
	return ""
}

// newDisks makes none yet; they go when the test ends.
func newDisks(t testing.TB, size int) *disks {
	t.Helper()
	clearDisks()
	base, err := os.MkdirTemp("", diskPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		t.Fatal(err)
	}
	d := &disks{t: t, base: base, size: size}
	t.Cleanup(func() { removeDisks(base) })
	return d
}

// clearDisks takes away what runs that are no more have left.
func clearDisks() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), diskPrefix+"*")) // the pattern is good
	for _, base := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(base), diskPrefix), "-")
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			removeDisks(base)
		}
	}
}

func removeDisks(base string) {
	mounts, _ := filepath.Glob(filepath.Join(base, "*.mount"))
	for _, mount := range mounts {
		_ = try("fsfreeze", "-u", mount) // where it is frozen
		_ = try("umount", "--lazy", mount)
	}
	_ = os.RemoveAll(base)
}

func (d *disks) image(id string) string { return filepath.Join(d.base, id+".ext4") }
func (d *disks) at(id string) string    { return filepath.Join(d.base, id+".mount") }

// mount makes a node's disk and returns where it is.
func (d *disks) mount(id string) string {
	d.t.Helper()
	at := d.at(id)
	if err := os.Mkdir(at, 0o700); err != nil {
		d.t.Fatal(err)
	}
	must(d.t, "truncate", "--size", fmt.Sprintf("%dM", d.size), d.image(id))
	must(d.t, "mkfs.ext4", "-q", "-F", "-m", "0", d.image(id))
	d.again(id)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mounts = append(d.mounts, at)
	return at
}

// again mounts a disk that was unmounted.
func (d *disks) again(id string) {
	d.t.Helper()
	must(d.t, "mount", "-o", "loop", d.image(id), d.at(id))
}

// freeze makes every write to a node's disk wait. Whatever becomes of this process, another one ends it after
// a while.
func (d *disks) freeze(id string, longest time.Duration) {
	d.t.Helper()
	must(d.t, "fsfreeze", "-f", d.at(id))
	guard := exec.Command("sh", "-c", fmt.Sprintf("sleep %d; fsfreeze -u %s 2>/dev/null", int(longest.Seconds())+1, d.at(id)))
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := guard.Start(); err != nil {
		d.t.Error(err)
		return
	}
	go func() { _ = guard.Wait() }() // it is done when its time has come, or thaw ends it
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guards = append(d.guards, guard)
}

// thaw ends all freezes.
func (d *disks) thaw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, guard := range d.guards { // or it would end a later freeze
		_ = syscall.Kill(-guard.Process.Pid, syscall.SIGKILL) // none is left where its time has come
	}
	d.guards = nil
	for _, at := range d.mounts {
		_ = try("fsfreeze", "-u", at) // fails where it is not frozen
	}
}

// fill leaves no room on a node's disk; what it returns makes room again.
func (d *disks) fill(id string) (free func()) {
	d.t.Helper()
	name := filepath.Join(d.at(id), "ballast")
	file, err := os.Create(name)
	if err != nil {
		d.t.Error(err)
		return func() {}
	}
	defer file.Close()
	var at int64
	for size := int64(64 << 20); size >= 1<<10; {
		if syscall.Fallocate(int(file.Fd()), 0, at, size) != nil {
			size >>= 1
		} else {
			at += size
		}
	}
	return func() {
		// Made durable, or the loss of power that comes next may bring it back.
		if err := errors.Join(os.Remove(name), disk.SyncDir(filepath.Dir(name))); err != nil {
			d.t.Error(err)
		}
	}
}

// The kernel's way to stop a file system at once, as a loss of power does: EXT4_IOC_SHUTDOWN, without writing
// back even the journal.
const (
	ioctlShutdown = 0x8004587d
	noLogFlush    = 2
)

// powerOff loses what was not synced. The node's process has to be killed and the disk mounted again.
func (d *disks) powerOff(id string) {
	d.t.Helper()
	dir, err := os.Open(d.at(id))
	if err != nil {
		d.t.Error(err)
		return
	}
	defer dir.Close()
	how := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		d.t.Errorf("shut down %s: %v", d.at(id), errno)
	}
}

// remount is what a machine does when it has power again.
func (d *disks) remount(id string) {
	d.t.Helper()
	must(d.t, "umount", d.at(id))
	d.again(id)
}
