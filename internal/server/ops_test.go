// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	mailboxapi "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// site is a running server and a client of it.
type site struct {
	t      *testing.T
	data   string
	client protocol.Client
	creds  sigv4.Credentials
	stop   func()
}

// start runs a server over a data directory until stop or the test's end.
func start(t *testing.T, data, root string) *site {
	t.Helper()
	any := Listener{Listen: "127.0.0.1:0"}
	s, err := Open(t.Context(), Config{Data: data, RootFile: root, API: any, Media: any, Device: any, Admin: Listener{Listen: Off}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	running := true
	w := &site{t: t, data: data, stop: func() {
		if cancel(); running {
			running = false
			if err := <-done; err != nil {
				t.Errorf("stop: %v", err)
			}
		}
	}}
	t.Cleanup(w.stop)
	w.connect(s)
	for !s.ready.Load() {
		time.Sleep(time.Millisecond)
	}
	return w
}

func (w *site) connect(s *Server) {
	text, err := os.ReadFile(filepath.Join(w.data, "credentials"))
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch name {
		case "aws_access_key_id":
			w.creds.AccessKeyID = value
		case "aws_secret_access_key":
			w.creds.SecretAccessKey = value
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.authority.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	w.t.Cleanup(transport.CloseIdleConnections)
	w.client = protocol.Client{Endpoint: s.Endpoints().Media, HTTP: &http.Client{Transport: transport}, Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), w.creds, DefaultRegion, "kinesisvideo", time.Now())
		return nil
	}}
}

// footage is the payload of fragment i: long enough to lie in a segment, and known.
func footage(stream string, i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%s fragment %d. ", stream, i), 2000)
}

// upload makes a stream and puts n fragments into it.
func (w *site) upload(stream string, n int) {
	w.t.Helper()
	_, err := kvapi.NewClient(w.client).CreateStream(w.t.Context(), &kvapi.CreateStreamInput{StreamName: &stream, DataRetentionInHours: ptr(int64(24))})
	if err != nil {
		w.t.Fatal(err)
	}
	body := mkv.AppendHeader(nil, mkv.Info{MuxingApp: "test", WritingApp: "test"}, []mkv.Track{
		{Number: 1, Type: mkv.TrackVideo, CodecID: "V_MPEG4/ISO/AVC", Width: 640, Height: 360, CodecPrivate: []byte{1}},
	})
	begin := uint64(time.Now().Add(-time.Minute).UnixMilli())
	for i := range n {
		body = mkv.AppendCluster(body, begin+uint64(i)*1000, mkv.AppendSimpleBlock(nil, 1, 0, true, footage(stream, i)))
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.client.Endpoint+"/putMedia", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("X-Amzn-Stream-Name", stream)
	r.Header.Set("X-Amzn-Fragment-Timecode-Type", mediaapi.FragmentTimecodeTypeAbsolute)
	sigv4.Sign(r, sigv4.EmptyHash, w.creds, DefaultRegion, "kinesisvideo", time.Now())
	resp, err := w.client.HTTP.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	acks, err := io.ReadAll(resp.Body)
	if got := bytes.Count(acks, []byte(mediaapi.AckPersisted)); err != nil || got != n {
		w.t.Fatalf("%d fragments persisted, want %d: %s %v", got, n, acks, err)
	}
}

// boxes is a client of mailboxes.
func (w *site) boxes() *mailboxapi.Client {
	c := w.client
	c.Sign = func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), w.creds, DefaultRegion, "mailbox", time.Now())
		return nil
	}
	return mailboxapi.NewClient(c)
}

// post puts an object into a mailbox.
func (w *site) post(key string) {
	w.t.Helper()
	if _, err := w.boxes().PutObject(w.t.Context(), &mailboxapi.PutObjectInput{Box: ptr("home"), Key: &key, Body: footage(key, 1)[:30_000]}); err != nil {
		w.t.Fatal(err)
	}
}

// numbers lists the fragments of a stream.
func (w *site) numbers(stream string) (numbers []string) {
	w.t.Helper()
	out, err := archiveapi.NewClient(w.client).ListFragments(w.t.Context(), &archiveapi.ListFragmentsInput{StreamName: &stream})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range out.Fragments {
		numbers = append(numbers, *f.FragmentNumber)
	}
	slices.Sort(numbers)
	return numbers
}

// readable checks that a stream has exactly these n fragments and plays them.
func (w *site) readable(stream string, n int) {
	w.t.Helper()
	numbers := w.numbers(stream)
	if len(numbers) != n {
		w.t.Fatalf("%d fragments of %s, want %d", len(numbers), stream, n)
	}
	_, body, err := archiveapi.NewClient(w.client).GetMediaForFragmentList(w.t.Context(), &archiveapi.GetMediaForFragmentListInput{StreamName: &stream, Fragments: numbers})
	if err != nil {
		w.t.Fatal(err)
	}
	defer body.Close()
	media, err := io.ReadAll(body)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		if !bytes.Contains(media, footage(stream, i)) {
			w.t.Errorf("fragment %d of %s is not played", i, stream)
		}
	}
}

