// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/meta"
)

// Check says what is verified of the record in a store. It needs no root key, and changes nothing.
type Check struct {
	DB meta.DB
	// Account and Region are those that the store was made for.
	Account, Region string
	// Pinned are public keys (DER of PKCS #1) that were kept elsewhere. With any, the newest digest must be signed
	// by one of them or by a key that they lead to by endorsements.
	Pinned [][]byte
	// Digests are hashes of digests (SHA-256 of the content, hexadecimal) that were kept elsewhere: each must be in
	// the chain. Anchors are ends of the log that were.
	Digests []string
	Anchors []audit.Anchor
	// From and Until bound the events that are read, to whole hours; zero leaves open. All digests are checked, and
	// all keys.
	From, Until time.Time
	// Progress is called often, by one goroutine: how many events are done, of how many. It may be nil.
	Progress func(done, total int64)
}

// Report is what a Check found.
type Report struct {
	// Events and Blocks were read, in LogFiles log files that Digests signed, and behind them.
	Events   uint64 `json:"events"`
	Blocks   uint64 `json:"blocks"`
	LogFiles int    `json:"logFiles"`
	Digests  int    `json:"digests"`
	Keys     int    `json:"keys"`
	// Unsigned is how many of the events no digest is about yet: only the chain protects them.
	Unsigned uint64 `json:"unsigned"`
	// Pinned says that the newest digest is signed by a key that was kept elsewhere, or that such a key leads to.
	Pinned bool `json:"pinned"`
	// Newest is the newest digest; its hash, kept elsewhere, is for Check.Digests. Empty when there is none.
	Newest     string    `json:"newestDigest,omitempty"`
	NewestHash string    `json:"newestDigestSHA256,omitempty"`
	NewestEnd  time.Time `json:"newestDigestEnd,omitzero"`
	// End is the newest block that was read, for Check.Anchors.
	End audit.Anchor `json:"end"`

	// Event is the first fault in the log, Digest the first one in the digests and keys; nil when there is none.
	Event  *audit.Fault `json:"eventFault,omitempty"`
	Digest *audit.Fault `json:"digestFault,omitempty"`
}

// Clean reports whether everything is as it was written.
func (r *Report) Clean() bool { return r.Event == nil && r.Digest == nil }

// Run verifies. What is not as written is in the report; the error is of reading the store at all, or ctx's.
func (c *Check) Run(ctx context.Context) (*Report, error) {
	k := checker{Check: c, report: new(Report)}
	for _, step := range []func(context.Context) error{k.digests, k.events} {
		if err := step(ctx); err != nil {
			return k.report, err
		}
	}
	return k.report, nil
}

// checker is one run.
type checker struct {
	*Check
	report *Report
	keys   []Key
	chain  []link
	block  uint64 // behind the last digest that fits
}

// link is what is remembered of a digest that fits.
type link struct {
	end                    time.Time
	firstBlock, firstEvent uint64
	fingerprint, object    string
}

// digests checks keys, signatures and the chain of digests.
func (k *checker) digests(ctx context.Context) error {
	err := k.checkKeys(ctx)
	if err == nil {
		err = k.walk(ctx)
	}
	if err == nil {
		err = k.checkPins()
	}
	if f, ok := errors.AsType[*audit.Fault](err); ok {
		k.report.Digest = f
		return nil
	}
	return err
}

// checkKeys reads the keys. What is wrong with them does not keep the digests from being checked by those there are.
func (k *checker) checkKeys(ctx context.Context) (err error) {
	if k.keys, err = Keys(ctx, k.DB); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &audit.Fault{Reason: "keys cannot be read: " + err.Error(), Err: err}
	}
	k.report.Keys = len(k.keys)
	if err := checkSuccession(k.keys); err != nil {
		return &audit.Fault{Reason: err.Error(), Err: err}
	}
	return nil
}

// walk checks each digest and that it follows the one before, and at last that the newest one is there.
func (k *checker) walk(ctx context.Context) error {
	wanted := slices.Clone(k.Digests)
	var before *whole
	for d, err := range walk(ctx, k.DB, time.Time{}, time.Time{}) {
		if err != nil {
			return err
		}
		if err := k.checkDigest(d, before); err != nil {
			trail := own(k.Account, k.Region)
			return &audit.Fault{Digest: trail.digestObject(d.end), Reason: err.Error()}
		}
		hash := hashOf(d)
		wanted = slices.DeleteFunc(wanted, func(w string) bool { return w == hash })
		k.chain = append(k.chain, link{d.end, d.firstBlock, d.firstEvent, d.KeyFingerprint, d.Object})
		k.report.Digests++
		k.report.Newest, k.report.NewestHash, k.report.NewestEnd = d.Object, hash, d.end
		k.block, _ = d.next()
		before = d
	}
	if err := k.checkNewest(ctx, before); err != nil {
		return err
	}
	if len(wanted) > 0 {
		return &audit.Fault{Digest: wanted[0], Reason: "digest that was expected is not in the record: an older copy was put back, or the record was rewritten"}
	}
	return nil
}

