package transporttest

import (
	"context"
	"net"
	"os/exec"
	"sync"
	"testing"
)

// An address is free as soon as it is given, however many processes begin meanwhile.
func TestAddressIsFree(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var beginning sync.WaitGroup
	defer beginning.Wait()
	defer stop()
	for range 4 {
		beginning.Go(func() {
			for ctx.Err() == nil {
				_ = exec.Command("true").Run()
			}
		})
	}
	for range 1000 {
		listener, err := net.Listen("tcp", Address(t))
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
	}
}
