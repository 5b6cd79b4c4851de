// SPDX-License-Identifier: Apache-2.0

// Package blobtest is the conformance suite of package blob: it defines what a
// driver and a decorator are. It is not a benchmark and injects no faults.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/obscura-video/obscura/internal/blob"
)

// Run runs the suite. open returns a function that opens a store, with a session of
// its own each time, on the same bytes, which are empty at first. The suite closes
// the stores.
func Run(t *testing.T, open func(t *testing.T) func() blob.Store) {
	for name, test := range map[string]func(*testing.T, func() blob.Store){
		"ReadReturnsWhatWasAppended":    testAppend,
		"WriterBytesReadBack":           testWriter,
		"WritesOfAnySizeKeepTheirPlace": testSizes,
		"LargeWritesStayInOnePiece":     testLarge,
		"WritersDoNotOverlap":           testConcurrent,
		"NextSessionReadsThePrevious":   testSessions,
		"ReadRefusesBadRefs":            testBadRefs,
		"InlineRefIsReadFromItself":     testInline,
		"DeleteRemovesExactlyOne":       testDelete,
		"BlobsInUseAreMarked":           testInUse,
		"ClassesDoNotShareBlobs":        testClasses,
		"ClosedStoreAnswersNothing":     testClosed,
		"CancelledContextWritesNothing": testCancelled,
		"BytesRemainTheCallers":         testOwnership,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func opened(t *testing.T, open func() blob.Store) blob.Store {
	t.Helper()
	s := open()
	t.Cleanup(func() { s.Close() })
	return s
}

func appended(t *testing.T, s blob.Store, c blob.Class, frames ...[]byte) blob.Ref {
	t.Helper()
	ref, err := s.Append(t.Context(), c, frames...)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return ref
}

func read(t *testing.T, s blob.Store, ref blob.Ref) []byte {
	t.Helper()
	r, err := s.Read(t.Context(), ref)
	if err != nil {
		t.Fatalf("Read(%+v): %v", ref, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("Read(%+v): %v", ref, err)
	}
	return b
}

// pattern is n bytes that differ with the seed.
func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed*31)
	}
	return b
}

func infos(t *testing.T, s blob.Store, prefix string) map[string]blob.Info {
	t.Helper()
	m := make(map[string]blob.Info)
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		m[info.Name] = info
	}
	return m
}

func testAppend(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	ref := appended(t, s, blob.Day, []byte("one"), nil, []byte("two"))
	if ref.Len != 6 || string(read(t, s, ref)) != "onetwo" {
		t.Errorf("read %q of %+v", read(t, s, ref), ref)
	}
	if got := read(t, s, blob.Ref{Name: ref.Name, Off: ref.Off + 2, Len: 3}); string(got) != "etw" {
		t.Errorf("part = %q", got)
	}
	if session, ok := blob.SessionOf(ref.Name); !ok || session != s.Session() {
		t.Errorf("blob %q is not of session %s", ref.Name, s.Session())
	}
	if _, err := s.Append(t.Context(), 0, []byte("x")); err == nil {
		t.Error("class 0 accepted")
	}
}

