package disk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
)

// A document is a small JSON file for people to read, whose last line is a checksum of those before it: a byte that
// was hurt must not become another meaning.

// WriteDocument replaces the file, whole or not at all.
func WriteDocument(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	return Replace(path, fmt.Appendf(text, "crc32c %08x\n", crc32.Checksum(text, Castagnoli)))
}

// ReadDocument fails with fs.ErrNotExist where there is no file, and with ErrDamaged where it is not what was written.
func ReadDocument(path string, v any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	end := bytes.LastIndex(content, []byte("\ncrc32c ")) + 1
	if text := content[:end]; string(content[end:]) != fmt.Sprintf("crc32c %08x\n", crc32.Checksum(text, Castagnoli)) {
		return Damaged(path, "checksum does not match")
	}
	if err := json.Unmarshal(content[:end], v); err != nil {
		return Damaged(path, "%w", err)
	}
	return nil
}