func hashOf(d *whole) string {
	sum := sha256.Sum256(d.content)
	return hex.EncodeToString(sum[:])
}

// checkDigest checks a digest by itself and against the one before it, nil for the first.
func (k *checker) checkDigest(d, before *whole) error {
	switch trail := own(k.Account, k.Region); {
	case !d.End.Equal(d.end) || d.Account != trail.Account || d.Bucket != trail.Bucket || d.Object != trail.digestObject(d.end):
		return errors.New("digest has been moved from its place")
	case !d.Start.Equal(d.End.Add(-Period)):
		return errors.New("digest is not about an hour")
	}
	key := find(k.keys, d.KeyFingerprint)
	if key == nil {
		return fmt.Errorf("its key %s is not there", d.KeyFingerprint)
	}
	if verify(key.Public, d.stringToSign(d.content), d.signature) != nil {
		return errors.New("signature does not verify")
	}
	if !d.end.After(key.From) || d.end.After(key.To) {
		return fmt.Errorf("its key %s was not for this hour", d.KeyFingerprint)
	}
	if before == nil {
		if d.PreviousObject != nil {
			return fmt.Errorf("digest before it was dropped: %s", *d.PreviousObject)
		}
		if d.firstBlock != 1 || d.firstEvent != 1 {
			return errors.New("first digest does not begin with the first event")
		}
		return nil
	}
	return follows(d, before)
}

// follows checks that d was made after before.
func follows(d, before *whole) error {
	switch {
	case d.PreviousObject == nil:
		return errors.New("digest names none before it: it begins a new chain")
	case *d.PreviousObject != before.Object || *d.PreviousBucket != before.Bucket:
		return fmt.Errorf("digest before it was dropped: %s", *d.PreviousObject)
	case *d.PreviousHash != hashOf(before) || *d.PreviousSignatureHex != hex.EncodeToString(before.signature):
		return fmt.Errorf("digest before it is not the one it was bound to: %s was replaced", before.Object)
	}
	block, event := before.next()
	if d.firstBlock != block || d.firstEvent != event {
		return errors.New("log files do not follow those of the digest before")
	}
	return nil
}

// checkNewest compares the last digest with the row that names it.
func (k *checker) checkNewest(ctx context.Context, last *whole) error {
	var n newest
	err := k.DB.View(ctx, func(r meta.Reader) (err error) {
		n, _, err = loadNewest(r)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &audit.Fault{Reason: "end of the chain of digests cannot be read: " + err.Error(), Err: err}
	case last == nil && n.none():
		return nil
	case last == nil:
		return &audit.Fault{Digest: n.end.Format(time.RFC3339), Reason: "every digest was dropped"}
	case n.none() || n.end.Before(last.end):
		return &audit.Fault{Digest: last.Object, Reason: "digest lies behind the end of the chain: an older state of it was put back"}
	case n.end.After(last.end):
		return &audit.Fault{Digest: n.end.Format(time.RFC3339), Reason: "newest digest was dropped"}
	case hex.EncodeToString(n.hash[:]) != hashOf(last):
		return &audit.Fault{Digest: last.Object, Reason: "newest digest was replaced"}
	}
	return nil
}

// checkPins makes sure that the newest digest's key is pinned or led to. It stands for all before it, since each
// names the hash of the one before.
func (k *checker) checkPins() error {
	if len(k.Pinned) == 0 || len(k.chain) == 0 {
		return nil
	}
	trusted := led(k.keys, k.Pinned)
	for i := len(k.chain) - 1; i >= 0; i-- {
		if !trusted[k.chain[i].fingerprint] {
			continue
		}
		if k.report.Pinned = i == len(k.chain)-1; k.report.Pinned {
			return nil
		}
		return k.unpinned(i + 1)
	}
	return k.unpinned(0)
}

func (k *checker) unpinned(i int) error {
	l := k.chain[i]
	return &audit.Fault{Digest: l.object, Reason: fmt.Sprintf("its key %s is not one that was kept, and none of those leads to it: the key was replaced", l.fingerprint)}
}
