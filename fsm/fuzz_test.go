package fsm

import (
	"bytes"
	"testing"
	"time"
)

// Whatever bytes come, decoding a frame never panics, and a frame that decodes is written as bytes that decode to
// the same again.
func FuzzDecodeFrame(f *testing.F) {
	for _, op := range samples() {
		frame, err := EncodeFrame(3, time.Unix(5, 6), Proposal{Op: op, RequestID: "r", Epoch: 1, By: "me"})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := DecodeFrame(b)
		if err != nil {
			return
		}
		batch, err := Encode(frame.Proposals...)
		if err != nil {
			return // it decodes, but says what no edge would let in
		}
		canonical := Join(frame.Head, batch)
		again, err := DecodeFrame(canonical)
		if err != nil {
			t.Fatalf("what was decoded and encoded does not decode: %v", err)
		}
		batch, err = Encode(again.Proposals...)
		if err != nil || !bytes.Equal(Join(again.Head, batch), canonical) {
			t.Fatalf("encoding is not stable: %v", err)
		}
		// It can be applied, or refused whole, on a registry that has something of everything.
		r := goldenRegistry(t)
		if _, err := r.Apply(1000, b); err == nil {
			if err := consistent(r); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Whatever bytes come, restoring never panics and never takes anything but a whole snapshot.
func FuzzRestore(f *testing.F) {
	var b bytes.Buffer
	image, _ := goldenRegistry(f).Snapshot()
	if _, err := image.WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		r := New()
		if r.Restore(bytes.NewReader(b)) == nil {
			if err := consistent(r); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Whatever an agent object says, its canonical form is accepted again and stays what it is.
func FuzzParseAgent(f *testing.F) {
	f.Add([]byte(`{"id":"a1","hostname":"h1","port":5051,"resources":[{"name":"cpus","scalar":{"value":1.5}},{"name":"ports","ranges":{"range":[{"begin":1,"end":2}]}}],"attributes":[{"name":"r","text":{"value":"x"}}],"domain":{"fault_domain":{"region":{"name":"r"},"zone":{"name":"z"}}},"checkpoint":true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		once, err := ParseAgent(text)
		if err != nil {
			return
		}
		twice, err := ParseAgent([]byte(once.Info))
		if err != nil {
			t.Fatalf("%s: the canonical form of %q is refused: %v", once.Info, text, err)
		}
		if once != twice {
			t.Fatalf("the canonical form has a canonical form of its own:\n%s\n%s", once.Info, twice.Info)
		}
	})
}
