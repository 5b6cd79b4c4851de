// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	"github.com/obscura-video/obscura/internal/rootkey"
)

// past is when the servers of these tests begin.
var past = time.Date(2026, 11, 23, 10, 40, 0, 0, time.UTC)

// keep runs a server, without serving, for some hours of its clock, with events in each; all but the last are signed.
func keep(t *testing.T, data string, begin time.Time, hours int) {
	t.Helper()
	now := begin
	any := Listener{Listen: "127.0.0.1:0"}
	s, err := Open(t.Context(), Config{Data: data, API: any, Media: any, Device: any, Admin: Listener{Listen: Off}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for range hours {
		if _, err := s.services.digests.Make(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			e := audit.NewServiceEvent(audit.ServiceAction{Service: "kms", Name: "RotateKey", Region: DefaultRegion, Account: DefaultAccount})
			if err := s.services.audit.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(time.Hour)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func verified(t *testing.T, data string, kept AuditKept) *AuditReport {
	t.Helper()
	r, err := VerifyAudit(t.Context(), AuditConfig{Data: data}, kept)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keptOf is what an honest person writes down after a verification.
func keptOf(t *testing.T, data string, r *AuditReport) AuditKept {
	t.Helper()
	keys, err := AuditKeys(t.Context(), AuditConfig{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return AuditKept{Keys: [][]byte{keys[0].Public}, Digests: []string{r.NewestHash}, Anchors: []audit.Anchor{r.End}}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestRecordIsSignedAndVerifiedStoppedAndRunning(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	keep(t, data, time.Now().Truncate(time.Hour).Add(40*time.Minute-6*time.Hour), 3)
	r := verified(t, data, AuditKept{})
	if !r.Clean() || r.Running || r.Events != 15 || r.Digests != 2 || r.LogFiles != 2 || r.Unsigned != 5 {
		t.Fatalf("%+v", r)
	}
	w := start(t, data, "") // makes up for the time since
	w.upload("door", 1)
	kept := keptOf(t, data, r)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		again := verified(t, data, kept)
		if !again.Clean() || !again.Running {
			t.Fatalf("beside the server: %+v", again)
		}
		if again.Pinned && again.NewestEnd.After(time.Now().Add(-2*time.Hour)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the hours since are not made up: %+v", again)
		}
	}
	// The server notices after a moment that the last verification has ended.
	var out *Rotation
	err := error(ErrBusy)
	for deadline := time.Now().Add(time.Minute); err != nil && strings.Contains(err.Error(), ErrBusy.Error()) && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		out, err = RotateRoot(t.Context(), RotateConfig{Data: data, Discard: true})
	}
	if err != nil || out.Materials == 0 {
		t.Fatal(err)
	}
	w.stop()
	f, err := Fsck(t.Context(), FsckConfig{Data: data})
	clean(t, f, err)
	if f.AuditEvents < 16 {
		t.Errorf("fsck has read %d events", f.AuditEvents)
	}
}

// TestNoByteOfTheDiskChangesTheRecordUnseen turns over bytes all over the metadata. Each time, either something is
// found, or the byte was none of the record's, and it verifies to the very same end.
func TestNoByteOfTheDiskChangesTheRecordUnseen(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	keep(t, data, past, 3)
	keep(t, data, past.Add(3*time.Hour), 2) // so that there are tables as well as a log
	want := verified(t, data, AuditKept{})
	if !want.Clean() || want.Events != 25 {
		t.Fatalf("control: %+v", want)
	}
	kept := keptOf(t, data, want)
	files, err := filepath.Glob(filepath.Join(data, "meta", "*"))
	if err != nil {
		t.Fatal(err)
	}
	found, tried := 0, 0
	for _, name := range files {
		whole, err := os.ReadFile(name)
		if err != nil || len(whole) == 0 || strings.HasSuffix(name, "LOCK") {
			continue
		}
		for at := 7; at < len(whole); at += max(len(whole)/12, 13) {
			b := bytes.Clone(whole)
			b[at] ^= 0x10
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			tried++
			r, err := VerifyAudit(t.Context(), AuditConfig{Data: data}, kept)
			switch {
			case err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, rootkey.ErrWrongKey):
				t.Errorf("%s at %d: %v", filepath.Base(name), at, err)
			case err != nil || !r.Clean():
				found++
			case r.Events != want.Events || r.End != want.End || r.NewestHash != want.NewestHash:
				t.Errorf("%s at %d: unseen: %+v", filepath.Base(name), at, r)
			}
		}
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if found < tried/4 {
		t.Errorf("only %d of %d changes were found: looking in the wrong place", found, tried)
	}
	if r := verified(t, data, kept); !r.Clean() || r.End != want.End {
		t.Errorf("control: put back, it does not verify: %+v", r)
	}
}

// TestRowsCannotBeDroppedMovedOrSetBackUnseen is somebody who can write the store, but has no key.
func TestRowsCannotBeDroppedMovedOrSetBackUnseen(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	keep(t, data, past, 2)
	older := rowsOf(t, data)
	keep(t, data, past.Add(2*time.Hour), 2)
	newer := rowsOf(t, data)
	kept := keptOf(t, data, verified(t, data, AuditKept{}))
	row := func(kind byte, number uint64) string {
		k := append(meta.Key("aud"), kind)
		if number > 0 {
			k = append(meta.AppendUint64(k, number), 0)
		}
		return string(k)
	}
	hour := func(h int) uint64 { return uint64(past.Truncate(time.Hour).Add(time.Duration(h) * time.Hour).Unix()) }
	for name, tt := range map[string]struct {
		change       func(put func(key, value string), drop func(key string))
		event, block uint64
		digest       string
	}{
		"a block dropped": {event: 7, block: 7, change: func(_ func(k, v string), drop func(string)) { drop(row('b', 7)) }},
		"a block in another's place": {event: 7, block: 7, change: func(put func(k, v string), _ func(string)) {
			put(row('b', 7), newer[row('b', 8)])
		}},
		"the head set back": {event: 11, block: 11, change: func(put func(k, v string), _ func(string)) {
			put(row('h', 0), older[row('h', 0)])
		}},
		"the tail cut off and the head set back": {event: 11, block: 0, digest: "2026-11-23T13", change: func(put func(k, v string), drop func(string)) {
			put(row('h', 0), older[row('h', 0)])
			for b := uint64(11); b <= 20; b++ {
				drop(row('b', b))
			}
		}},
		"a digest dropped": {digest: "20261123T120000Z", change: func(_ func(k, v string), drop func(string)) { drop(row('d', hour(1))) }},
		"the end of the chain of digests set back": {digest: "20261123T130000Z", change: func(put func(k, v string), _ func(string)) {
			put(row('n', 0), older[row('n', 0)])
		}},
		"an index row dropped": {event: 3, block: 3, change: func(_ func(k, v string), drop func(string)) {
			var rows []string
			for k := range newer {
				if strings.HasPrefix(k, row('i', 0)) && strings.HasSuffix(k, string(meta.AppendUint64(nil, 3))) {
					rows = append(rows, k)
				}
			}
			drop(rows[0])
		}},
	} {
		t.Run(name, func(t *testing.T) {
			work := filepath.Join(t.TempDir(), "data")
			copyTree(t, data, work)
			if r := verified(t, work, kept); !r.Clean() {
				t.Fatalf("control: %+v", r)
			}
			changeRows(t, work, tt.change)
			r := verified(t, work, AuditKept{})
			if tt.event > 0 && (r.Event == nil || r.Event.Event != tt.event || r.Event.Block != tt.block) {
				t.Errorf("event %+v", r.Event)
			}
			if tt.digest == "" && r.Digest != nil || tt.digest != "" && !strings.Contains(digestOf(r), tt.digest) && tt.event == 0 {
				t.Errorf("digest %+v", r.Digest)
			}
		})
	}
}

func digestOf(r *AuditReport) string {
	if r.Digest != nil {
		return r.Digest.Digest
	}
	return ""
}

// TestAnOlderCopyShowsByWhatWasKeptAlone: everything put back as it was is a whole record, so that only what was kept
// elsewhere tells.
func TestAnOlderCopyShowsByWhatWasKeptAlone(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	data, copied := filepath.Join(base, "data"), filepath.Join(base, "older")
	keep(t, data, past, 2)
	copyTree(t, data, copied)
	keep(t, data, past.Add(2*time.Hour), 2)
	r := verified(t, data, AuditKept{})
	kept := keptOf(t, data, r)
	if again := verified(t, data, kept); !again.Clean() {
		t.Fatalf("control: %+v", again)
	}
	if again := verified(t, copied, AuditKept{Keys: kept.Keys}); !again.Clean() {
		t.Fatalf("an older copy shows without a digest or an anchor: the documentation says otherwise: %+v", again)
	}
	if again := verified(t, copied, AuditKept{Digests: kept.Digests}); again.Digest == nil {
		t.Error("not found by the digest that was kept")
	}
	if again := verified(t, copied, AuditKept{Anchors: kept.Anchors}); again.Event == nil {
		t.Error("not found by the end that was kept")
	}
}

func TestExportIsWholeAndVerifiable(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	data, to := filepath.Join(base, "data"), filepath.Join(base, "record")
	keep(t, data, past, 3)
	digests, files, err := ExportAudit(t.Context(), AuditConfig{Data: data}, AuditExport{To: to})
	if err != nil || digests != 2 || files != 2 {
		t.Fatal(digests, files, err)
	}
	var names []string
	err = fs.WalkDir(os.DirFS(to), ".", func(name string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) != 6 { // two digests, their metadata, two log files
		t.Errorf("%v %q", err, names)
	}
	changeRows(t, data, func(_ func(k, v string), drop func(string)) {
		drop(string(append(meta.AppendUint64(append(meta.Key("aud"), 'b'), 2), 0)))
	})
	if _, _, err := ExportAudit(t.Context(), AuditConfig{Data: data}, AuditExport{To: filepath.Join(base, "again")}); err == nil {
		t.Error("what is not whole is exported")
	} else if _, ok := errors.AsType[*audit.Fault](err); !ok {
		t.Error(err)
	}
}

// rowsOf is what lies in a stopped server's metadata, sealed.
func rowsOf(t *testing.T, data string) map[string]string {
	t.Helper()
	db, err := pebble.Open(filepath.Join(data, "meta"), pebble.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows := map[string]string{}
	err = db.View(t.Context(), func(r meta.Reader) error {
		for kv, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			rows[string(kv.Key)] = string(kv.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// changeRows changes a stopped server's metadata below the seal.
func changeRows(t *testing.T, data string, change func(put func(key, value string), drop func(key string))) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(data, "meta"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(t.Context(), func(tx meta.Tx) error {
		change(func(k, v string) { tx.Put([]byte(k), []byte(v)) }, func(k string) { tx.Delete([]byte(k)) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
