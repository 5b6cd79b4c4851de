// SPDX-License-Identifier: Apache-2.0

package power_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/blob/disk"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	"github.com/obscura-video/obscura/internal/meta/sealed"
	"github.com/obscura-video/obscura/internal/seal"
	"github.com/obscura-video/obscura/internal/vfstest"
	"github.com/obscura-video/obscura/test/rig"
)

// The crash tests: several writers, on streams that two journals take from each other, on
// a disk in memory whose power is cut at random moments. Every entry is known by an id in
// its payload, from which all of its bytes follow, so that what lies on the disk after a
// cut can be judged by itself. A run is repeated with -crash.seed.
var (
	crashSeed = flag.Uint64("crash.seed", 0, "seed of the crash tests; 0 is a random one")
	crashCuts = flag.Int("crash.cuts", 0, "power cuts of TestAcknowledgedEntriesSurvivePowerCuts; 0 is 80, or 200 where all is required")
)

// powerCuts is how many there are to be.
func powerCuts() int {
	switch {
	case *crashCuts > 0:
		return *crashCuts
	case rig.Full():
		return 200
	case testing.Short():
		return 20
	}
	return 80
}

const crashDir = "/data"

func crashDice(t *testing.T) *vfstest.Dice {
	seed := *crashSeed
	if seed == 0 {
		var b [8]byte
		rand.Read(b[:]) // never fails
		seed = binary.BigEndian.Uint64(b[:])
	}
	t.Logf("replay with -crash.seed=%d", seed)
	return vfstest.NewDice(seed)
}

func key(b byte) *seal.Key {
	k, err := seal.NewKey(bytes.Repeat([]byte{b}, seal.KeySize))
	if err != nil {
		panic(err)
	}
	return k
}

// dataKey seals frames; under it every frame id has bytes that follow from it.
func dataKey() *journal.StaticKey { return journal.NewStaticKey("data", key(2)) }

// payload returns the bytes of frame i of the entry id.
func payload(id uint64, i int) []byte {
	n := 20 + int(id*2654435761>>7+uint64(i)*977)%3000
	b := make([]byte, n)
	binary.BigEndian.PutUint64(b, id)
	binary.BigEndian.PutUint32(b[8:], uint32(i))
	for j := 12; j < n; j++ {
		b[j] = byte(id)*3 + byte(i)*5 + byte(j)
	}
	return b
}

// abortedID marks entries that were never meant to be committed.
const abortedID = 1 << 63

func framesOf(id uint64) int { return 1 + int(id%4) }

// stores are the two stores on one file system, as the server puts them together.
type stores struct {
	db    meta.DB
	blobs []*disk.Store
}

func openStores(fs vfs.FS, n int, fatal func(error)) (*stores, error) {
	db, err := pebble.Open(crashDir+"/meta", pebble.Options{FS: fs, MemTableBytes: 64 << 10, CacheBytes: 1 << 20, Fatal: fatal})
	if err != nil {
		return nil, err
	}
	s := &stores{}
	ctx := context.Background()
	_, err = sealed.WrappedKey(ctx, db)
	if errors.Is(err, meta.ErrNotFound) {
		s.db, err = sealed.Create(ctx, db, nil, key(1))
	} else if err == nil {
		s.db, err = sealed.Open(ctx, db, key(1))
	}
	for range n {
		if err != nil {
			break
		}
		var b *disk.Store
		b, err = disk.Open(crashDir+"/blob", disk.Options{
			FS: fs, SegmentBytes: 64 << 10, ExtentBytes: 4 << 10, PreallocateBytes: 16 << 10, Fatal: fatal,
		})
		s.blobs = append(s.blobs, b)
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

func (s *stores) close() {
	for _, b := range s.blobs {
		b.Close()
	}
	s.db.Close()
}

// witness remembers what was promised.
type witness struct {
	nextID  atomic.Uint64
	deleted atomic.Int64 // segments

	mu        sync.Mutex
	acked     []ack
	takeovers []takeover
}

type ack struct {
	id     uint64
	stream string
	seq    journal.Seq
}

// takeover is what a new owner saw: all that there will ever be below its epoch.
type takeover struct {
	stream string
	epoch  uint32
	seen   []journal.Seq
}

func (w *witness) ack(a ack) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, a)
}

