// SPDX-License-Identifier: Apache-2.0

package secrecy

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"testing"
)

const (
	// window is how many bytes in a row count as a find.
	window = 16
	// distinct is how many different bytes a window must have: padding and runs occur everywhere.
	distinct = 10
)

// needles are the windows of secrets. Looking for one costs a bitmap look-up for most bytes of a haystack.
type needles struct {
	seen  []uint64 // bitmap over the hash of a window
	exact map[[window]byte]string
}

const bitmapBits = 24

func newNeedles() *needles {
	return &needles{seen: make([]uint64, 1<<bitmapBits/64), exact: map[[window]byte]string{}}
}

// add takes every window of a secret that is worth looking for.
func (n *needles) add(name string, secret []byte) {
	for i := 0; i+window <= len(secret); i++ {
		w := [window]byte(secret[i:])
		if varied(w) {
			h := hash(w)
			n.seen[h/64] |= 1 << (h % 64)
			n.exact[w] = name
		}
	}
}

func varied(w [window]byte) bool {
	var set [4]uint64
	for _, b := range w {
		set[b/64] |= 1 << (b % 64)
	}
	return bits.OnesCount64(set[0])+bits.OnesCount64(set[1])+bits.OnesCount64(set[2])+bits.OnesCount64(set[3]) >= distinct
}

// hash is of the first eight bytes: equal windows have equal ones, and exact decides.
func hash(w [window]byte) uint64 {
	v := uint64(0)
	for _, b := range w[:8] {
		v = v<<8 | uint64(b)
	}
	return v * 0x9e3779b97f4a7c15 >> (64 - bitmapBits)
}

// find returns the name of the first secret of which a window occurs in text, and where.
func (n *needles) find(text []byte) (name string, at int) {
	if len(text) < window {
		return "", -1
	}
	v := uint64(0)
	for i := range 7 {
		v = v<<8 | uint64(text[i])
	}
	for i := 0; i+window <= len(text); i++ {
		v = v<<8 | uint64(text[i+7])
		h := v * 0x9e3779b97f4a7c15 >> (64 - bitmapBits)
		if n.seen[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		if name, ok := n.exact[[window]byte(text[i:])]; ok {
			return name, i
		}
	}
	return "", -1
}

// findIn searches every file under a folder, and says what it found and how many bytes it read.
func (n *needles) findIn(dir string) (found []string, read int64, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name != dir {
			return nil // likewise, a folder
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a running server tidies up
		}
		if err != nil {
			return err
		}
		read += int64(len(text))
		if secret, at := n.find(text); at >= 0 {
			found = append(found, fmt.Sprintf("%s:%d holds part of %s", name, at, secret))
		}
		return nil
	})
	return found, read, err
}

// TestSearchFindsAllThatIsThere is the control: a search that finds nothing proves nothing unless it can find.
func TestSearchFindsAllThatIsThere(t *testing.T) {
	secret := make([]byte, 40)
	for i := range secret {
		secret[i] = byte(i*7 + 1)
	}
	n := newNeedles()
	n.add("secret", secret)
	n.add("padding", make([]byte, 100))
	for cut := 0; cut+window <= len(secret); cut++ {
		for _, before := range []int{0, 1, 15, 4096} {
			text := append(make([]byte, before), secret[cut:cut+window]...)
			text = append(text, 0)
			if name, at := n.find(text); name != "secret" || at != before {
				t.Errorf("window %d after %d bytes: found %q at %d", cut, before, name, at)
			}
		}
	}
	if _, at := n.find(append(make([]byte, 1000), secret[:window-1]...)); at >= 0 {
		t.Error("found what is not there")
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "b", "c"), append(make([]byte, 1<<20), secret...), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, _, err := n.findIn(dir); err != nil || len(found) != 1 {
		t.Errorf("in a folder: %v, %v", found, err)
	}
}
