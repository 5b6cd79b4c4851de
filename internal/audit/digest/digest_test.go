// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/rootkey"
)

const account = "000000000000"

// world is a log with digests, and a clock.
type world struct {
	t    *testing.T
	db   meta.DB
	root *rootkey.File
	log  *audit.Log
	*Digester
	now time.Time
}

// begin is in the middle of an hour.
var begin = time.Date(2026, 11, 23, 10, 40, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	root, err := rootkey.FromSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: mem.New(), root: root, now: begin}
	w.open()
	return w
}

// open starts log and digester over what is stored.
func (w *world) open() {
	w.t.Helper()
	clock := func() time.Time { return w.now }
	var err error
	if w.log, err = audit.Open(w.t.Context(), audit.Config{DB: w.db, Now: clock}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.log.Close() })
	w.Digester = New(Config{DB: w.db, Root: w.root, Log: w.log, Account: account, Region: "us-east-1", Now: clock})
}

// record writes n events, each in a block of its own.
func (w *world) record(n int) {
	w.t.Helper()
	for range n {
		err := w.log.Record(w.t.Context(), audit.NewServiceEvent(audit.ServiceAction{Service: "kms", Name: "RotateKey", Region: "us-east-1", Account: account}))
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// pass moves the clock and makes what is due.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	if _, err := w.Make(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// digests are all there are.
func (w *world) digests() (all []*whole) {
	w.t.Helper()
	for d, err := range walk(w.t.Context(), w.db, time.Time{}, time.Time{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func (w *world) check(change ...func(*Check)) *Report {
	w.t.Helper()
	c := Check{DB: w.db, Account: account, Region: "us-east-1"}
	for _, f := range change {
		f(&c)
	}
	r, err := c.Run(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) clean(change ...func(*Check)) *Report {
	w.t.Helper()
	r := w.check(change...)
	if !r.Clean() {
		w.t.Fatalf("event %v, digest %v", r.Event, r.Digest)
	}
	return r
}

func TestEveryHourHasOneDigestWithAllItsEvents(t *testing.T) {
	w := newWorld(t)
	w.pass(0)
	w.record(3)
	w.pass(10 * time.Minute) // 10:50
	w.record(2)
	w.pass(10*time.Minute + settle - time.Second)
	if n := len(w.digests()); n != 0 {
		t.Fatalf("%d digests before the hour has settled", n)
	}
	w.record(1) // 11:00:04, of the next hour
	w.pass(time.Second)
	w.pass(2 * time.Hour) // 13:00:05; the second hour has one event, the third none
	all := w.digests()
	if len(all) != 3 {
		t.Fatalf("%d digests", len(all))
	}
	for i, want := range []struct {
		start string
		files []uint64
	}{{"10:00:00", []uint64{3, 2}}, {"11:00:00", []uint64{1}}, {"12:00:00", nil}} {
		d := all[i]
		if got := d.Start.Format(time.TimeOnly); got != want.start || d.End.Sub(d.Start) != time.Hour {
			t.Errorf("digest %d is of %s", i, got)
		}
		var files []uint64
		for _, f := range d.files {
			files = append(files, f.events)
		}
		if fmt.Sprint(files) != fmt.Sprint(want.files) {
			t.Errorf("digest %d: files of %v events, want %v", i, files, want.files)
		}
	}
	first, last := all[0], all[2]
	if first.Oldest.Format(time.TimeOnly) != "10:40:00" || first.Newest.Format(time.TimeOnly) != "10:50:00" || last.Oldest != nil || last.Newest != nil {
		t.Errorf("times %v %v, %v %v", first.Oldest, first.Newest, last.Oldest, last.Newest)
	}
	if first.PreviousObject != nil || last.PreviousObject == nil || *last.PreviousObject != all[1].Object {
		t.Error("the chain is not one")
	}
	r := w.clean()
	if r.Events != 6 || r.Digests != 3 || r.LogFiles != 3 || r.Unsigned != 0 || r.Keys != 1 || r.Pinned {
		t.Errorf("%+v", r)
	}
	w.record(2)
	if r := w.clean(); r.Events != 8 || r.Unsigned != 2 {
		t.Errorf("%+v", r)
	}
}

// TestDocumentIsCloudTrailsFormat compares names and members letter for letter with the user guide's.
func TestDocumentIsCloudTrailsFormat(t *testing.T) {
	w := newWorld(t)
	w.record(1)
	w.pass(2 * time.Hour)
	d := w.digests()
	shape := regexp.MustCompile(`[0-9a-f]{32,}`).ReplaceAllStringFunc(string(d[1].content), func(s string) string {
		return fmt.Sprintf("<%d>", len(s))
	})
	want := `{"awsAccountId":"000000000000","digestStartTime":"2026-11-23T11:00:00Z","digestEndTime":"2026-11-23T12:00:00Z",` +
		`"digestS3Bucket":"obscura-audit","digestS3Object":"AWSLogs/000000000000/CloudTrail-Digest/us-east-1/2026/11/23/000000000000_CloudTrail-Digest_us-east-1_obscura_us-east-1_20261123T120000Z.json.gz",` +
		`"digestPublicKeyFingerprint":"<32>","digestSignatureAlgorithm":"SHA256withRSA","newestEventTime":null,"oldestEventTime":null,` +
		`"previousDigestS3Bucket":"obscura-audit","previousDigestS3Object":"AWSLogs/000000000000/CloudTrail-Digest/us-east-1/2026/11/23/000000000000_CloudTrail-Digest_us-east-1_obscura_us-east-1_20261123T110000Z.json.gz",` +
		`"previousDigestHashValue":"<64>","previousDigestHashAlgorithm":"SHA-256","previousDigestSignature":"<512>","logFiles":[]}`
	if shape != want {
		t.Errorf("got  %s\nwant %s", shape, want)
	}
	file := d[0].LogFiles[0]
	if !regexp.MustCompile(`^AWSLogs/000000000000/CloudTrail/us-east-1/2026/11/23/000000000000_CloudTrail_us-east-1_20261123T1040Z_[A-Za-z0-9]{16}\.json\.gz$`).MatchString(file.Object) {
		t.Error(file.Object)
	}
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\{"s3Bucket":"obscura-audit","s3Object":"[^"]+","hashValue":"[0-9a-f]{64}","hashAlgorithm":"SHA-256","newestEventTime":"2026-11-23T10:40:00Z","oldestEventTime":"2026-11-23T10:40:00Z"\}$`).Match(text) {
		t.Error(string(text))
	}
}

// depot keeps what is delivered.
type depot map[string]File

func (d depot) Deliver(_ context.Context, f File) error {
	f.Body = bytes.Clone(f.Body)
	d[f.Object] = f
	return nil
}

func TestLogFilesAreDeliveredByteForByteAsTheyWereSigned(t *testing.T) {
	w := newWorld(t)
	w.record(3)
	w.pass(2 * time.Hour)
	w.record(2)
	w.pass(time.Hour)
	to := depot{}
	digests, files, err := (&Delivery{DB: w.db, To: to}).Run(t.Context())
	if err != nil || digests != 3 || files != 2 || len(to) != 5 {
		t.Fatalf("%d digests, %d files, %d delivered: %v", digests, files, len(to), err)
	}
	for _, d := range w.digests() {
		got := to[d.Object]
		if content, err := inflate(got.Body, maxContent); err != nil || !bytes.Equal(content, d.content) || got.Signature != hex.EncodeToString(d.signature) {
			t.Errorf("%s: %v", d.Object, err)
		}
		for _, f := range d.LogFiles {
			content, err := inflate(to[f.Object].Body, maxContent)
			if err != nil {
				t.Fatal(err)
			}
			var log struct{ Records []audit.Event }
			if err := json.Unmarshal(content, &log); err != nil || len(log.Records) == 0 || log.Records[0].EventName != "RotateKey" {
				t.Errorf("%v: %+v", err, log)
			}
			if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != f.Hash {
				t.Error("hash")
			}
		}
	}
	some := depot{}
	if n, _, err := (&Delivery{DB: w.db, To: some, From: begin.Truncate(time.Hour).Add(time.Hour)}).Run(t.Context()); n != 2 || err != nil {
		t.Errorf("%d digests from the second on, %v", n, err)
	}
}

// TestOpenSSLVerifiesASignature is the user guide's custom implementation, with another's RSA.
func TestOpenSSLVerifiesASignature(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl")
	}
	w := newWorld(t)
	w.record(1)
	w.pass(2 * time.Hour)
	keys, err := w.PublicKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: keys[0].Public}))
	previous := "null"
	for _, d := range w.digests() {
		hash := sha256.Sum256(d.content)
		text := strings.Join([]string{d.end.Format("2006-01-02T15:04:05Z"), d.Bucket + "/" + d.Object, hex.EncodeToString(hash[:]), previous}, "\n")
		verify := func(text string) error {
			cmd := exec.Command(openssl, "dgst", "-sha256", "-verify", key, "-signature", write("signature", d.signature), write("text", []byte(text)))
			return cmd.Run()
		}
		if err := verify(text); err != nil {
			t.Errorf("%s: %v", d.Object, err)
		}
		if verify(text+" ") == nil {
			t.Error("control: verifies anything")
		}
		previous = hex.EncodeToString(d.signature)
	}
}

func TestMissedHoursAreMadeUpWithTheKeysOfTheirTime(t *testing.T) {
	w := newWorld(t)
	w.record(2)
	w.pass(time.Hour)
	w.log.Close()
	w.now = w.now.Add(30 * time.Hour)
	w.open()
	w.record(1)
	w.pass(0)
	if n := len(w.digests()); n != 31 {
		t.Fatalf("%d digests", n)
	}
	r := w.clean()
	if r.Digests != 31 || r.Keys != 2 || r.Events != 3 || r.Unsigned != 1 {
		t.Errorf("%+v", r)
	}
	keys, err := w.ring.keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if keys[0].Private != nil || keys[1].Private == nil {
		t.Error("the key that has had its time can still sign, or the present one cannot")
	}
}

func TestADigestIsMadeOnceWhateverFails(t *testing.T) {
	w := newWorld(t)
	w.record(2)
	w.pass(time.Hour)
	failing := &failingDB{DB: w.db, fail: true}
	d := *w.Digester
	d.DB = failing
	w.now = w.now.Add(time.Hour)
	if _, err := d.Make(t.Context()); err == nil {
		t.Fatal("control: nothing failed")
	}
	if n := len(w.digests()); n != 1 {
		t.Fatalf("%d digests: half a one was stored", n)
	}
	// Two at once: one of them is told that it was too late.
	failing.fail, failing.first = false, func() {
		if _, err := w.Make(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := w.clean(); r.Digests != 2 {
		t.Errorf("%+v", r)
	}
}

// failingDB fails every update while fail; or runs first before the next one.
type failingDB struct {
	meta.DB
	fail  bool
	first func()
}

func (f *failingDB) Update(ctx context.Context, fn func(meta.Tx) error) error {
	if do := f.first; do != nil {
		f.first = nil
		do()
	} else if f.fail {
		return errors.New("no")
	}
	return f.DB.Update(ctx, fn)
}

func TestPinnedKeysVouchForTheirSuccessorsAndForWhatCameBefore(t *testing.T) {
	w := newWorld(t)
	w.record(1)
	w.pass(60 * time.Hour) // three keys
	keys, err := w.PublicKeys(t.Context())
	if err != nil || len(keys) != 3 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for i, k := range keys {
		if r := w.clean(func(c *Check) { c.Pinned = [][]byte{k.Public} }); !r.Pinned {
			t.Errorf("key %d: not pinned", i)
		}
	}
	other := newWorld(t)
	strange, err := other.PublicKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r := w.check(func(c *Check) { c.Pinned = [][]byte{strange[0].Public} }); r.Digest == nil || !strings.Contains(r.Digest.Reason, "was replaced") {
		t.Errorf("a strange key vouches: %+v", r)
	}
}

func TestListOfKeysMakesTheFirstOne(t *testing.T) {
	w := newWorld(t)
	keys, err := w.PublicKeys(t.Context())
	if err != nil || len(keys) != 1 || keys[0].From.After(begin) || keys[0].To.Before(begin) {
		t.Fatalf("%+v, %v", keys, err)
	}
	w.record(1)
	w.pass(time.Hour)
	again, err := w.PublicKeys(t.Context())
	if err != nil || len(again) != 1 || again[0].Fingerprint != keys[0].Fingerprint || w.digests()[0].KeyFingerprint != keys[0].Fingerprint {
		t.Errorf("another key signs: %+v, %v", again, err)
	}
}

func TestRewrapMovesThePrivateKeyToTheNewRootKey(t *testing.T) {
	w := newWorld(t)
	w.record(1)
	w.pass(time.Hour)
	next := newWorld(t).root
	w.root.Join(next)
	if n, err := w.Rewrap(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := CheckKeys(t.Context(), w.db, next); err != nil {
		t.Error(err)
	}
	w.root.Keep(next.ID())
	if n, err := Rewrap(t.Context(), w.db, w.root); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	w.pass(time.Hour)
	w.clean()
	if err := CheckKeys(t.Context(), w.db, newWorld(t).root); !errors.Is(err, rootkey.ErrWrongKey) {
		t.Errorf("control: any root key opens it: %v", err)
	}
}

func TestARangeReadsItsHoursAlone(t *testing.T) {
	w := newWorld(t)
	w.record(3)
	w.pass(time.Hour)
	w.record(4)
	w.pass(time.Hour)
	w.pass(time.Hour)
	w.record(5)
	w.pass(time.Hour)
	w.record(6)
	hour := begin.Truncate(time.Hour)
	for _, tt := range []struct {
		from, until time.Time
		events      uint64
		unsigned    uint64
		files       int
	}{
		{events: 18, unsigned: 6, files: 3},
		{until: hour.Add(30 * time.Minute), events: 3, files: 1},
		{from: hour.Add(90 * time.Minute), until: hour.Add(119 * time.Minute), events: 4, files: 1},
		{from: hour.Add(150 * time.Minute), until: hour.Add(151 * time.Minute)},
		{from: hour.Add(150 * time.Minute), events: 11, unsigned: 6, files: 1},
		{from: hour.Add(5 * time.Hour), events: 6, unsigned: 6},
		{until: hour.Add(5 * time.Hour), events: 18, unsigned: 6, files: 3},
	} {
		r := w.clean(func(c *Check) { c.From, c.Until = tt.from, tt.until })
		if r.Events != tt.events || r.Unsigned != tt.unsigned || r.LogFiles != tt.files || r.Digests != 4 {
			t.Errorf("%v to %v: %+v", tt.from, tt.until, r)
		}
	}
}

func TestAClockThatIsSetBackEndsNothing(t *testing.T) {
	w := newWorld(t)
	w.record(1)
	w.pass(2 * time.Hour)
	w.now = w.now.Add(-90 * time.Minute)
	w.record(2)
	w.pass(0)
	if n := len(w.digests()); n != 2 {
		t.Fatalf("%d digests", n)
	}
	w.pass(3 * time.Hour)
	if r := w.clean(); r.Digests != 4 || r.Events != 3 || r.Unsigned != 0 {
		t.Errorf("%+v", r)
	}
}

// TestRunFollowsTheClockAndIsNotLedAstrayByIt: digests come as hours end; a clock that is years ahead for a moment moves
// the chain by a month at most, and when it is right again Run notices.
func TestRunFollowsTheClockAndIsNotLedAstrayByIt(t *testing.T) {
	if due, left, err := newWorld(t).some(t.Context(), 0); left || err != nil || !due.Equal(begin.Truncate(time.Hour).Add(time.Hour+settle)) {
		t.Fatalf("nothing is due: %v %v %v", due, left, err)
	}
	w := newWorld(t)
	w.record(1)
	w.now = begin.Add(50 * time.Hour)
	if _, left, err := w.some(t.Context(), 3); !left || err != nil || len(w.digests()) != 3 {
		t.Fatalf("%d digests, %v %v", len(w.digests()), left, err)
	}
	w.now = begin.Add(3 * time.Hour)
	if _, left, err := w.some(t.Context(), 3); left || err != nil || len(w.digests()) != 3 {
		t.Fatalf("%d digests, %v %v", len(w.digests()), left, err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var clock atomic.Int64
		clock.Store(time.Now().Unix())
		w.Digester.Now = func() time.Time { return time.Unix(clock.Load(), 0) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.Run(ctx); close(done) }()
		for _, step := range []struct {
			clock, wait time.Duration // the clock is set on by, then some time passes
			digests     int
		}{
			{0, time.Minute, 0},
			{time.Hour + time.Minute, 2 * time.Second, 1},
			{2 * time.Hour, 2 * time.Second, 3},
			{-2 * time.Hour, 2 * time.Minute, 3},
			{2 * time.Hour, 2 * time.Minute, 3},
			{time.Hour, 2 * time.Second, 4},
		} {
			clock.Add(int64(step.clock / time.Second))
			time.Sleep(step.wait)
			synctest.Wait()
			if n := len(w.digests()); n != step.digests {
				t.Errorf("after %v: %d digests, want %d", step.clock, n, step.digests)
			}
		}
		cancel()
		<-done
		w.log.Close()
	})
}

func TestPublicKeyIsPKCS1(t *testing.T) {
	w := newWorld(t)
	keys, err := w.PublicKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A sequence of two integers: the modulus at once, no algorithm before it.
	if text := base64.StdEncoding.EncodeToString(keys[0].Public); !strings.HasPrefix(text, "MIIBCgKCAQEA") || len(keys[0].Fingerprint) != 32 {
		t.Error(text)
	}
}

func FuzzParse(f *testing.F) {
	s := stored{firstBlock: 1, firstEvent: 1, files: []extent{{1, 2}, {3, 400}}, signature: []byte("sig"), content: []byte(`{"digestSignatureAlgorithm":"SHA256withRSA"}`)}
	parts, err := s.marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(parts[0], []byte(nil))
	f.Add(newest{end: begin}.marshal(), digestKey(begin, 3))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		parseNewest(one)
		cutDigestKey(two)
		_, _ = eventTime(one)
		in := [][]byte{one}
		if len(two) > 0 {
			in = append(in, two)
		}
		s, err := parseStored(in)
		if err != nil {
			return
		}
		again, err := s.marshal()
		if err != nil {
			t.Fatal(err)
		}
		b, err := parseStored(again)
		if err != nil || !bytes.Equal(b.content, s.content) || len(b.files) != len(s.files) || b.firstEvent != s.firstEvent {
			t.Fatalf("not stable: %v", err)
		}
		_, _ = parseDocument(s.content)
	})
}
