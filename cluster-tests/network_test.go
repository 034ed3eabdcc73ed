package clustertests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// network is one switch with a network namespace for each node: a machine of its own, as far as packets go. What
// is cut is cut by a rule in the namespace that would have received it; clients, on the host, reach all nodes.
//
// Everything is named after its number, and the switch tells in its alias whose it is, so that what a killed
// test run left behind is cleared away by the next.
type network struct {
	t      testing.TB
	number int

	mu    sync.Mutex
	hosts []string // the n-th has address n+1
}

const (
	switchPrefix = "regsw" // + number
	portPrefix   = "regp"  // + number.host
	spacePrefix  = "registrard-"
	netLock      = "/tmp/registrard-networks.lock"
	owner        = "registrard test, pid "
)

// noNetwork says why there can be no network, or nothing.
func noNetwork() string {
	if os.Getuid() != 0 {
		return "network namespaces need root"
	}
	for _, tool := range []string{"ip", "nft", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "partitions need " + tool
		}
	}
	return ""
}

// newNetwork makes a switch without hosts, which goes when the test ends.
func newNetwork(t testing.TB) *network {
	t.Helper()
	unlock := lockNetworks(t)
	defer unlock()
	clearNetworks(t)
	for number := 1; number < 250; number++ {
		name := switchPrefix + strconv.Itoa(number)
		if try("ip", "link", "add", name, "type", "bridge") != nil {
			continue // somebody's
		}
		n := &network{t: t, number: number}
		t.Cleanup(n.close)
		must(t, "ip", "link", "set", name, "alias", owner+strconv.Itoa(os.Getpid()))
		must(t, "ip", "address", "add", n.address(254)+"/24", "dev", name)
		must(t, "ip", "link", "set", name, "up")
		return n
	}
	t.Fatal("there is no number left for a network")
	return nil
}

func (n *network) close() {
	defer lockNetworks(n.t)()
	removeNetwork(n.number)
}

// removeNetwork takes away a switch and all that hangs on it. The kernel takes its time with a namespace, so lines
// are cut at this end.
func removeNetwork(number int) {
	ports, _ := filepath.Glob(fmt.Sprintf("/sys/class/net/%s%d.*", portPrefix, number)) // the pattern is good
	for _, port := range ports {
		_ = try("ip", "link", "delete", filepath.Base(port))
	}
	spaces, _ := exec.Command("ip", "netns", "list").Output() // none where it fails
	for line := range strings.Lines(string(spaces)) {
		space, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(space, fmt.Sprintf("%s%d-", spacePrefix, number)) {
			_ = try("ip", "netns", "delete", space)
		}
	}
	_ = try("ip", "link", "delete", switchPrefix+strconv.Itoa(number))
}

// clearNetworks takes away what runs that are no more have left.
func clearNetworks(t testing.TB) {
	t.Helper()
	for number := 1; number < 250; number++ {
		alias, err := os.ReadFile(fmt.Sprintf("/sys/class/net/%s%d/ifalias", switchPrefix, number))
		pid, ours := strings.CutPrefix(strings.TrimSpace(string(alias)), owner)
		if err != nil || !ours {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			removeNetwork(number)
		}
	}
}

func lockNetworks(t testing.TB) (unlock func()) {
	t.Helper()
	file, err := os.OpenFile(netLock, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { file.Close() }
}

func (n *network) address(host int) string { return fmt.Sprintf("10.77.%d.%d", n.number, host) }

func (n *network) space(id string) string { return fmt.Sprintf("%s%d-%s", spacePrefix, n.number, id) }

// within is how a command is run as that host. Not by ip netns exec, which would also give it mounts of its own
// and so keep disks from being unmounted.
func (n *network) within(id string) []string {
	return []string{"nsenter", "--net=/run/netns/" + n.space(id), "--"}
}

// host gives the address of a host, which is made where it is new.
func (n *network) host(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.Index(n.hosts, id); i >= 0 {
		return n.address(i + 1)
	}
	n.hosts = append(n.hosts, id)
	number := len(n.hosts)
	space, port := n.space(id), fmt.Sprintf("%s%d.%d", portPrefix, n.number, number)
	must(n.t, "ip", "netns", "add", space)
	must(n.t, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
	must(n.t, "ip", "link", "set", port, "master", switchPrefix+strconv.Itoa(n.number), "up")
	must(n.t, "ip", "-n", space, "address", "add", n.address(number)+"/24", "dev", "eth0")
	must(n.t, "ip", "-n", space, "link", "set", "eth0", "up")
	must(n.t, "ip", "-n", space, "link", "set", "lo", "up")
	n.rules(id, "add table inet faults", "add chain inet faults in { type filter hook input priority 0; }")
	return n.address(number)
}

// rules gives commands to the packet filter of a host, all or none of them.
func (n *network) rules(id string, commands ...string) {
	n.t.Helper()
	args := append(n.within(id), "nft", "-f", "-")
	command := exec.Command(args[0], args[1:]...)
	command.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := command.CombinedOutput(); err != nil {
		n.t.Errorf("nft at %s: %v: %s", id, err, out)
	}
}

// cut lets nothing from one host reach the other any more; the way back stays.
func (n *network) cut(from, to string) {
	n.t.Helper()
	n.rules(to, "add rule inet faults in ip saddr "+n.host(from)+" drop")
}

// lose makes a host lose some of what other hosts send it.
func (n *network) lose(id string, percent int) {
	n.t.Helper()
	n.rules(id, fmt.Sprintf("add rule inet faults in ip saddr != %s numgen random mod 100 < %d drop", n.address(254), percent))
}

// narrow gives a host a slow line, with a queue that makes packets late and then lost.
func (n *network) narrow(id string) {
	n.t.Helper()
	must(n.t, "nsenter", append(n.within(id)[1:], "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "2mbit", "burst", "16kb", "latency", "300ms")...)
}

// pull pulls the cable of a host, and plug puts it back.
func (n *network) pull(id string) { must(n.t, "ip", "link", "set", n.port(id), "down") }
func (n *network) plug(id string) { must(n.t, "ip", "link", "set", n.port(id), "up") }

// port is the switch's end of a host's cable.
func (n *network) port(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("%s%d.%d", portPrefix, n.number, slices.Index(n.hosts, id)+1)
}

// reject has a host answer everything from another with a reset.
func (n *network) reject(id, from string) {
	n.t.Helper()
	n.rules(id, "add rule inet faults in ip saddr "+n.host(from)+" meta l4proto tcp reject with tcp reset")
}

// heal takes all faults away.
func (n *network) heal() {
	n.t.Helper()
	n.mu.Lock()
	hosts := slices.Clone(n.hosts)
	n.mu.Unlock()
	for _, id := range hosts {
		n.rules(id, "flush chain inet faults in")
		_ = try("nsenter", append(n.within(id)[1:], "tc", "qdisc", "delete", "dev", "eth0", "root")...) // where there is one
	}
}

// try runs a command of the system.
func try(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func must(t testing.TB, name string, args ...string) {
	t.Helper()
	if err := try(name, args...); err != nil {
		t.Error(err)
	}
}
