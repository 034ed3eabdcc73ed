package clustertests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// network is a switch of its own, and each node a machine on it: a network namespace with one cable. Clients are on
// the switch. It needs root.
type network struct {
	t    testing.TB
	name string // of the switch, and the beginning of every other name
	net  string // the first three bytes of all addresses, of those that RFC 2544 keeps for such use
}

// newNetwork skips the test where the system does not let it make one.
func newNetwork(t testing.TB) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("network namespaces and firewalls need %s: %v", tool, err)
		}
	}
	n := &network{t: t, name: fmt.Sprintf("rg%x", os.Getpid()), net: fmt.Sprintf("198.18.%d", os.Getpid()%250)}
	if err := try("ip", "link", "add", n.name, "type", "bridge"); err != nil {
		t.Skipf("the system lets nobody make a switch: %v", err)
	}
	t.Cleanup(func() { n.ip("link", "del", n.name) })
	n.ip("addr", "add", n.net+".254/24", "dev", n.name)
	n.ip("link", "set", n.name, "up")
	return n
}

func try(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if err := try("ip", args...); err != nil {
		n.t.Error(err)
	}
}

// machine adds the machine of a node and returns its address.
func (n *network) machine(node string) string {
	n.t.Helper()
	space, cable, address := n.space(node), n.name+node, n.net+"."+strings.TrimPrefix(node, "n")
	n.ip("netns", "add", space)
	n.t.Cleanup(func() { n.ip("netns", "del", space) })
	n.ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
	n.ip("link", "set", cable, "master", n.name, "up")
	n.ip("-n", space, "addr", "add", address+"/24", "dev", "eth0")
	n.ip("-n", space, "link", "set", "eth0", "up")
	n.ip("-n", space, "link", "set", "lo", "up")
	return address
}

func (n *network) space(node string) string { return n.name + "-" + node }

// pull pulls the cable of a node, and plug puts it back.
func (n *network) pull(node string) { n.ip("link", "set", n.name+node, "down") }
func (n *network) plug(node string) { n.ip("link", "set", n.name+node, "up") }

// reject has the firewall of a node answer everything from another with a reset, until admit.
func (n *network) reject(node, from string) {
	n.t.Helper()
	n.ip("netns", "exec", n.space(node), "nft", fmt.Sprintf(
		"add table ip f; add chain ip f in { type filter hook input priority 0; }; add rule ip f in ip saddr %s.%s meta l4proto tcp reject with tcp reset",
		n.net, strings.TrimPrefix(from, "n")))
}

func (n *network) admit(node string) {
	n.ip("netns", "exec", n.space(node), "nft", "delete table ip f")
}
