// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/blob/blobtest"
	"github.com/obscura-video/obscura/internal/vfstest"
)

func small(fs vfs.FS) Options {
	return Options{FS: fs, SegmentBytes: 256 << 10, ExtentBytes: 8 << 10, PreallocateBytes: 32 << 10}
}

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	t.Run("Memory", func(t *testing.T) {
		blobtest.Run(t, func(t *testing.T) func() blob.Store {
			fs := vfs.NewMem()
			return func() blob.Store { return mustOpen(t, "/data/blob", small(fs)) }
		})
	})
	t.Run("DefaultSizes", func(t *testing.T) {
		blobtest.Run(t, func(t *testing.T) func() blob.Store {
			dir := t.TempDir() + "/data/blob"
			return func() blob.Store { return mustOpen(t, dir, Options{MinFreeBytes: -1}) }
		})
	})
	t.Run("Disk", func(t *testing.T) {
		blobtest.Run(t, func(t *testing.T) func() blob.Store {
			dir := t.TempDir() + "/data/blob"
			o := small(nil)
			o.MinFreeBytes = -1
			return func() blob.Store { return mustOpen(t, dir, o) }
		})
	})
}

func written(t *testing.T, s *Store, n int) (blob.Ref, []byte) {
	t.Helper()
	p := bytes.Repeat([]byte{0xa5}, n)
	ref, err := s.Append(t.Context(), blob.Day, p)
	if err != nil {
		t.Fatal(err)
	}
	return ref, p
}

func intact(t *testing.T, s *Store, ref blob.Ref, want []byte) bool {
	t.Helper()
	r, err := s.Read(t.Context(), ref)
	if err != nil {
		return false
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	return err == nil && bytes.Equal(got, want)
}

func survivesPowerCut(t *testing.T, lost func(path string) bool) bool {
	t.Helper()
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "/a/b/blob", small(vfstest.WithoutSync(fs, lost)))
	ref, want := written(t, s, 10_000)
	return intact(t, mustOpen(t, "/a/b/blob", small(fs.CrashClone(vfs.CrashCloneCfg{}))), ref, want)
}

func TestAppendedBytesSurvivePowerCut(t *testing.T) {
	if !survivesPowerCut(t, func(string) bool { return false }) {
		t.Error("acknowledged bytes are gone")
	}
}

// The controls: with any one of the syncs left out the same test must lose the bytes.
func TestControlsWithoutSyncsLoseBytes(t *testing.T) {
	for name, lost := range map[string]func(string) bool{
		"segment":           isSegment,
		"session directory": func(p string) bool { return strings.Count(p, "/") == 5 },
		"root":              func(p string) bool { return p == "/" },
		"/a":                func(p string) bool { return p == "/a" },
		"/a/b":              func(p string) bool { return p == "/a/b" },
		"/a/b/blob":         func(p string) bool { return p == "/a/b/blob" },
		"/a/b/blob/b":       func(p string) bool { return p == "/a/b/blob/b" },
	} {
		if survivesPowerCut(t, lost) {
			t.Errorf("bytes survived without the sync of the %s: the test cannot fail", name)
		}
	}
}

func isSegment(path string) bool { return isName(strings.TrimPrefix(path, "/a/b/blob/")) }

func TestFailedSyncIsFatalAndNeverRetried(t *testing.T) {
	var failing atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind == errorfs.OpFileSyncData {
			return errorfs.ErrInjected
		}
		return nil
	}))
	o := small(fs)
	var fatal int
	o.Fatal = func(error) { fatal++ }
	s := mustOpen(t, "/blob", o)
	kept, want := written(t, s, 100)
	failing.Store(true)
	if _, err := s.Append(t.Context(), blob.Day, []byte("x")); !errors.Is(err, blob.ErrBroken) {
		t.Errorf("Append with a failing sync = %v, want ErrBroken", err)
	}
	failing.Store(false)
	if _, err := s.Append(t.Context(), blob.Day, []byte("x")); !errors.Is(err, blob.ErrBroken) {
		t.Errorf("Append after a failed sync = %v, want ErrBroken", err)
	}
	if fatal != 1 {
		t.Errorf("Fatal was called %d times", fatal)
	}
	if !intact(t, s, kept, want) {
		t.Error("what was durable before cannot be read")
	}
}

