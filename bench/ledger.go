// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/audit/digest"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	metasealed "github.com/obscura-video/obscura/internal/meta/sealed"
	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/seal"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/vfstest"
)

// What the events of a made record are about.
const (
	manyUsers = 200
	manyKeys  = 1000
	manyCams  = 500
)

// ledger is a data directory with many events, made without a server.
type ledger struct {
	dir string

	Events       int
	Begun, Ended time.Time // of the events
	Taken        float64   // events each second
	Signed       float64   // likewise
	BytesEach    float64
}

// ledgerFile beside the data directory says what a ledger is, once it is complete.
const ledgerFile = "ledger.json"

// makeLedger makes a data directory, and puts events into its audit log as the server does, by a clock of its own. It is
// made in a folder of its own, or in the one named, where one that was made before is taken. One that is made unsafely
// says nothing of the rate at which events are taken.
func makeLedger(o options, n int, in string, unsafely bool) (_ *ledger, err error) {
	if text, err := os.ReadFile(filepath.Join(in, ledgerFile)); in != "" && err == nil {
		m := &ledger{dir: in}
		return m, json.Unmarshal(text, m)
	}
	dir := in
	if in == "" {
		if dir, err = os.MkdirTemp(o.dir, "obscura-bench-"); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	m := &ledger{dir: dir, Events: n}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(m.dir))
		}
	}()
	t, err := startIn(o, dir)
	if err != nil {
		return nil, err
	}
	if err := stopProcess(t.cmd); err != nil {
		return nil, err
	}
	before, err := folderBytes(m.data())
	if err != nil {
		return nil, err
	}
	if err := openMade(m.data(), unsafely, func(db meta.DB, root *rootkey.File) error { return m.fill(o, db, root) }); err != nil {
		return nil, err
	}
	after, err := folderBytes(m.data())
	if err != nil {
		return nil, err
	}
	m.BytesEach = float64(after-before) / float64(n)
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return m, os.WriteFile(filepath.Join(dir, ledgerFile), text, 0o600)
}

func (m *ledger) data() string { return filepath.Join(m.dir, "data") }

