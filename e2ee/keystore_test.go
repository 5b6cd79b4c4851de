// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// mapRing is a keyring in memory.
type mapRing map[string][]byte

func (m mapRing) Get(name string) ([]byte, error) {
	if v, ok := m[name]; ok {
		return v, nil
	}
	return nil, fs.ErrNotExist
}

func (m mapRing) Set(name string, v []byte) error { m[name] = v; return nil }

func TestKeyStoreOpensWithItsProtectorOnly(t *testing.T) {
	for name, p := range map[string][2]Protector{
		"passphrase": {Passphrase([]byte("dark room")), Passphrase([]byte("light room"))},
		"keyring":    {KeyringProtector(mapRing{}, "obscura"), KeyringProtector(mapRing{}, "obscura")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			s, err := OpenKeyStore(dir, p[0])
			if err != nil {
				t.Fatal(err)
			}
			seed, err := s.LoadOrCreate("producer")
			if err != nil {
				t.Fatal(err)
			}
			if s, err = OpenKeyStore(dir, p[0]); err != nil {
				t.Fatal(err)
			}
			if again, err := s.LoadOrCreate("producer"); err != nil || !bytes.Equal(seed, again) {
				t.Fatalf("stored seed differs: %v", err)
			}
			if _, err := OpenKeyStore(dir, p[1]); !errors.Is(err, ErrPassphrase) {
				t.Fatalf("other protector: %v", err)
			}
		})
	}
}

func TestKeyStoreShowsNothingAndNoticesSwaps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := OpenKeyStore(dir, KeyringProtector(mapRing{}, "k"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"a", "b"} {
		if err := s.Save(n, []byte("the secret of "+n)); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		b, _ := os.ReadFile(filepath.Join(dir, f.Name()))
		info, _ := f.Info()
		if bytes.Contains(b, []byte("secret")) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %q", f.Name(), info.Mode(), b)
		}
	}
	if err := os.Rename(filepath.Join(dir, "a.key"), filepath.Join(dir, "b.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("b"); !errors.Is(err, ErrPassphrase) {
		t.Fatalf("swapped file: %v", err)
	}
	if err := s.Remove("b"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("removed file: %v", err)
	}
	if err := s.Save("../x", nil); !errors.Is(err, ErrMisuse) {
		t.Fatalf("path in a name: %v", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyStore(dir, Passphrase([]byte("x"))); !errors.Is(err, ErrMisuse) {
		t.Fatalf("directory open to others: %v", err)
	}
}