func TestFullDiskRefusesWritesAndDropsTheBallast(t *testing.T) {
	fs := vfs.NewMem()
	usage := func(free uint64) { fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 30}) }
	usage(1 << 30)
	o := small(fs)
	o.MinFreeBytes, o.BallastBytes = 100<<20, 1<<20
	s := mustOpen(t, "/blob", o)
	if _, err := fs.Stat("/blob/ballast"); err != nil {
		t.Fatalf("ballast: %v", err)
	}
	ref, want := written(t, s, 100)
	usage(100 << 20)
	for range 100 { // the guard looks once in a while
		_, err := s.Append(t.Context(), blob.Day, make([]byte, 32<<10))
		if err == nil {
			continue
		}
		if !errors.Is(err, blob.ErrFull) {
			t.Errorf("Append = %v, want ErrFull", err)
		}
		break
	}
	if _, err := s.Append(t.Context(), blob.Day, []byte("x")); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Append on a full disk = %v, want ErrFull", err)
	}
	if err := s.Admit(1); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Admit on a full disk = %v, want ErrFull", err)
	}
	if !intact(t, s, ref, want) {
		t.Error("a full disk cannot be read")
	}
	usage(10 << 20)
	_, err := s.Append(t.Context(), blob.Day, []byte("x"))
	if _, statErr := fs.Stat("/blob/ballast"); !errors.Is(err, blob.ErrFull) || statErr == nil {
		t.Errorf("Append = %v, ballast %v; want ErrFull and no ballast", err, statErr)
	}
	usage(1 << 30)
	written(t, s, 100)
}

func TestFilesArePrivateAndDescribeThemselves(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "/blob", small(fs))
	ref, _ := written(t, s, 10)
	f, err := fs.Open("/blob/" + ref.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := make([]byte, headerBytes)
	if _, err := f.ReadAt(h, 0); err != nil || string(h[:8]) != magic || blob.Class(h[8]) != blob.Day {
		t.Errorf("header = %x, %v", h, err)
	}
}

func TestAloneWriterLeavesNoGaps(t *testing.T) {
	s := mustOpen(t, "/blob", small(vfs.NewMem()))
	w, err := s.NewWriter(t.Context(), blob.Day)
	if err != nil {
		t.Fatal(err)
	}
	end := int64(headerBytes)
	for range 20 {
		ref, err := w.Write(t.Context(), make([]byte, 5000))
		if err != nil || ref.Off != end {
			t.Fatalf("write at %d, %v, want %d", ref.Off, err, end)
		}
		end += ref.Len
	}
	w.Close()
	if ref, _ := written(t, s, 10); ref.Off != end {
		t.Errorf("next write at %d, want %d: the rest of the extent was lost", ref.Off, end)
	}
}

func TestVolatileStoreForgetsAtOpening(t *testing.T) {
	fs := vfs.NewMem()
	o := small(fs)
	o.Volatile = true
	ref, _ := written(t, mustOpen(t, "/blob", o), 10)
	again := mustOpen(t, "/blob", o)
	if _, err := again.Read(t.Context(), ref); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Read = %v, want ErrNotFound", err)
	}
}

func TestNamesThatAreNotOursNeverBecomePaths(t *testing.T) {
	session := strings.Repeat("a", 32)
	for name, want := range map[string]bool{
		"b/" + session + "/00000001":               true,
		"b/" + session + "/../x":                   false,
		"b/" + session + "/0000000x":               false,
		"b/../00000001":                            false,
		"b/" + strings.Repeat("A", 32) + "/000001": false,
		"ballast": false,
		"":        false,
	} {
		if isName(name) != want {
			t.Errorf("isName(%q) = %t", name, !want)
		}
	}
}
