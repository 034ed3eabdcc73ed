package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// purpose is what a connection is for.
type purpose byte

const (
	purposeRaft      purpose = 'r'
	purposeHello     purpose = 'h'
	purposeSuspicion purpose = 's'
)

// verdict is the answer to a preamble.
type verdict byte

const (
	welcome verdict = iota
	otherCluster
	otherNode
	fenced
	unknownProtocol
)

// What the far end of a connection can object to. They are for people: no caller decides on them.
var (
	ErrOtherCluster = errors.New("the node there belongs to another cluster, or to none yet")
	ErrOtherNode    = errors.New("another node answers there")
	ErrFenced       = errors.New("the node there has stopped for good")
	ErrProtocol     = errors.New("the node there does not speak this protocol")
)

func (v verdict) err() error {
	switch v {
	case welcome:
		return nil
	case otherCluster:
		return ErrOtherCluster
	case otherNode:
		return ErrOtherNode
	case fenced:
		return ErrFenced
	default:
		return ErrProtocol
	}
}

const (
	magic           = "RGRD"
	protocolVersion = 1
	maxName         = 256 // bytes of a cluster's or a node's id
)

// preamble opens every connection. Its bytes are in the package's documentation.
type preamble struct {
	purpose           purpose
	cluster, from, to string
	at                string // the address that from is reached at
}

func (p preamble) append(b []byte) []byte {
	b = append(b, magic...)
	b = append(b, protocolVersion, byte(p.purpose))
	for _, name := range []string{p.cluster, p.from, p.to, p.at} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
	}
	return b
}

// readPreamble reads no byte beyond the preamble, and at most 1,038 bytes whatever it is sent.
func readPreamble(r io.Reader) (preamble, error) {
	var head [len(magic) + 2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return preamble{}, err
	}
	if string(head[:len(magic)]) != magic || head[len(magic)] != protocolVersion {
		return preamble{}, ErrProtocol
	}
	p := preamble{purpose: purpose(head[len(magic)+1])}
	for _, name := range []*string{&p.cluster, &p.from, &p.to, &p.at} {
		var size [2]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return preamble{}, err
		}
		n := binary.BigEndian.Uint16(size[:])
		if n > maxName {
			return preamble{}, fmt.Errorf("%w: a name of %d bytes, at most %d", ErrProtocol, n, maxName)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return preamble{}, err
		}
		*name = string(b)
	}
	return p, nil
}

// Sender reads what opens a connection between members, no byte more, and tells which member it is from. It is for who
// stands between them and passes it on; nobody has proved anything by it. It fails with ErrProtocol on anything else.
func Sender(r io.Reader) (id string, err error) {
	p, err := readPreamble(r)
	return p.from, err
}

// greet opens a connection from this end: it sends p and waits for the verdict.
func greet(rw io.ReadWriter, p preamble) error {
	if _, err := rw.Write(p.append(nil)); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(rw, answer[:]); err != nil {
		return err
	}
	return verdict(answer[0]).err()
}