func clean(t *testing.T, r *FsckReport, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !r.Clean() {
		t.Fatalf("damage: %+v", r.Damage)
	}
}

func TestBackupOfARunningServerIsRestored(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	data, to, root := filepath.Join(base, "data"), filepath.Join(base, "backup"), filepath.Join(base, "root.key")
	w := start(t, data, root)
	w.upload("front", 3)
	w.upload("yard", 2)
	w.post("roster/1")
	m, err := Backup(t.Context(), BackupConfig{Data: data, To: to})
	if err != nil {
		t.Fatal(err)
	}
	if m.RootFile != root || m.RootKeyID == "" || m.WithRootKey {
		t.Errorf("manifest does not say where the root key is: %+v", m)
	}
	for _, secret := range []string{"credentials", "root.key"} {
		if _, err := os.Stat(filepath.Join(to, "data", secret)); err == nil {
			t.Errorf("%s is in the backup", secret)
		}
	}
	w.upload("later", 1)
	r, err := CheckBackup(t.Context(), CheckConfig{Dir: to})
	clean(t, r, err)
	if r.Streams != 2 || r.Fragments != 5 {
		t.Errorf("drill has read %d streams and %d fragments", r.Streams, r.Fragments)
	}
	w.stop()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}

	restored := filepath.Join(base, "restored")
	if _, err := Restore(t.Context(), RestoreConfig{Dir: to, Data: restored}); err != nil {
		t.Fatal(err)
	}
	w = start(t, restored, root)
	w.readable("front", 3)
	w.readable("yard", 2)
	w.upload("new", 1)
	w.readable("new", 1)
	if o, err := w.boxes().GetObject(t.Context(), &mailboxapi.GetObjectInput{Box: ptr("home"), Key: ptr("roster/1")}); err != nil || !bytes.Equal(o.Body, footage("roster/1", 1)[:30_000]) {
		t.Errorf("the object of a mailbox: %v", err)
	}
	r, err = Fsck(t.Context(), FsckConfig{Data: restored})
	clean(t, r, err)
	if !r.Running || r.Streams != 3 || r.Objects != 1 {
		t.Errorf("fsck beside the server: %+v", r)
	}
	// The server removes the checkpoint when it notices that the connection has ended.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		left, err := os.ReadDir(filepath.Join(restored, checkpointDir))
		if err == nil && len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("checkpoints stay: %v %v", left, err)
		}
	}
}

func TestBackupOfAStoppedServer(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	data, to := filepath.Join(base, "data"), filepath.Join(base, "backup")
	w := start(t, data, "")
	w.upload("front", 1)
	w.stop()
	if _, err := Backup(t.Context(), BackupConfig{Data: data, To: to, WithRootKey: true}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(data, "root.key"), filepath.Join(base, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	r, err := CheckBackup(t.Context(), CheckConfig{Dir: to})
	clean(t, r, err)
	if _, err := Backup(t.Context(), BackupConfig{Data: data, To: to}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("backup over a backup: %v", err)
	}
	if _, err := Backup(t.Context(), BackupConfig{Data: data, To: filepath.Join(data, "backup")}); !errors.Is(err, ErrConfig) {
		t.Errorf("backup into the data: %v", err)
	}
	if _, err := Fsck(t.Context(), FsckConfig{Data: data}); !errors.Is(err, rootkey.ErrMissing) {
		t.Errorf("fsck without root key: %v", err)
	}
}

func TestControlSocketIsPrivateAndReachableInADeepFolder(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), strings.Repeat("deep", 30), "data")
	if err := os.Mkdir(filepath.Dir(data), 0o700); err != nil {
		t.Fatal(err)
	}
	w := start(t, data, "")
	info, err := os.Stat(filepath.Join(data, controlSocket))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	st, err := ReadStatus(t.Context(), data)
	if err != nil || st.PID != os.Getpid() || st.RootFile != filepath.Join(data, "root.key") {
		t.Fatalf("status %+v: %v", st, err)
	}
	if _, err := takeSnapshot(t.Context(), data); err != nil { // is never ended: the server does not wait for it
		t.Fatal(err)
	}
	w.stop()
	if _, err := ReadStatus(t.Context(), data); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestSegmentsStayWhileTheyAreCopied(t *testing.T) {
	t.Parallel()
	s := new(stores)
	s.copying.RLock()
	if err := s.reapArchive(t.Context()); err != nil { // with a journal to reap it would panic: there is none
		t.Fatal(err)
	}
	s.copying.RUnlock()
}

func TestBackupWhileFootageArrivesHasWhatWasAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	data := filepath.Join(base, "data")
	w := start(t, data, "")
	w.upload("stream0", 2)
	for i := 1; i <= 3; i++ {
		to := filepath.Join(base, fmt.Sprint("backup", i))
		done := make(chan error, 1)
		go func() {
			_, err := Backup(t.Context(), BackupConfig{Data: data, To: to})
			done <- err
		}()
		w.upload(fmt.Sprint("stream", i), 5)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r, err := CheckBackup(t.Context(), CheckConfig{Dir: to})
		clean(t, r, err)
		if before := 2 + 5*(i-1); r.Fragments < before {
			t.Errorf("%d fragments, %d were acknowledged before the backup began", r.Fragments, before)
		}
	}
}

