package transporttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
)

var given sync.Map // addresses

// Before its first process the os package tries how processes can be begun, with one that is begun without the lock that
// try relies on. This has it done now.
var _, _ = os.FindProcess(os.Getpid())

// Address finds an address on loopback that nobody listens on, and gives each out once. Its port is below those that
// the kernel takes for outgoing connections, which would otherwise come between before somebody listens there.
func Address(t testing.TB) string {
	t.Helper()
	for tries := 0; ; tries++ {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if _, taken := given.LoadOrStore(address, true); taken {
			continue
		}
		err := try(address)
		if err == nil {
			return address
		}
		if tries > 1000 {
			t.Fatal(err)
		}
	}
}

// try listens for a moment, in which no process is begun: one that is has every socket of this one until it runs its own
// program, and so would listen on.
func try(address string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return listener.Close()
}