// openMade opens the metadata of a stopped server, as docs/formats/root-key.md and meta-keys.md say, for fn. Unsafely
// means that a power cut may leave nothing of what fn writes: nothing waits for the disk before the end.
func openMade(data string, unsafely bool, fn func(meta.DB, *rootkey.File) error) (err error) {
	ctx := context.Background()
	root, err := rootkey.OpenFile(filepath.Join(data, "root.key"))
	if err != nil {
		return err
	}
	defer root.Destroy()
	options := pebble.Options{CacheBytes: 8 << 20}
	if unsafely {
		options.FS, options.MemTableBytes = vfstest.WithoutSync(vfs.Default, func(string) bool { return true }), 64<<20
		defer syscall.Sync()
	}
	store, err := pebble.Open(filepath.Join(data, "meta"), options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	wrapped, err := metasealed.WrappedKey(ctx, store)
	if err != nil {
		return err
	}
	material, err := root.Unwrap(ctx, wrapped, []byte("obscura meta key v1"))
	if err != nil {
		return err
	}
	key, err := seal.NewKey(material)
	if err != nil {
		return err
	}
	defer key.Destroy()
	db, err := metasealed.Open(ctx, store, key)
	if err != nil {
		return err
	}
	return fn(db, root)
}

// fill writes the events, and the digests of their hours. The last event is of now.
func (m *ledger) fill(o options, db meta.DB, root *rootkey.File) error {
	ctx, step := context.Background(), time.Duration(float64(time.Second)/o.eventRate)
	m.Ended = time.Now()
	m.Begun = m.Ended.Add(-time.Duration(m.Events) * step).Truncate(time.Second)
	var now atomic.Int64
	now.Store(m.Begun.UnixNano())
	clock := func() time.Time { return time.Unix(0, now.Load()) }
	// The server that made the folder has begun the chain of digests, in this hour.
	if err := db.Update(ctx, func(tx meta.Tx) error { tx.Delete(append(meta.Key("aud"), 'n')); return nil }); err != nil {
		return err
	}
	log, err := audit.Open(ctx, audit.Config{DB: db, Now: clock})
	if err != nil {
		return err
	}
	digests := digest.New(digest.Config{DB: db, Root: root, Log: log, Account: server.DefaultAccount, Region: server.DefaultRegion, Now: clock})
	var signing time.Duration
	begun, due := time.Now(), time.Time{}
	for i := range m.Events {
		now.Add(int64(step))
		if clock().After(due) {
			at := time.Now()
			if due, err = digests.Make(ctx); err != nil {
				return err
			}
			signing += time.Since(at)
		}
		e := madeEvent(i)
		// What changes something waits for the disk. So that this takes no hours, the rarest events alone do: how the
		// others are gathered is set by the clock.
		e.ReadOnly = e.EventName != "ScheduleKeyDeletion"
		if err := log.Record(ctx, e); err != nil {
			return err
		}
	}
	err = errors.Join(log.Flush(ctx), log.Close())
	m.Taken = float64(m.Events) / (time.Since(begun) - signing).Seconds()
	m.Signed = float64(m.Events) / signing.Seconds()
	return err
}

// folderBytes is what the files below dir have.
func folderBytes(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

func keyARN(i int) string {
	return fmt.Sprintf("arn:aws:kms:us-east-1:%s:key/%08d-7b1c-4d0e-9a57-2f6c0f3e8d11", server.DefaultAccount, i)
}

func accessKey(user int) string { return fmt.Sprintf("AKIAUSER%012d", user) }

// mix spreads a number evenly over 64 bits, the same each time (splitmix64).
func mix(i int) uint64 {
	z := uint64(i) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// some chooses one of n, the first ones more often than the last: half of all choices fall on the first quarter.
func some(r uint64, n int) int {
	x := float64(r%(1<<32)) / (1 << 32)
	return int(x * x * float64(n))
}

// madeEvent is the event number i of a server that is used: cameras and viewers by far the most, people now and then.
func madeEvent(i int) audit.Event {
	r := mix(i)
	user := some(r>>8, manyUsers)
	key, cam := some(mix(i+1<<40), manyKeys), some(mix(i+2<<40), manyCams)
	stream := fmt.Sprintf("arn:aws:kinesisvideo:us-east-1:%s:stream/camera-%d/1795000000000", server.DefaultAccount, cam)
	encryption := map[string]any{"aws:kinesisvideo:arn": stream}
	call := &access.Call{
		Principal: access.Principal{
			Principal: policy.Principal{
				Kind: policy.User, Account: server.DefaultAccount, UniqueID: fmt.Sprintf("AIDAUSER%012d", user),
				ARN: fmt.Sprintf("arn:aws:iam::%s:user/user-%d", server.DefaultAccount, user),
			},
			AccessKeyID: accessKey(user), UserName: fmt.Sprintf("user-%d", user),
		},
		RequestID: fmt.Sprintf("%016x-%016x", r, mix(i+3<<40)), SourceIP: "192.0.2." + fmt.Sprint(user%250), UserAgent: "aws-sdk-go-v2/1.39.2 os/linux lang/go#1.26 md/GOOS#linux md/GOARCH#amd64 api/kms#1.45.6",
		TLSVersion: "TLS 1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", Host: "127.0.0.1:8443",
	}
	var params map[string]any
	ctx := access.NewContext(context.Background(), call)
	onKey := func(name string) {
		call.Service, call.Operation = "kms", name
		params = map[string]any{"keyId": keyARN(key), "encryptionContext": encryption, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"}
		access.AddResource(ctx, keyARN(key), "AWS::KMS::Key")
	}
	onStream := func(name string) {
		call.Service, call.Operation = "kinesisvideo", name
		params = map[string]any{"streamName": fmt.Sprintf("camera-%d", cam)}
		access.AddResource(ctx, stream, "AWS::KinesisVideo::Stream")
	}
	switch n := r % 100_000; {
	case n < 45_000:
		onKey("Decrypt")
	case n < 65_000:
		onKey("GenerateDataKey")
	case n < 80_000:
		onStream("GetDataEndpoint")
	case n < 95_000:
		onStream("DescribeStream")
	case n < 99_000:
		onStream("TagStream")
	case n < 99_990:
		onStream("UpdateDataRetention")
	default:
		onKey("ScheduleKeyDeletion")
	}
	e := audit.NewEvent(call, audit.Outcome{Region: server.DefaultRegion, Account: server.DefaultAccount, Params: params})
	return e
}
