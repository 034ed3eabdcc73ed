package transport

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"
)

// A member is lost when the last of its connections has ended, not when its listener has; one that comes back is not.
func TestLostIsWithoutConnections(t *testing.T) {
	p, q := peer(t, "n1", "c", nil), peer(t, "n2", "c", nil)
	connect := func() net.Conn {
		conn, err := p.stream.dial(t.Context(), purposeRaft, "n2", string(q.LocalAddr()))
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	if _, lost := q.Lost("n1"); lost {
		t.Error("lost before it was there")
	}
	// A connection counts once its other end has read who it is from.
	await := func(connections int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			q.losses.mu.Lock()
			open := q.losses.open["n1"]
			q.losses.mu.Unlock()
			if open == connections {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d connections, want %d", open, connections)
			}
		}
	}
	first, second := connect(), connect()
	await(2)
	p.cfg.Listen.Close()
	first.Close()
	await(1)
	if _, lost := q.Lost("n1"); lost {
		t.Error("lost while a connection lives")
	}
	losses, before := q.Losses(), time.Now()
	second.Close()
	select {
	case <-losses:
	case <-time.After(10 * time.Second):
		t.Fatal("not noticed")
	}
	if since, lost := q.Lost("n1"); !lost || since.Before(before) {
		t.Errorf("lost: %v since %v", lost, since)
	}
	defer connect().Close()
	await(1)
	if _, lost := q.Lost("n1"); lost {
		t.Error("lost though it is back")
	}
	if !q.Refused(t.Context(), string(p.LocalAddr())) || q.Refused(t.Context(), string(q.LocalAddr())) {
		t.Error("a port where nobody listens refuses, and one where somebody does not")
	}
}

// A listener whose queue is full, and a name that nobody knows, refuse nothing.
func TestAFullQueueRefusesNothing(t *testing.T) {
	q := peer(t, "n2", "c", nil)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	full := false
	for range 20 { // nobody accepts
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		cancel()
		if err != nil {
			full = true
			break
		}
		defer conn.Close()
	}
	if !full {
		t.Fatal("the queue does not fill: the test shows nothing")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if q.Refused(ctx, addr) {
		t.Error("a full queue refuses")
	}
	if q.Refused(t.Context(), "nobody.invalid:1") {
		t.Error("a name that is not known refuses")
	}
}
