// SPDX-License-Identifier: Apache-2.0

package secrecy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	"github.com/obscura-video/obscura/internal/meta/sealed"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/seal"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/service/kms"
	"github.com/obscura-video/obscura/test/rig"
)

const passphrase = "seventeen grey herons over the weir"

// errorBodies keeps what a server answers when it refuses.
type errorBodies struct {
	next http.RoundTripper

	mu   sync.Mutex
	text strings.Builder
}

// RoundTrip implements http.RoundTripper.
func (e *errorBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := e.next.RoundTrip(r)
	if err != nil || resp.StatusCode < 400 {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(&e.text, "%v %s\n", resp.Header, body)
	return resp, nil
}

// run is one life of a server, with everything that touches a secret done to it.
type run struct {
	*rig.Server
	*keeper
	t      *testing.T
	errors *errorBodies
	camera string // the camera's folders
	// streamARNs are the encryption contexts of data keys.
	streamARNs []string
}

// TestEverySecretOfARunStaysSecret does everything that makes, takes or hands out a secret, and looks for each one in
// all that the server writes and says: its log at debug level, audit events, metrics, answers that refuse, the data
// directory, a backup, and the rows below the seal, save those whose purpose it is to hold one.
func TestEverySecretOfARunStaysSecret(t *testing.T) {
	data, backup := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "backup")
	root := rootkey.Options{Provider: "passphrase", Ask: func(string, bool) ([]byte, error) { return []byte(passphrase), nil }}
	s, stop := rig.Run(t, func(c *server.Config) { c.Data, c.Root = data, root })
	x := &run{Server: s, keeper: newKeeper(t), t: t, camera: t.TempDir()}
	x.errors = &errorBodies{next: s.HTTP.Transport}
	x.add("the passphrase", []byte(passphrase))
	x.add("root's secret access key", []byte(s.Root.SecretAccessKey))
	x.film()
	noting := *s
	noting.HTTP = &http.Client{Transport: x.errors}
	x.Server = &noting
	x.useIdentities()
	x.useKeys()
	x.importKeys()
	x.useDevices()
	x.useMailbox()
	told := map[string]string{
		"metrics": fetch(t, s, "/metrics"), "the answer of /readyz": strings.Repeat(fetch(t, s, "/readyz"), 50),
		"the file of endpoints": readFile(t, filepath.Join(data, "endpoints.json")),
	}
	report, err := server.Backup(t.Context(), server.BackupConfig{Data: data, To: backup})
	if err != nil {
		t.Fatal(err)
	}
	told["the report of the backup"] = fmt.Sprintf("%+v", report)
	judged, err := server.Fsck(t.Context(), server.FsckConfig{Data: data, Root: root})
	if err != nil || !judged.Clean() {
		t.Errorf("fsck: %+v, %v", judged, err)
	}
	told["the report of fsck"] = fmt.Sprintf("%+v", judged)
	x.judgeLive(data)
	stop()

	below := x.openStores(data, root)
	told["errors"], told["log"] = x.errors.text.String(), s.Log.String()
	told["audit events"] = x.events(below)
	x.judgeRows(below)
	for where, text := range told {
		x.judgeText(where, text)
	}
	x.judgeFiles(data, "credentials")
	x.judgeFiles(backup, "credentials", filepath.Join("data", "credentials"))
	x.judgeFiles(x.camera, "buffer.key")
	if n := len(x.secrets); n < 60 {
		t.Errorf("only %d secrets: the run does not do what it should", n)
	}
	t.Logf("%d secrets in %d bytes of needles; %d bytes of log, %d of events, %d of errors", len(x.secrets), window*len(x.needles.exact),
		len(told["log"]), len(told["audit events"]), len(told["errors"]))
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// judgeLive looks into the data directory while the server runs.
func (x *run) judgeLive(data string) {
	x.t.Helper()
	for _, found := range x.filesWith(data, "credentials") {
		x.t.Errorf("while it runs: %s", found)
	}
}

// openStores opens what the server has left, with the root key, and takes what that unwraps for secrets as well: the
// root key, the meta key, the CAs' keys, all key material and all data keys of streams.
func (x *run) openStores(data string, root rootkey.Options) meta.DB {
	x.t.Helper()
	ctx := x.t.Context()
	key, err := rootkey.Open(ctx, filepath.Join(data, "root.key"), root)
	x.ok(err)
	x.t.Cleanup(key.Destroy)
	for _, name := range []string{"ca", "device-ca"} {
		der, err := key.Unwrap(ctx, []byte(readFile(x.t, filepath.Join(data, "tls", name+".key"))), []byte("obscura tls/"+name+".key v1"))
		x.ok(err)
		x.addPrivate("the key of "+name, der)
	}
	store, err := pebble.Open(filepath.Join(data, "meta"), pebble.Options{})
	x.ok(err)
	wrapped, err := sealed.WrappedKey(ctx, store)
	x.ok(err)
	raw, err := key.Unwrap(ctx, wrapped, []byte("obscura meta key v1"))
	x.ok(err)
	x.add("the meta key", raw)
	metaKey, err := seal.NewKey(raw)
	x.ok(err)
	db, err := sealed.Open(ctx, store, metaKey)
	x.ok(err)
	x.t.Cleanup(func() { x.ok(db.Close()) })
	x.unwrapAll(db, key)
	return db
}

// unwrapAll adds key material (rows "kms", "m") and data keys (docs/formats/data-key.md).
func (x *run) unwrapAll(db meta.DB, root *rootkey.File) {
	x.t.Helper()
	ctx, custodian := x.t.Context(), &kms.Custodian{DB: db, Root: root}
	materials, dataKeys := 0, 0
	x.eachRow(db, meta.Key("kms", "m"), func(key, value []byte) {
		rest, _ := meta.CutSpace(key, "kms")
		_, rest, _ = meta.CutString(rest)
		keyID, rest, _ := meta.CutString(rest)
		material, _, ok := meta.CutString(rest)
		plain, err := root.Unwrap(ctx, value, []byte("obscura/kms/material/v1\x00"+keyID+"\x00"+material))
		if x.ok(err); !ok {
			x.t.Fatalf("row %q", key)
		}
		materials++
		x.addPrivate("key material", plain)
	})
	x.eachRow(db, []byte("dk/"), func(_, value []byte) {
		var row struct{ Wrapped []byte }
		x.ok(json.Unmarshal(value, &row))
		for _, stream := range x.streamARNs {
			if plain, err := custodian.Decrypt(ctx, row.Wrapped, map[string]string{"aws:kinesisvideo:stream-arn": stream}); err == nil {
				dataKeys++
				x.add("a data key of a stream", plain)
			}
		}
	})
	if materials < 10 || dataKeys < 1 {
		x.t.Errorf("%d materials and %d data keys were unwrapped", materials, dataKeys)
	}
}

func (x *run) eachRow(db meta.DB, prefix []byte, fn func(key, value []byte)) {
	x.t.Helper()
	x.ok(db.View(x.t.Context(), func(r meta.Reader) error {
		for row, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) { // all rows when there is no prefix
			if err != nil {
				return err
			}
			fn(row.Key, row.Value)
		}
		return nil
	}))
}

