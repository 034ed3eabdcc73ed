package disk

import "testing"

func FuzzMark(f *testing.F) {
	f.Add(encodeMark(100, 7))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		a, b, err := decodeMark(content)
		if err == nil && string(encodeMark(a, b)) != string(content) {
			t.Errorf("%x was read as %d, %d", content, a, b)
		}
	})
}