func TestRestoreStaysInItsFolder(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../x", "/etc/x", "meta/../../x", "", "."} {
		dir := t.TempDir()
		m := &Manifest{Format: manifestFormat, Files: []BackupFile{{Name: name}, {Name: formatFile}}}
		if err := m.write(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(t.Context(), RestoreConfig{Dir: dir, Data: filepath.Join(t.TempDir(), "new")}); err == nil {
			t.Errorf("%q was restored", name)
		}
	}
}

func TestFsckTellsDeletedKeysFromDamage(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	w := start(t, data, "")
	w.upload("front", 3)
	w.stop()
	dropRow(t, data, "kms/k") // what is left of a KMS key that was deleted: nothing
	dropRow(t, data, "kms/m")
	r, err := Fsck(t.Context(), FsckConfig{Data: data})
	clean(t, r, err)
	if r.KeyDeleted != 3 || r.Keys != 0 {
		t.Errorf("%+v", r)
	}
}

func TestInterruptedBackupIsNoBackup(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	data, to := filepath.Join(base, "data"), filepath.Join(base, "backup")
	start(t, data, "").stop()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Backup(ctx, BackupConfig{Data: data, To: to, Progress: func(file string, _, _ int64) {
		if strings.HasPrefix(file, "tls/") {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := CheckBackup(t.Context(), CheckConfig{Dir: to}); !errors.Is(err, ErrIncomplete) {
		t.Errorf("check: %v", err)
	}
	if _, err := Restore(t.Context(), RestoreConfig{Dir: to, Data: filepath.Join(base, "new")}); !errors.Is(err, ErrIncomplete) {
		t.Errorf("restore: %v", err)
	}
	for _, dir := range []string{to, filepath.Join(to, "data")} {
		if err := prepareData(dir); !errors.Is(err, ErrForeign) {
			t.Errorf("a server would take %s: %v", dir, err)
		}
	}
}

func TestBackupCheckFindsWhatChanged(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	data, to := filepath.Join(base, "data"), filepath.Join(base, "backup")
	w := start(t, data, "")
	w.upload("front", 1)
	w.stop()
	if _, err := Backup(t.Context(), BackupConfig{Data: data, To: to}); err != nil {
		t.Fatal(err)
	}
	alter(t, segments(t, filepath.Join(to, "data"))[0], 1000)
	if err := os.WriteFile(filepath.Join(to, "data", "blob", "strange"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := CheckBackup(t.Context(), CheckConfig{Dir: to})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(r.Damage)
	for _, want := range []string{"SHA-256", "not in the manifest", `"stream":"front"`} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("not found: %s in %s", want, text)
		}
	}
	if _, err := Restore(t.Context(), RestoreConfig{Dir: to, Data: filepath.Join(base, "new")}); !errors.Is(err, ErrDamaged) {
		t.Errorf("restore: %v", err)
	}
	if err := prepareData(filepath.Join(base, "new")); !errors.Is(err, ErrForeign) {
		t.Errorf("a server would take half a restore: %v", err)
	}
}

// segments returns the segment files of a data directory that are not empty.
func segments(t *testing.T, data string) (files []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(data, "blob", "b", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if info, err := os.Stat(file); err == nil && info.Size() > 10_000 {
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		t.Fatal("no segments")
	}
	return files
}

// contents returns every file of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := addTree(dir, "", func(file, name string) error {
		b, err := os.ReadFile(file)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// alter changes one byte of a file.
func alter(t *testing.T, file string, off int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[off] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// changeRow does something to the first stored row of a prefix.
func changeRow(t *testing.T, data, prefix string, change func(meta.Tx, meta.KV)) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(data, "meta"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx meta.Tx) error {
		for kv, err := range tx.Scan([]byte(prefix), meta.PrefixEnd([]byte(prefix))) {
			if err == nil {
				change(tx, kv)
			}
			return err
		}
		return errors.New("no row " + prefix)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func alterRow(t *testing.T, data, prefix string) {
	changeRow(t, data, prefix, func(tx meta.Tx, kv meta.KV) {
		kv.Value[len(kv.Value)-1] ^= 1
		tx.Put(kv.Key, kv.Value)
	})
}

func dropRow(t *testing.T, data, prefix string) {
	changeRow(t, data, prefix, func(tx meta.Tx, kv meta.KV) { tx.Delete(kv.Key) })
}

func TestFsckNamesEachDamagedThing(t *testing.T) {
	t.Parallel()
	base := filepath.Join(t.TempDir(), "data")
	w := start(t, base, "")
	w.upload("front", 4)
	w.post("roster/1")
	w.stop()
	before := contents(t, base)
	r, err := Fsck(t.Context(), FsckConfig{Data: base})
	clean(t, r, err)
	if !maps.Equal(before, contents(t, base)) {
		t.Error("fsck changed the data directory")
	}
	if r.Running || r.Streams != 1 || r.Fragments != 4 || r.Frames != 8 || r.Keys != 1 || r.AuditEvents == 0 || r.Orphans != 0 {
		t.Errorf("a clean directory: %+v", r)
	}
	for name, tc := range map[string]struct {
		damage func(t *testing.T, data string)
		want   []string
	}{
		"one bit of a frame": {
			func(t *testing.T, data string) { alter(t, segments(t, data)[0], 5000) },
			[]string{`"part":"footage"`, `"stream":"front"`, `"fragment":"`, `"file":"blob/b/`, `"offset":`, "does not authenticate"},
		},
		"a body that is gone": {
			func(t *testing.T, data string) { dropRow(t, data, "mb/body") },
			[]string{`"part":"mailbox"`, "object home/roster/1: ", "not found"},
		},
		"a segment cut short": {
			func(t *testing.T, data string) {
				if err := os.Truncate(segments(t, data)[0], 50_000); err != nil {
					t.Fatal(err)
				}
			},
			[]string{`"part":"index"`, `"stream":"front"`, "cut short"},
		},
		"a segment that is gone": {
			func(t *testing.T, data string) {
				if err := os.Remove(segments(t, data)[0]); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"does not exist", `"stream":"front"`, "not found"},
		},
		"all segments": {
			func(t *testing.T, data string) {
				if err := os.RemoveAll(filepath.Join(data, "blob")); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"does not exist", `"stream":"front"`, "not found"},
		},
		"a row that was altered": {
			func(t *testing.T, data string) { alterRow(t, data, "iam/") },
			[]string{`"part":"metadata"`, "does not authenticate"},
		},
		"a data key that was altered": {
			func(t *testing.T, data string) { alterRow(t, data, "dk/") },
			[]string{`"part":"metadata"`, "dk/", `"stream":"front"`, "data key was deleted"},
		},
		"an audit block that was altered": {
			func(t *testing.T, data string) { alterRow(t, data, "aud/b") },
			[]string{`"part":"metadata"`, `"part":"audit"`},
		},
		"key material that was altered": {
			func(t *testing.T, data string) { alterRow(t, data, "kms/m") },
			[]string{`"part":"keys"`, `"stream":"front"`},
		},
		"an entry that was dropped": {
			func(t *testing.T, data string) { dropRow(t, data, "j/") },
			[]string{`"part":"index"`, "speaks of entry"},
		},
		"an index row that was dropped": {
			func(t *testing.T, data string) { dropRow(t, data, "x/") },
			[]string{"is missing", `"stream":"front"`},
		},
		"a file of the metadata": {
			func(t *testing.T, data string) {
				changeRow(t, data, "iam/", func(meta.Tx, meta.KV) {}) // opening the store makes a table of its log
				tables, err := filepath.Glob(filepath.Join(data, "meta", "*.sst"))
				if err != nil || len(tables) == 0 {
					t.Fatalf("no tables: %v", err)
				}
				alter(t, tables[0], 100)
			},
			[]string{`"part":"metadata"`, "checksum"},
		},
		"the local CA's key": {
			func(t *testing.T, data string) { alter(t, filepath.Join(data, "tls", "ca.key"), 30) },
			[]string{`"part":"certificates"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(data, os.DirFS(base)); err != nil {
				t.Fatal(err)
			}
			tc.damage(t, data)
			r, err := Fsck(t.Context(), FsckConfig{Data: data})
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(r.Damage)
			if err != nil {
				t.Fatal(err)
			}
			if r.Clean() {
				t.Fatal("no damage found")
			}
			for _, want := range tc.want {
				if !bytes.Contains(text, []byte(want)) {
					t.Errorf("not told: %s\n%s", want, text)
				}
			}
		})
	}
}
