// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/obscura-video/obscura/internal/audit/digest"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/service/kms"
)

func words(text string) rootkey.Options {
	return rootkey.Options{
		Provider: "passphrase", Params: map[string]string{"memory-kib": "8192", "passes": "1", "lanes": "1"},
		Ask: func(string, bool) ([]byte, error) { return []byte(text), nil },
	}
}

// opened makes the data of a server that has run, and opens it as RotateRoot does.
func opened(t *testing.T, data string) (*stores, *rotation) {
	t.Helper()
	c, err := Config{Data: data}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStores(t.Context(), c, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	custodian := kms.Custodian{DB: s.db, Root: s.root}
	return s, &rotation{
		data: data, file: filepath.Join(data, "root.key"), root: s.root, raw: s.pebble, metaKey: s.metaKey, rewrapKMS: custodian.Rewrap,
		rewrapDigests: func(ctx context.Context) (int, error) { return digest.Rewrap(ctx, s.db, s.root) },
	}
}

// keysOpen fails unless a start with the key in place finds everything whole.
func keysOpen(t *testing.T, data string, root rootkey.Options) {
	t.Helper()
	r, err := Fsck(t.Context(), FsckConfig{Data: data, Root: root})
	if err != nil || !r.Clean() || r.Keys == 0 || r.Fragments == 0 {
		t.Errorf("fsck: %+v, %v", r, err)
	}
}

// wrappedBy returns which root keys open each thing that lies wrapped in files.
func wrappedBy(t *testing.T, data string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "tls", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	return rootkey.WrappedBy(text)
}

func TestRootKeyRotatesWhileTheServerRuns(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	w := start(t, data, "")
	w.upload("door", 2)
	first, err := ShowRoot(t.Context(), data, "")
	if err != nil || !first.Running || !first.Beside || first.Provider != rootkey.ProviderFile {
		t.Fatalf("show: %+v, %v", first, err)
	}
	out, err := RotateRoot(t.Context(), RotateConfig{Data: data, New: words("one")})
	if err != nil {
		t.Fatal(err)
	}
	if out.Old != first.ID || out.New == first.ID || !out.Running || out.Materials == 0 {
		t.Errorf("rotation %+v", out)
	}
	w.upload("yard", 2) // makes data keys, and goes on being served
	st, err := ReadStatus(t.Context(), data)
	if err != nil || st.RootKeyID != out.New {
		t.Errorf("status: %s, %v", st.RootKeyID, err)
	}
	if ids := wrappedBy(t, data); len(ids) != 1 || ids[0] != out.New {
		t.Errorf("CA's key wrapped by %v", ids)
	}
	w.stop()
	keysOpen(t, data, words("one"))
	if _, err := Open(t.Context(), Config{Data: data, Root: rootkey.Options{Ask: words("two").Ask}}); !errors.Is(err, rootkey.ErrLocked) {
		t.Errorf("start with another passphrase: %v", err)
	}
	old := FsckConfig{Data: data, RootFile: out.OldFile}
	if _, err := Fsck(t.Context(), old); !errors.Is(err, rootkey.ErrWrongKey) {
		t.Errorf("the old root key still opens the data: %v", err)
	}
}

func TestRootKeyRotatesOffline(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	w := start(t, data, "")
	w.upload("door", 2)
	w.stop()
	one, err := RotateRoot(t.Context(), RotateConfig{Data: data, New: words("one")})
	if err != nil || one.Running {
		t.Fatalf("%+v, %v", one, err)
	}
	keysOpen(t, data, words("one"))
	if _, err := RotateRoot(t.Context(), RotateConfig{Data: data, Old: words("wrong")}); !errors.Is(err, rootkey.ErrLocked) {
		t.Errorf("wrong passphrase: %v", err)
	}
	two, err := RotateRoot(t.Context(), RotateConfig{Data: data, Old: words("one"), Discard: true})
	if err != nil || two.Old != one.New || two.OldFile != "" {
		t.Fatalf("%+v, %v", two, err)
	}
	keysOpen(t, data, rootkey.Options{})
	left, _ := filepath.Glob(filepath.Join(data, "root*"))
	if len(left) != 2 { // root.key, and the first one, which was kept
		t.Errorf("left behind: %v", left)
	}
}

// TestEitherRootKeyOpensEverythingWhereverARotationEnds stops a rotation after each of its steps, as a crash would.
func TestEitherRootKeyOpensEverythingWhereverARotationEnds(t *testing.T) {
	t.Parallel()
	origin := filepath.Join(t.TempDir(), "data")
	w := start(t, origin, "")
	w.upload("door", 2)
	w.stop()
	crash := errors.New("crash")
	for name, tc := range map[string]struct {
		rewraps  int // of KMS material that are done, then it crashes
		newStays bool
	}{
		"while wrapping for both":        {0, false},
		"while wrapping for the new one": {1, true},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(data, os.DirFS(origin)); err != nil {
				t.Fatal(err)
			}
			s, r := opened(t, data)
			old := r.root.ID()
			nextFile := r.file + ".next-x"
			next, err := rootkey.CreateFile(nextFile)
			if err != nil {
				t.Fatal(err)
			}
			do, n := r.rewrapKMS, 0
			r.rewrapKMS = func(ctx context.Context) (int, error) {
				if n++; n > tc.rewraps {
					return 0, crash
				}
				return do(ctx)
			}
			if _, err := r.run(t.Context(), next, nextFile); !errors.Is(err, crash) {
				t.Fatalf("run: %v", err)
			}
			if err := s.close(t.Context()); err != nil {
				t.Fatal(err)
			}
			st, err := ShowRoot(t.Context(), data, "")
			if err != nil || !st.Interrupted || (st.ID != old) != tc.newStays {
				t.Fatalf("after the crash: %+v, %v", st, err)
			}
			keysOpen(t, data, rootkey.Options{})
			start(t, data, "").stop() // completes it
			st2, err := ShowRoot(t.Context(), data, "")
			if err != nil || st2.Interrupted || st2.ID != st.ID {
				t.Errorf("after a start: %+v, %v", st2, err)
			}
			if ids := wrappedBy(t, data); len(ids) != 1 || ids[0] != st.ID {
				t.Errorf("CA's key wrapped by %v", ids)
			}
			if _, err := os.Stat(nextFile); err == nil {
				t.Error("the root key that did not come about is still there")
			}
			keysOpen(t, data, rootkey.Options{})
		})
	}
}

func TestRotationRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	w := start(t, data, "")
	w.upload("door", 1)
	before, err := os.ReadFile(filepath.Join(data, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RotateRoot(t.Context(), RotateConfig{Data: data, New: rootkey.Options{Provider: "paper"}}); !errors.Is(err, rootkey.ErrProvider) {
		t.Errorf("unknown provider: %v", err)
	}
	snapshot, err := askSnapshot(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RotateRoot(t.Context(), RotateConfig{Data: data}); err == nil {
		t.Error("rotated under a backup")
	}
	if err := snapshot.end(); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(filepath.Join(data, "root.key"))
	left, _ := filepath.Glob(filepath.Join(data, "root*"))
	if !bytes.Equal(before, after) || len(left) != 1 {
		t.Errorf("changed: %v", left)
	}
	w.stop()
	keysOpen(t, data, rootkey.Options{})
}

func TestFirstStartMakesAProtectedRootKey(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	c := Config{Data: data, API: Listener{Listen: "127.0.0.1:0"}, Media: Listener{Listen: Off}, Device: Listener{Listen: Off}, Admin: Listener{Listen: Off}}
	c.Root = words("one")
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]struct {
		root rootkey.Options
		want error
	}{
		"another passphrase": {rootkey.Options{Ask: words("two").Ask}, rootkey.ErrLocked},
		"nobody to ask":      {rootkey.Options{}, rootkey.ErrLocked},
		"another provider":   {rootkey.Options{Provider: rootkey.ProviderFile}, rootkey.ErrProvider},
	} {
		c.Root = o.root
		if _, err := Open(t.Context(), c); !errors.Is(err, o.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	after, err := os.ReadDir(data)
	if err != nil || len(after) != len(before) {
		t.Errorf("%d entries became %d, %v", len(before), len(after), err)
	}
	c.Root = rootkey.Options{Ask: words("one").Ask} // the file names the provider
	if s, err = Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