func testWriter(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	w, err := s.NewWriter(t.Context(), blob.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var refs []blob.Ref
	for i := range 100 {
		ref, err := w.Write(t.Context(), pattern(i*50, i))
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, ref := range refs {
		if !bytes.Equal(read(t, s, ref), pattern(i*50, i)) {
			t.Errorf("write %d reads back differently", i)
		}
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	if _, err := w.Write(t.Context(), nil); !errors.Is(err, blob.ErrClosed) {
		t.Errorf("Write after Close = %v", err)
	}
	if err := w.Sync(t.Context()); !errors.Is(err, blob.ErrClosed) {
		t.Errorf("Sync after Close = %v", err)
	}
}

// testSizes mixes sizes, since a driver may gather small writes and not large ones.
func testSizes(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	w, err := s.NewWriter(t.Context(), blob.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	sizes := []int{10_000, 40_000, 1, 70_000, 100, 30_000, 33_000, 33_000, 64 << 10, 20_000, 20_000, 20_000, 20_000, 5}
	var refs []blob.Ref
	for round := range 3 {
		for i, n := range sizes {
			ref, err := w.Write(t.Context(), pattern(n, round*100+i))
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		if err := w.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, ref := range refs {
			if want := pattern(sizes[i%len(sizes)], i/len(sizes)*100+i%len(sizes)); !bytes.Equal(read(t, s, ref), want) {
				t.Fatalf("write %d of %d bytes reads back differently", i, len(want))
			}
		}
	}
}

func testLarge(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	for _, n := range []int{0, 1, 1 << 20, 5<<20 + 3, 7} {
		if ref := appended(t, s, blob.Week, pattern(n, n)); !bytes.Equal(read(t, s, ref), pattern(n, n)) {
			t.Errorf("%d bytes read back differently", n)
		}
	}
}

func testConcurrent(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	type written struct {
		ref  blob.Ref
		want []byte
	}
	var (
		mu  sync.Mutex
		all []written
		wg  sync.WaitGroup
	)
	for g := range 8 {
		wg.Go(func() {
			w, err := s.NewWriter(t.Context(), blob.Month)
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			for i := range 40 {
				p := pattern(1000+977*i, g*100+i)
				ref, err := w.Write(t.Context(), p)
				if i%8 == 0 {
					ref, err = s.Append(t.Context(), blob.Month, p)
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				all = append(all, written{ref, p})
				mu.Unlock()
			}
			if err := w.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sizes := infos(t, s, "")
	for i, w := range all {
		if !bytes.Equal(read(t, s, w.ref), w.want) {
			t.Fatalf("%+v was overwritten", w.ref)
		}
		if w.ref.Off+w.ref.Len > sizes[w.ref.Name].Size {
			t.Fatalf("%+v lies outside of its blob of %d bytes", w.ref, sizes[w.ref.Name].Size)
		}
		for _, v := range all[:i] {
			if v.ref.Name == w.ref.Name && v.ref.Off < w.ref.Off+w.ref.Len && w.ref.Off < v.ref.Off+v.ref.Len {
				t.Fatalf("%+v and %+v overlap", v.ref, w.ref)
			}
		}
	}
}

func testSessions(t *testing.T, open func() blob.Store) {
	first := opened(t, open)
	ref := appended(t, first, blob.Day, []byte("kept"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := opened(t, open)
	if first.Session() == second.Session() {
		t.Error("two openings share a session")
	}
	ref2 := appended(t, second, blob.Day, []byte("new"))
	if ref2.Name == ref.Name {
		t.Error("a session wrote to another's blob")
	}
	if string(read(t, second, ref)) != "kept" {
		t.Error("bytes of the previous session are not there")
	}
	if got := infos(t, second, blob.Prefix(first.Session())); len(got) != 1 || got[ref.Name].InUse {
		t.Errorf("List of the previous session = %+v", got)
	}
	if got := infos(t, second, ""); len(got) != 2 {
		t.Errorf("List of all = %+v", got)
	}
}

func testBadRefs(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	ref := appended(t, s, blob.Day, []byte("bytes"))
	for _, c := range []struct {
		ref  blob.Ref
		want error
	}{
		{blob.Ref{Name: blob.Prefix(s.Session()) + "99999999", Len: 1}, blob.ErrNotFound},
		{blob.Ref{Name: blob.Prefix(blob.NewSession()) + "00000001", Len: 1}, blob.ErrNotFound},
		{blob.Ref{Name: "b/../../etc/passwd", Len: 1}, blob.ErrNotFound},
		{blob.Ref{Name: "/etc/passwd", Len: 1}, blob.ErrNotFound},
		{blob.Ref{Name: "", Len: 1}, blob.ErrNotFound},
		{blob.Ref{Name: ref.Name, Off: -1, Len: 1}, blob.ErrRange},
		{blob.Ref{Name: ref.Name, Off: 0, Len: -1}, blob.ErrRange},
		{blob.Ref{Name: ref.Name, Off: 1 << 40, Len: 1}, blob.ErrRange},
	} {
		if _, err := s.Read(t.Context(), c.ref); !errors.Is(err, c.want) {
			t.Errorf("Read(%+v) = %v, want %v", c.ref, err, c.want)
		}
	}
	r, err := s.Read(t.Context(), blob.Ref{Name: ref.Name, Off: ref.Off, Len: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading over the end = %v, want ErrUnexpectedEOF", err)
	}
}

func testInline(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	if got := read(t, s, blob.Ref{Len: 3, Inline: []byte("abc")}); string(got) != "abc" {
		t.Errorf("inline = %q", got)
	}
}

func testDelete(t *testing.T, open func() blob.Store) {
	first := opened(t, open)
	ref := appended(t, first, blob.Day, []byte("day"))
	kept := appended(t, first, blob.Week, []byte("week"))
	first.Close()
	s := opened(t, open)
	if err := errors.Join(s.Delete(t.Context(), ref.Name), s.Delete(t.Context(), ref.Name)); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if _, err := s.Read(t.Context(), ref); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Read of a deleted blob = %v", err)
	}
	if string(read(t, s, kept)) != "week" {
		t.Error("another blob was deleted")
	}
	if got := infos(t, s, "b/"); len(got) != 1 {
		t.Errorf("List = %+v", got)
	}
}

func testInUse(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	w, err := s.NewWriter(t.Context(), blob.Day)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := w.Write(t.Context(), pattern(1<<20, 1))
	if err != nil {
		t.Fatal(err)
	}
	last := ref
	for last.Name == ref.Name { // until the store has gone on to another blob
		last = appended(t, s, blob.Day, pattern(1<<20, 2))
	}
	if got := infos(t, s, ""); !got[ref.Name].InUse || !got[last.Name].InUse {
		t.Errorf("blobs of an open writer: %+v", got)
	}
	if err := s.Delete(t.Context(), ref.Name); err == nil {
		t.Error("a blob in use was deleted")
	}
	w.Close()
	if got := infos(t, s, ""); got[ref.Name].InUse || !got[last.Name].InUse {
		t.Errorf("blobs after the writer was closed: %+v", got)
	}
	if err := s.Delete(t.Context(), ref.Name); err != nil {
		t.Error(err)
	}
}

func testClasses(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	seen := make(map[string]blob.Class)
	for c := blob.Hour; c <= blob.Forever; c++ {
		for range 2 {
			ref := appended(t, s, c, []byte("x"))
			if other, ok := seen[ref.Name]; ok && other != c {
				t.Errorf("classes %d and %d share %s", c, other, ref.Name)
			}
			seen[ref.Name] = c
		}
	}
}

func testClosed(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	ref := appended(t, s, blob.Day, []byte("x"))
	w, err := s.NewWriter(t.Context(), blob.Day)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("Close = %v", err)
	}
	_, err1 := s.Append(t.Context(), blob.Day, []byte("x"))
	_, err2 := s.NewWriter(t.Context(), blob.Day)
	_, err3 := w.Write(t.Context(), []byte("x"))
	_, err4 := s.Read(t.Context(), ref)
	for i, err := range []error{err1, err2, err3, err4, w.Sync(t.Context()), s.Delete(t.Context(), "b/x/1")} {
		if !errors.Is(err, blob.ErrClosed) {
			t.Errorf("call %d on a closed store = %v, want ErrClosed", i, err)
		}
	}
}

func testCancelled(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	w, err := s.NewWriter(t.Context(), blob.Day)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err1 := s.Append(ctx, blob.Day, []byte("x"))
	_, err2 := w.Write(ctx, []byte("x"))
	for i, err := range []error{err1, err2, w.Sync(ctx)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d with a cancelled context = %v", i, err)
		}
	}
}

func testOwnership(t *testing.T, open func() blob.Store) {
	s := opened(t, open)
	var refs []blob.Ref
	p := make([]byte, 3)
	for i := range 10 {
		copy(p, fmt.Sprintf("%03d", i))
		refs = append(refs, appended(t, s, blob.Day, p))
	}
	for i, ref := range refs {
		if got := read(t, s, ref); string(got) != fmt.Sprintf("%03d", i) {
			t.Errorf("%d reads as %q", i, got)
		}
	}
}