// holders are the rows whose purpose it is to hold a secret below the seal, by the beginning of their keys: without
// the secret of an access key no signature could be verified, and a mailbox gives back what was put.
var holders = map[string]string{"iam/": "secret access key", "mb/body": "an object of a mailbox"}

// judgeRows looks below the seal of the metadata, in names and values.
func (x *run) judgeRows(db meta.DB) {
	x.t.Helper()
	held, rows := map[string]int{}, 0
	x.eachRow(db, nil, func(key, value []byte) {
		rows++
		name, at := x.needles.find(slices.Concat(key, []byte("\n"), value))
		if at < 0 {
			return
		}
		for prefix, purpose := range holders {
			if strings.HasPrefix(string(key), prefix) && strings.Contains(name, purpose) {
				held[prefix]++
				return
			}
		}
		x.t.Errorf("row %q holds %s", key, name)
	})
	if len(held) != len(holders) || rows < 100 {
		x.t.Errorf("control: of %d rows those that must hold secrets are %v: looking in the wrong place", rows, held)
	}
}

// events are all events on record, of the data plane too.
func (x *run) events(db meta.DB) string {
	x.t.Helper()
	log, err := audit.Open(x.t.Context(), audit.Config{DB: db})
	x.ok(err)
	defer func() { x.ok(log.Close()) }()
	var all strings.Builder
	for q := (audit.Query{Limit: 1000}); ; {
		page, err := log.Lookup(x.t.Context(), q)
		x.ok(err)
		for _, e := range page.Events {
			text, err := json.Marshal(e)
			x.ok(err)
			all.Write(text)
		}
		if q.After = page.Next; len(page.Events) == 0 || page.Next == (audit.Cursor{}) {
			return all.String()
		}
	}
}

func (x *run) ok(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// refused expects the server's no.
func (x *run) refused(what string, err error) {
	x.t.Helper()
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) {
		x.t.Errorf("%s: %v", what, err)
	}
}

func (x *run) ctx() context.Context { return x.t.Context() }
