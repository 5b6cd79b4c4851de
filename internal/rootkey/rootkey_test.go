// SPDX-License-Identifier: Apache-2.0

package rootkey

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWhatOneRootKeyWrapsOnlyItUnwraps(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	path := filepath.Join(dir, "root.key")
	made, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := made.Wrap(ctx, []byte("material"), []byte("key/1"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != made.ID() {
		t.Errorf("id changed from %s to %s", made.ID(), again.ID())
	}
	plain, err := again.Unwrap(ctx, wrapped, []byte("key/1"))
	if err != nil || !bytes.Equal(plain, []byte("material")) {
		t.Fatalf("unwrap: %q, %v", plain, err)
	}
	if _, err := again.Unwrap(ctx, wrapped, []byte("key/2")); !errors.Is(err, ErrWrongKey) {
		t.Errorf("other additional data: %v", err)
	}
	other, err := CreateFile(filepath.Join(dir, "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Unwrap(ctx, wrapped, []byte("key/1")); !errors.Is(err, ErrWrongKey) {
		t.Errorf("other root key: %v", err)
	}
}

func TestCreateFileLeavesAnExistingKeyAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	if _, err := CreateFile(path); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if _, err := CreateFile(path); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("second create: %v", err)
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) {
		t.Fatal("the key changed")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestOpenFileNamesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"empty":   {"", ErrMalformed},
		"header":  {"another key v1\nAAAA\n", ErrMalformed},
		"short":   {plainHeader + "\nAAAA\n", ErrMalformed},
		"garbage": {plainHeader + "\n%%%%\n", ErrMalformed},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFile(path); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if _, err := OpenFile(filepath.Join(dir, "absent")); !errors.Is(err, ErrMissing) {
		t.Errorf("absent: %v", err)
	}
}
