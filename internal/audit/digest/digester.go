// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/meta"
)

const (
	// settle is how long after the end of an hour its digest is made.
	settle = 5 * time.Second
	// burst is how many digests Run makes at a time: those of a month.
	burst = 32 * 24
	// wakeEvery is how often Run looks whether a digest is due.
	wakeEvery = time.Second
)

// errTaken says that the chain of digests is not where it was: the same digest is made anew.
var errTaken = errors.New("digest: chain was extended meanwhile")

// Config makes a Digester.
type Config struct {
	// DB is the store that Log lies in.
	DB   meta.DB
	Root RootKey
	Log  *audit.Log
	// Account and Region are those of the files' names.
	Account, Region string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger gets the operator's log; nil discards it.
	Logger *slog.Logger
}

// Digester makes the digests of a log. Its methods may be called concurrently, Run once.
type Digester struct {
	Config
	trail Trail
	ring  *ring
}

// New returns a Digester. It reads and makes nothing yet.
func New(c Config) *Digester {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Digester{Config: c, trail: own(c.Account, c.Region), ring: &ring{db: c.DB, root: c.Root}}
}

// Run makes every digest that is due, at once and from then on, until ctx ends. What fails is logged and tried
// again. It makes up for at most a month each hour: a clock that is set years ahead by mistake, and back again, leaves
// a chain that ends a month ahead, and not one that goes on in years.
func (d *Digester) Run(ctx context.Context) {
	tick := time.NewTicker(wakeEvery)
	defer tick.Stop()
	var due, rested time.Time // rested is of the machine, which nobody sets
	for ticks := 0; ; ticks++ {
		// Now and then it looks anew: due is of a clock that may have been set back.
		if now := d.Now(); (!now.Before(due) || ticks%60 == 0) && !time.Now().Before(rested) {
			var left bool
			var err error
			if due, left, err = d.some(ctx, burst); left {
				rested = time.Now().Add(Period)
			}
			if err != nil && ctx.Err() == nil {
				d.Logger.Error("the audit log could not be signed; it is tried again", "error", err)
				rested = time.Now().Add(time.Minute)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Make makes every digest that is due, and returns when the next one will be. Each is durable before the next is
// begun.
func (d *Digester) Make(ctx context.Context) (due time.Time, err error) {
	due, _, err = d.some(ctx, math.MaxInt)
	return due, err
}

// some makes at most so many digests that are due; left says that there are more.
func (d *Digester) some(ctx context.Context, most int) (due time.Time, left bool, err error) {
	for {
		at, err := d.begin(ctx)
		if err != nil {
			return due, false, err
		}
		if due = at.end.Add(Period + settle); d.Now().Before(due) {
			return due, false, nil
		}
		if most--; most < 0 {
			return due, true, nil
		}
		if err := d.one(ctx, at); err != nil && !errors.Is(err, errTaken) {
			return due, false, fmt.Errorf("digest of %s: %w", at.end.Add(Period).Format(time.RFC3339), err)
		}
	}
}

// begin returns where the chain ends, and begins it in the hour of the first event, or in this one.
func (d *Digester) begin(ctx context.Context) (n newest, err error) {
	ok := false
	err = d.DB.View(ctx, func(r meta.Reader) error {
		n, ok, err = loadNewest(r)
		return err
	})
	if err != nil || ok {
		return n, err
	}
	start := d.Now()
	for run, err := range d.Log.Runs(ctx, 1) {
		if err != nil {
			return n, err
		}
		start = time.UnixMilli(run.FirstT)
		break
	}
	n = newest{end: start.UTC().Truncate(Period)}
	return n, d.DB.Update(ctx, func(tx meta.Tx) error {
		if _, ok, err := loadNewest(tx); ok || err != nil {
			return errors.Join(errTaken, err)
		}
		tx.Put(rowKey(kindNewest), n.marshal())
		return nil
	})
}

// one makes the digest of the hour after at.
func (d *Digester) one(ctx context.Context, at newest) error {
	if err := d.Log.Flush(ctx); err != nil {
		return err
	}
	doc, s, err := d.follow(ctx, at)
	if err != nil {
		return err
	}
	if err := d.gather(ctx, doc, s); err != nil {
		return err
	}
	key, private, err := d.ring.signer(ctx, doc.End)
	if err != nil {
		return err
	}
	if err := s.seal(doc, key, private); err != nil {
		return err
	}
	return d.store(ctx, at, doc.End, s)
}

// follow begins the digest after at.
func (d *Digester) follow(ctx context.Context, at newest) (*Document, *stored, error) {
	end := at.end.Add(Period)
	doc := &Document{
		Account: d.trail.Account, Start: at.end, End: end, Bucket: d.trail.Bucket, Object: d.trail.digestObject(end),
		SignatureAlgorithm: signatureAlgorithm, LogFiles: []LogFile{},
	}
	s := &stored{firstBlock: 1, firstEvent: 1}
	if at.none() {
		return doc, s, nil
	}
	var before *stored
	err := d.DB.View(ctx, func(r meta.Reader) (err error) {
		before, err = loadDigest(r, at.end)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("digest before: %w", err)
	}
	// at.hash is of this digest when it was made: one that was altered since is not what the next one is bound to.
	doc.PreviousBucket, doc.PreviousObject = new(d.trail.Bucket), new(d.trail.digestObject(at.end))
	doc.PreviousHash, doc.PreviousHashMethod = new(hex.EncodeToString(at.hash[:])), new(hashAlgorithm)
	doc.PreviousSignatureHex = new(hex.EncodeToString(before.signature))
	s.firstBlock, s.firstEvent = before.next()
	return doc, s, nil
}

// gather adds the log files of the digest: the blocks up to the first that begins behind its end.
func (d *Digester) gather(ctx context.Context, doc *Document, s *stored) error {
	var files filer
	for run, err := range d.Log.Runs(ctx, s.firstBlock) {
		if err != nil {
			return err
		}
		if run.FirstT >= doc.End.UnixMilli() {
			break
		}
		if err := files.add(run); err != nil {
			return err
		}
	}
	files.end()
	for _, f := range files.done {
		s.files = append(s.files, f.extent)
		doc.LogFiles = append(doc.LogFiles, LogFile{
			Bucket: d.trail.Bucket, Object: d.trail.logObject(f.newest), Hash: hex.EncodeToString(f.hash[:]), HashMethod: hashAlgorithm,
			Newest: f.newest, Oldest: f.oldest,
		})
		doc.Newest, doc.Oldest = later(doc.Newest, f.newest), earlier(doc.Oldest, f.oldest)
	}
	return nil
}

func later(t *time.Time, u time.Time) *time.Time {
	if t == nil || u.After(*t) {
		return &u
	}
	return t
}

func earlier(t *time.Time, u time.Time) *time.Time {
	if t == nil || u.Before(*t) {
		return &u
	}
	return t
}

// seal makes the content and signs it.
func (s *stored) seal(doc *Document, key *Key, private *rsa.PrivateKey) (err error) {
	doc.KeyFingerprint = key.Fingerprint
	if s.content, err = json.Marshal(doc); err != nil {
		return err
	}
	s.signature, err = sign(private, doc.stringToSign(s.content))
	return err
}

// store makes s the newest digest, if at still is.
func (d *Digester) store(ctx context.Context, at newest, end time.Time, s *stored) error {
	parts, err := s.marshal()
	if err != nil {
		return err
	}
	return d.DB.Update(ctx, func(tx meta.Tx) error {
		now, _, err := loadNewest(tx)
		if err != nil {
			return err
		}
		if !bytes.Equal(now.marshal(), at.marshal()) {
			return errTaken
		}
		for i, p := range parts {
			tx.Put(digestKey(end, i), p)
		}
		tx.Put(rowKey(kindNewest), newest{end: end, hash: sha256.Sum256(s.content)}.marshal())
		return nil
	})
}

// PublicKeys returns every key, the oldest first. When there is none yet the first is made.
func (d *Digester) PublicKeys(ctx context.Context) ([]Key, error) {
	keys, err := d.ring.keys(ctx)
	if err != nil || len(keys) > 0 {
		return public(keys), err
	}
	at, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.ring.first(ctx, at.end); err != nil {
		return nil, err
	}
	keys, err = d.ring.keys(ctx)
	return public(keys), err
}

// Rewrap is the function Rewrap for the store of a running server.
func (d *Digester) Rewrap(ctx context.Context) (int, error) { return d.ring.rewrap(ctx) }