// snapshot returns what was promised until now.
func (w *witness) snapshot() ([]ack, []takeover) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked[:len(w.acked):len(w.acked)], w.takeovers[:len(w.takeovers):len(w.takeovers)]
}

// worker writes to one stream through one journal, and takes it over when it has lost it.
type worker struct {
	j      *journal.Journal
	w      *journal.Writer
	stream string
	class  blob.Class // of fragments
	dice   *vfstest.Dice
	wit    *witness
}

func (k *worker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		var err error
		if k.w == nil || k.dice.IntN(12) == 0 {
			err = k.own(ctx)
		}
		if err == nil {
			err = k.write(ctx)
		}
		if errors.Is(err, journal.ErrFenced) {
			k.w = nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (k *worker) own(ctx context.Context) (err error) {
	if k.w, err = k.j.Own(ctx, k.stream); err != nil {
		return err
	}
	t := takeover{stream: k.stream, epoch: k.w.Epoch()}
	for d, err := range k.j.Scan(ctx, k.stream, 0, journal.NewSeq(k.w.Epoch(), 0)) {
		if err != nil {
			return err
		}
		t.seen = append(t.seen, d.Seq)
	}
	k.wit.mu.Lock()
	defer k.wit.mu.Unlock()
	k.wit.takeovers = append(k.wit.takeovers, t)
	return nil
}

func (k *worker) write(ctx context.Context) error {
	id := k.wit.nextID.Add(1)
	if k.dice.IntN(3) == 0 {
		return k.append(ctx, id)
	}
	if k.dice.IntN(6) == 0 {
		id |= abortedID
	}
	f, err := k.w.Begin(ctx, journal.BeginOptions{Class: k.class, Sealer: dataKey()})
	if err != nil {
		return err
	}
	defer f.Abort()
	for i := range framesOf(id) {
		if err := f.Write(ctx, payload(id, i), nil); err != nil {
			return err
		}
	}
	if id&abortedID != 0 {
		return nil
	}
	index := []journal.IndexKey{{Name: "id", Key: meta.AppendUint64(nil, id)}}
	if err := f.Commit(ctx, journal.CommitOptions{Index: index}); err != nil {
		return err
	}
	k.wit.ack(ack{id, k.stream, f.Seq()})
	return nil
}

func (k *worker) append(ctx context.Context, id uint64) error {
	var records []journal.Record
	for i := range framesOf(id) {
		records = append(records, journal.Record{Payload: payload(id, i)})
	}
	seq, err := k.w.Append(ctx, journal.AppendOptions{Class: blob.Week, Sealer: dataKey()}, records...)
	if err == nil {
		k.wit.ack(ack{id, k.stream, seq})
	}
	return err
}

// judge reads a store as it was found and returns how it breaks the promises.
func judge(fs vfs.FS, acked []ack, takeovers []takeover) (wrong []string) {
	ctx := context.Background()
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	s, err := openStores(fs, 1, nil)
	if err != nil {
		return []string{"open: " + err.Error()}
	}
	defer s.close()
	report, err := journal.Check(ctx, s.db, s.blobs[0], dataKey())
	if err != nil || !report.OK() {
		add("check: %v %v", err, report.Problems)
	}
	j, err := journal.Open(ctx, s.db, s.blobs[0], journal.Options{})
	if err != nil {
		return append(wrong, "open journal: "+err.Error())
	}
	defer j.Close(ctx)
	type place struct {
		stream string
		seq    journal.Seq
	}
	found := make(map[uint64]place)
	present := make(map[place]bool)
	for _, stream := range crashStreams {
		for d, err := range j.Scan(ctx, stream, 0, 0) {
			if err != nil {
				add("scan: %v", err)
				break
			}
			present[place{stream, d.Seq}] = true
			id, err := identify(ctx, j, d)
			if err != nil {
				add("%s %d: %v", stream, d.Seq, err)
				continue
			}
			if other, ok := found[id]; ok {
				add("entry %d is doubled: %v and %s %d", id, other, stream, d.Seq)
			}
			found[id] = place{stream, d.Seq}
		}
	}
	for _, a := range acked {
		if found[a.id] != (place{a.stream, a.seq}) {
			add("acknowledged entry %d of %s %d is lost", a.id, a.stream, a.seq)
		}
	}
	for _, t := range takeovers {
		seen := make(map[journal.Seq]bool)
		for _, seq := range t.seen {
			seen[seq] = true
		}
		for p := range present {
			if p.stream == t.stream && p.seq.Epoch() < t.epoch && !seen[p.seq] {
				add("%s %d was committed behind the owner of epoch %d", p.stream, p.seq, t.epoch)
			}
		}
	}
	return append(wrong, goOn(ctx, j)...)
}

// identify reads an entry and compares it with what its id says it must be.
func identify(ctx context.Context, j *journal.Journal, d *journal.Descriptor) (id uint64, err error) {
	n := 0
	for f, err := range j.Frames(ctx, d, dataKey()) {
		if err != nil {
			return 0, err
		}
		if n == 0 {
			id = binary.BigEndian.Uint64(f.Payload)
		}
		if !bytes.Equal(f.Payload, payload(id, n)) {
			return 0, fmt.Errorf("frame %d has other bytes", n)
		}
		n++
	}
	if n != framesOf(id) || id&abortedID != 0 {
		return 0, fmt.Errorf("entry %d has %d frames", id, n)
	}
	return id, nil
}

// goOn checks that a store can be written after the cut.
func goOn(ctx context.Context, j *journal.Journal) (wrong []string) {
	w, err := j.Own(ctx, crashStreams[0])
	if err != nil {
		return []string{"own: " + err.Error()}
	}
	k := worker{j: j, w: w, stream: crashStreams[0], class: blob.Day, dice: vfstest.NewDice(1), wit: &witness{}}
	if err := errors.Join(k.append(ctx, 1), k.write(ctx)); err != nil {
		return []string{"write after the cut: " + err.Error()}
	}
	return nil
}

// trimmedStream is one of which nobody expects anything but that it does not harm others.
const trimmedStream = "trimmed"

// keepHouse writes to a stream, trims it, and reaps, again and again: segments are deleted
// while others are written and while the power may go.
func keepHouse(ctx context.Context, j *journal.Journal, wit *witness, dice *vfstest.Dice) error {
	k := worker{j: j, stream: trimmedStream, class: blob.Hour, dice: dice, wit: &witness{}}
	for ctx.Err() == nil {
		err := k.own(ctx)
		for range 20 {
			if err == nil {
				err = k.write(ctx)
			}
		}
		if err == nil {
			_, err = j.Trim(ctx, trimmedStream, journal.TrimOptions{KeepBytes: 5000})
		}
		if err == nil {
			var r journal.ReapReport
			r, err = j.Reap(ctx, journal.ReapOptions{})
			wit.deleted.Add(int64(r.Deleted))
		}
		if err != nil && !errors.Is(err, journal.ErrFenced) {
			return err
		}
	}
	return nil
}

var crashStreams = []string{"cam-1", "cam-2", journal.Shard("records", "0")}

// cut is a disk after a power cut, and what had been promised before.
type cut struct {
	fs        *vfs.MemFS
	acked     []ack
	takeovers []takeover
	deleted   int64
}

// runWorld lets two journals write for a while and returns the disks after cuts at
// random moments; the last one is the disk as it is at the end.
//
// What was not synced by the moment of a cut survives it as far as the kernel happened to
// write it back, more often in one world than in another.
func runWorld(t *testing.T, dice *vfstest.Dice, cuts int, lie func(vfs.FS) vfs.FS, wrap func(meta.DB) meta.DB) []cut {
	t.Helper()
	mem := vfs.NewCrashableMem()
	s, err := openStores(vfstest.WithWriteBack(lie(mem), dice.IntN(60), dice), 2, func(err error) { t.Errorf("fatal: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ctx, cancel := context.WithCancel(t.Context())
	wit := &witness{}
	var wg sync.WaitGroup
	var journals []*journal.Journal
	for _, b := range s.blobs {
		j, err := journal.Open(ctx, wrap(s.db), b, journal.Options{InlineBytes: 1024})
		if err != nil {
			t.Fatal(err)
		}
		journals = append(journals, j)
		for _, stream := range crashStreams {
			k := worker{j: j, stream: stream, class: blob.Day, wit: wit, dice: vfstest.NewDice(dice.Uint64())}
			wg.Go(func() {
				if err := k.run(ctx); err != nil && ctx.Err() == nil {
					t.Errorf("worker: %v", err)
				}
			})
		}
		wg.Go(func() {
			if err := keepHouse(ctx, j, wit, vfstest.NewDice(dice.Uint64())); err != nil && ctx.Err() == nil {
				t.Errorf("housekeeping: %v", err)
			}
		})
	}
	var list []cut
	for range cuts {
		time.Sleep(time.Duration(dice.IntN(8000)) * time.Microsecond)
		c := cut{}
		c.acked, c.takeovers = wit.snapshot()
		c.fs = mem.CrashClone(vfs.CrashCloneCfg{})
		list = append(list, c)
	}
	cancel()
	wg.Wait()
	for _, j := range journals {
		if err := j.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	last := cut{fs: mem.CrashClone(vfs.CrashCloneCfg{})}
	last.acked, last.takeovers = wit.snapshot()
	last.deleted = wit.deleted.Load()
	return append(list, last)
}

func honest(fs vfs.FS) vfs.FS { return fs }

func asIs(db meta.DB) meta.DB { return db }

func TestAcknowledgedEntriesSurvivePowerCuts(t *testing.T) {
	const perWorld = 10
	dice := crashDice(t)
	total := powerCuts()
	var acked, takeovers, cuts int
	var deleted int64
	for cuts < total {
		for _, c := range runWorld(t, dice, perWorld, honest, asIs) {
			for _, problem := range judge(c.fs, c.acked, c.takeovers) {
				t.Errorf("after a cut with %d acknowledged: %s", len(c.acked), problem)
			}
			if t.Failed() {
				return
			}
			cuts, acked, takeovers = cuts+1, acked+len(c.acked), takeovers+len(c.takeovers)
			deleted += c.deleted
		}
	}
	if deleted == 0 && acked > 20_000 { // a slow machine may not get that far
		t.Error("no segment was ever deleted: the test does not test what it should")
	}
	t.Logf("%d cuts, %d acknowledged entries, %d takeovers, %d segments deleted, none lost", cuts, acked, takeovers, deleted)
}

// The controls: the same run with one promise broken must be found out.

func mustFail(t *testing.T, lie func(vfs.FS) vfs.FS, wrap func(meta.DB) meta.DB, want string) {
	t.Helper()
	dice := crashDice(t)
	for range 5 {
		for _, c := range runWorld(t, dice, 5, lie, wrap) {
			for _, problem := range judge(c.fs, c.acked, c.takeovers) {
				if strings.Contains(problem, want) {
					return
				}
			}
		}
	}
	t.Errorf("nobody noticed: the crash tests cannot find %q", want)
}

func TestControlWithoutSegmentSync(t *testing.T) {
	mustFail(t, func(fs vfs.FS) vfs.FS {
		return vfstest.WithoutSync(fs, func(p string) bool { return strings.HasPrefix(p, crashDir+"/blob/b/") && strings.Count(p, "/") == 5 })
	}, asIs, "is lost")
}

func TestControlWithoutMetaSync(t *testing.T) {
	mustFail(t, func(fs vfs.FS) vfs.FS {
		return vfstest.WithoutSync(fs, func(p string) bool { return strings.HasSuffix(p, ".log") })
	}, asIs, "is lost")
}

func TestControlWithoutDirectorySync(t *testing.T) {
	mustFail(t, func(fs vfs.FS) vfs.FS {
		return vfstest.WithoutSync(fs, func(p string) bool { return strings.HasPrefix(p, crashDir+"/blob/b/") && strings.Count(p, "/") == 4 })
	}, asIs, "is lost")
}

func TestControlWithoutFence(t *testing.T) {
	mustFail(t, honest, func(db meta.DB) meta.DB { return unfenced{db} }, "was committed behind")
}

// unfenced commits whatever the fence says.
type unfenced struct{ meta.DB }

func (db unfenced) Commit(ctx context.Context, _ meta.Fence, puts []meta.KV) error {
	return db.Update(ctx, func(tx meta.Tx) error {
		for _, kv := range puts {
			tx.Put(kv.Key, kv.Value)
		}
		return nil
	})
}
