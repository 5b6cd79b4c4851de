// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/audit/digest"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

// plainRoot wraps nothing: who tampers here has the root key.
type plainRoot struct{}

func (plainRoot) Wrap(_ context.Context, p, _ []byte) ([]byte, error) { return bytes.Clone(p), nil }

func (plainRoot) Unwrap(_ context.Context, w, _ []byte) ([]byte, error) { return bytes.Clone(w), nil }

// crime is a record of five hours in a store, of which each but the last is signed, with ten events in each, two in
// a block; and somebody who can write to it.
type crime struct {
	t  *testing.T
	db meta.DB
	audit.Forger
	// kept is what an honest person wrote down when the third hour had ended, and what a thief copied before.
	kept struct {
		keys   [][]byte
		digest string
		older  []meta.KV
	}
}

const account = "000000000000"

var hour = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func newCrime(t *testing.T) *crime {
	t.Helper()
	c := &crime{t: t, db: mem.New()}
	now := hour
	clock := func() time.Time { return now }
	log, err := audit.Open(t.Context(), audit.Config{DB: c.db, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d := digest.New(digest.Config{DB: c.db, Root: plainRoot{}, Log: log, Account: account, Region: "us-east-1", Now: clock})
	for h := range 5 {
		now = hour.Add(time.Duration(h)*time.Hour + time.Minute)
		if _, err := d.Make(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			e := audit.NewServiceEvent(audit.ServiceAction{Service: "kms", Name: string(rune('A'+h)) + string(rune('0'+i)), Region: "us-east-1", Account: account})
			e.ReadOnly = i%2 == 0 // so that two are in a block
			if err := log.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		switch h {
		case 2:
			c.kept.older = c.rows()
		case 3:
			c.kept.digest = c.verify(digest.Check{}).NewestHash
			keys, err := d.PublicKeys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				c.kept.keys = append(c.kept.keys, k.Public)
			}
		}
	}
	c.Forger = audit.NewForger(t, c.db)
	return c
}

// again is the same record in a store of its own.
func (c *crime) again(t *testing.T) *crime {
	t.Helper()
	n := &crime{t: t, db: mem.New(), kept: c.kept}
	n.restore(c.rows())
	n.Forger = audit.NewForger(t, n.db)
	return n
}

func (c *crime) verify(k digest.Check) *digest.Report {
	c.t.Helper()
	k.DB, k.Account, k.Region = c.db, account, "us-east-1"
	r, err := k.Run(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// rows are all of the store's.
func (c *crime) rows() (all []meta.KV) {
	c.t.Helper()
	err := c.db.View(c.t.Context(), func(r meta.Reader) error {
		for kv, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			all = append(all, kv)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

func (c *crime) update(fn func(tx meta.Tx)) {
	c.t.Helper()
	if err := c.db.Update(c.t.Context(), func(tx meta.Tx) error { fn(tx); return nil }); err != nil {
		c.t.Fatal(err)
	}
}

// restore makes rows the whole store.
func (c *crime) restore(rows []meta.KV) {
	c.update(func(tx meta.Tx) {
		tx.DeleteRange([]byte{0}, []byte{0xff})
		for _, kv := range rows {
			tx.Put(kv.Key, kv.Value)
		}
	})
}

// row is the key of a digest's row, by the hour that it is about; rest is all behind it.
func digestRow(h int) (row, rest []byte) {
	k := append(meta.Key("aud"), 'd')
	return meta.AppendUint64(k, uint64(hour.Add(time.Duration(h+1)*time.Hour).Unix())), append(meta.Key("aud"), 'e')
}

func other(record []byte) []byte {
	out := bytes.Clone(record)
	out[bytes.Index(out, []byte(`"AWS Internal"`))+1] ^= 1
	return out
}

// resign makes every digest anew, with the key in the store, as it would be for the log as it is now.
func (c *crime) resign(private *rsa.PrivateKey) {
	c.t.Helper()
	c.update(func(tx meta.Tx) {
		first, rest := digestRow(-1)
		tx.DeleteRange(first, rest)
		tx.Delete(append(meta.Key("aud"), 'n'))
		if private == nil {
			return
		}
		keys := append(meta.Key("aud"), 'k')
		public := x509.MarshalPKCS1PublicKey(&private.PublicKey)
		k := map[string]any{
			"Fingerprint": digest.Fingerprint(public), "Public": public, "From": hour, "To": hour.Add(24 * time.Hour),
			"Private": x509.MarshalPKCS1PrivateKey(private),
		}
		text, err := json.Marshal(k)
		if err != nil {
			c.t.Fatal(err)
		}
		tx.DeleteRange(keys, meta.PrefixEnd(keys))
		tx.Put(append(meta.AppendUint64(keys, uint64(hour.Unix())), k["Fingerprint"].(string)...), text)
	})
	now := hour.Add(4*time.Hour + time.Minute)
	log, err := audit.Open(c.t.Context(), audit.Config{DB: c.db, Now: func() time.Time { return now }})
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	d := digest.New(digest.Config{DB: c.db, Root: plainRoot{}, Log: log, Account: account, Region: "us-east-1", Now: func() time.Time { return now }})
	if _, err := d.Make(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// rechain puts changed events into a block and makes the chain fit again.
func (c *crime) rechain(block uint64, change func([][]byte) [][]byte) {
	c.Rechain(block, change(c.Records(block)))
}

func alterFirst(r [][]byte) [][]byte { r[0] = other(r[0]); return r }

// TestEveryTamperingIsFoundAndNamed: each class of change to a store, with what names it. The control is the
// untouched store, which verifies, before each.
func TestEveryTamperingIsFoundAndNamed(t *testing.T) {
	base := newCrime(t)
	for _, tt := range []struct {
		name   string
		tamper func(c *crime)
		event  uint64 // position named; 0: none
		last   uint64
		name0  string // of the event named
		digest int    // hour of the digest named, -1: none
		reason string
		// Found only by what was kept elsewhere: the keys, or the digest.
		byKeys, byDigest bool
	}{
		{name: "an event altered", event: 13, name0: "B2", digest: -1, reason: "altered", tamper: func(c *crime) {
			r := c.Records(7)
			r[0] = other(r[0])
			c.Replace(7, r)
		}},
		{name: "an event dropped", event: 13, name0: "B3", digest: -1, reason: "dropped", tamper: func(c *crime) { c.DropLink(7, 0) }},
		{name: "an event inserted", event: 13, name0: "B2", digest: -1, reason: "inserted", tamper: func(c *crime) {
			r := c.Records(7)
			c.Replace(7, slices.Insert(r, 0, other(r[0])))
		}},
		{name: "two events swapped", event: 13, name0: "B3", digest: -1, reason: "changed places with event 14", tamper: func(c *crime) {
			r := c.Records(7)
			r[0], r[1] = r[1], r[0]
			c.Replace(7, r)
		}},
		{name: "a block dropped", event: 13, digest: -1, reason: "missing", tamper: func(c *crime) { c.Drop(7, 7) }},
		{name: "the newest block dropped", event: 49, digest: -1, reason: "missing", tamper: func(c *crime) { c.Drop(25, 25) }},
		{name: "a block copied to the end", event: 51, digest: -1, reason: "head", tamper: func(c *crime) {
			c.update(func(tx meta.Tx) {
				k := append(meta.Key("aud"), 'b')
				v, err := tx.Get(append(meta.AppendUint64(k, 25), 0))
				if err != nil {
					t.Fatal(err)
				}
				tx.Put(append(meta.AppendUint64(k, 26), 0), v)
			})
		}},
		{name: "an event altered, chain made to fit", event: 11, last: 20, name0: "B0", digest: 1, reason: "not what the digest signed", tamper: func(c *crime) {
			c.rechain(7, alterFirst)
		}},
		{name: "an event dropped, chain made to fit", event: 11, last: 19, name0: "B0", digest: 1, reason: "not what the digest signed", tamper: func(c *crime) {
			c.rechain(7, func(r [][]byte) [][]byte { return r[1:] })
		}},
		{name: "an event inserted, chain made to fit", event: 11, last: 21, digest: 1, reason: "not what the digest signed", tamper: func(c *crime) {
			c.rechain(7, func(r [][]byte) [][]byte { return append(r, other(r[1])) })
		}},
		{name: "the signed tail cut off, head set back", event: 31, last: 40, digest: 3, reason: "log ends", tamper: func(c *crime) { c.Truncate(15) }},
		{name: "the signed tail cut off within a file", event: 37, last: 40, digest: 3, reason: "log ends", tamper: func(c *crime) { c.Truncate(18) }},
		{name: "an hour dropped with its digest", event: 11, digest: 2, reason: "digest before it was dropped", tamper: func(c *crime) {
			c.Drop(6, 10)
			c.update(func(tx meta.Tx) {
				row, _ := digestRow(1)
				tx.DeleteRange(row, meta.PrefixEnd(row))
			})
		}},
		{name: "a digest dropped", digest: 2, reason: "digest before it was dropped", tamper: func(c *crime) {
			c.update(func(tx meta.Tx) {
				row, _ := digestRow(1)
				tx.DeleteRange(row, meta.PrefixEnd(row))
			})
		}},
		{name: "the newest digest dropped", digest: 3, reason: "newest digest was dropped", tamper: func(c *crime) {
			c.update(func(tx meta.Tx) {
				row, _ := digestRow(3)
				tx.DeleteRange(row, meta.PrefixEnd(row))
			})
		}},
		{name: "the first digest dropped", digest: 1, reason: "digest before it was dropped", tamper: func(c *crime) {
			c.update(func(tx meta.Tx) {
				row, _ := digestRow(0)
				tx.DeleteRange(row, meta.PrefixEnd(row))
			})
		}},
		{name: "every digest dropped", digest: 3, reason: "every digest was dropped", tamper: func(c *crime) {
			c.update(func(tx meta.Tx) { tx.DeleteRange(digestRow(-1)) })
		}},
		{name: "a digest replaced by another's", digest: 2, reason: "moved", tamper: func(c *crime) {
			c.update(func(tx meta.Tx) {
				from, _ := digestRow(1)
				to, _ := digestRow(2)
				v, err := tx.Get(append(from, 0))
				if err != nil {
					t.Fatal(err)
				}
				tx.Put(append(to, 0), v)
			})
		}},
		{name: "a digest unreadable", digest: 1, reason: "cannot be read", tamper: func(c *crime) {
			c.update(func(tx meta.Tx) {
				row, _ := digestRow(1)
				tx.Put(append(row, 0), []byte{1, 1, 0})
			})
		}},
		{name: "the key replaced, everything signed anew", digest: 0, reason: "key was replaced", byKeys: true, tamper: func(c *crime) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			c.rechain(7, alterFirst)
			c.resign(key)
		}},
		{name: "the key replaced alone", digest: 0, reason: "is not there", tamper: func(c *crime) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
			k := append(meta.Key("aud"), 'k')
			text, err := json.Marshal(digest.Key{Fingerprint: digest.Fingerprint(public), Public: public, From: hour, To: hour.Add(24 * time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			c.update(func(tx meta.Tx) {
				tx.DeleteRange(k, meta.PrefixEnd(k))
				tx.Put(append(meta.AppendUint64(k, uint64(hour.Unix())), digest.Fingerprint(public)...), text)
			})
		}},
		{name: "an older copy put back", byDigest: true, digest: -1, reason: "not in the record", tamper: func(c *crime) {
			c.restore(c.kept.older)
		}},
		{name: "everything signed anew with the present key", byDigest: true, digest: -1, reason: "not in the record", tamper: func(c *crime) {
			c.rechain(7, alterFirst)
			c.resign(c.private())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := base.again(t)
			kept := digest.Check{Pinned: c.kept.keys, Digests: []string{c.kept.digest}}
			if r := c.verify(kept); !r.Clean() || r.Events != 50 || r.Digests != 4 || r.Unsigned != 10 {
				t.Fatalf("control: %+v", r)
			}
			tt.tamper(c)
			alone := c.verify(digest.Check{})
			if tt.byKeys || tt.byDigest {
				if !alone.Clean() {
					t.Fatalf("found without what was kept: say so in the documentation: %v, %v", alone.Event, alone.Digest)
				}
				if with := c.verify(digest.Check{Pinned: c.kept.keys}); with.Clean() == tt.byKeys {
					t.Errorf("by keys alone: %v", with.Digest)
				}
				alone = c.verify(digest.Check{Digests: kept.Digests})
				if tt.byKeys {
					alone = c.verify(digest.Check{Pinned: c.kept.keys})
				}
			}
			judge(t, alone, tt.event, tt.last, tt.name0, tt.digest, tt.reason)
		})
	}
}

// private is the signing key in the store.
func (c *crime) private() *rsa.PrivateKey {
	c.t.Helper()
	for _, kv := range c.rows() {
		if !bytes.HasPrefix(kv.Key, append(meta.Key("aud"), 'k')) {
			continue
		}
		var k struct{ Private []byte }
		if err := json.Unmarshal(kv.Value, &k); err != nil {
			c.t.Fatal(err)
		}
		key, err := x509.ParsePKCS1PrivateKey(k.Private)
		if err != nil {
			c.t.Fatal(err)
		}
		return key
	}
	c.t.Fatal("no key")
	return nil
}

func judge(t *testing.T, r *digest.Report, event, last uint64, name string, digestOf int, reason string) {
	t.Helper()
	var reasons []string
	if f := r.Event; event == 0 && f != nil || event > 0 && (f == nil || f.Event != event || f.Last != last || name != "" && f.EventName != name) {
		t.Errorf("event %+v, want %d", f, event)
	} else if f != nil {
		reasons = append(reasons, f.Reason)
		if name != "" && (f.EventID == "" || f.EventTime.IsZero()) {
			t.Errorf("not all is named: %+v", f)
		}
	}
	named := ""
	for _, f := range []*audit.Fault{r.Digest, r.Event} {
		if f != nil && f.Digest != "" {
			named = f.Digest
			reasons = append(reasons, f.Reason)
		}
	}
	stamp := hour.Add(time.Duration(digestOf+1) * time.Hour)
	switch {
	case digestOf < 0 && reason != "not in the record" && named != "":
		t.Errorf("digest %s", named)
	case digestOf >= 0 && !strings.Contains(named, stamp.Format("20060102T150405Z")) && !strings.Contains(named, stamp.Format(time.RFC3339)):
		t.Errorf("digest %q, want that of %v", named, stamp)
	}
	if !strings.Contains(strings.Join(reasons, "; "), reason) {
		t.Errorf("reasons %q, want %q", reasons, reason)
	}
}

// TestEveryByteOfEveryEventCounts alters each byte of an event in turn: one for each block of a small record.
func TestEveryByteOfEveryEventCounts(t *testing.T) {
	c := newCrime(t)
	for block := uint64(1); block <= 25; block++ {
		records := c.Records(block)
		whole := bytes.Clone(records[0])
		for i := int(block) % 25; i < len(whole); i += 25 { // every byte in one block or another
			records[0] = bytes.Clone(whole)
			records[0][i] ^= 1
			c.Replace(block, records)
			if r := c.verify(digest.Check{From: hour.Add(time.Duration((block-1)/5) * time.Hour), Until: hour.Add(time.Duration((block-1)/5) * time.Hour)}); r.Event == nil {
				t.Fatalf("block %d byte %d: not found", block, i)
			}
		}
		records[0] = whole
		c.Replace(block, records)
	}
	if r := c.verify(digest.Check{}); !r.Clean() {
		t.Errorf("control: put back, it does not verify: %+v", r)
	}
}
