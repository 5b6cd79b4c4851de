// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"

	"github.com/obscura-video/obscura/internal/audit"
)

// events checks the log: its chain, and the log files that digests signed.
func (k *checker) events(ctx context.Context) error {
	log, err := audit.NewReader(k.DB)
	if err != nil {
		return err
	}
	first, last := k.extent()
	files := filing{checker: k, ctx: ctx, links: k.within(), total: k.size(ctx, log)}
	r, err := log.VerifyRange(ctx, audit.Verification{Anchors: k.Anchors, From: first, To: last, Visit: files.visit})
	k.report.Events, k.report.Blocks, k.report.End = r.Events, r.Blocks, r.End
	if err == nil {
		err = files.rest()
	}
	if f, ok := errors.AsType[*audit.Fault](err); ok {
		k.report.Event = f
		return nil
	}
	return err
}

// size is how many events there are, for Progress alone.
func (k *checker) size(ctx context.Context, log *audit.Reader) int64 {
	_, events, err := log.Extent(ctx)
	if err != nil {
		return 0 // the verification says why
	}
	return int64(events)
}

// within returns the digests that the range touches.
func (k *checker) within() (links []link) {
	for _, l := range k.chain {
		if !l.end.After(k.From) || !k.Until.IsZero() && l.end.Add(-Period).After(k.Until) {
			continue
		}
		links = append(links, l)
	}
	return links
}

// extent returns the blocks that the range begins and ends with; 0 is the first and the newest.
func (k *checker) extent() (first, last uint64) {
	links := k.within()
	if !k.From.IsZero() {
		if first = k.block; len(links) > 0 {
			first = links[0].firstBlock
		}
	}
	if k.Until.IsZero() || len(links) == 0 {
		return first, 0
	}
	newest := links[len(links)-1]
	if newest.end.Before(k.Until) {
		return first, 0
	}
	for _, l := range k.chain {
		if l.end.After(newest.end) {
			return first, l.firstBlock - 1
		}
	}
	return first, k.block - 1
}

// filing hashes blocks as the log files of digests, one after the other.
type filing struct {
	*checker
	ctx    context.Context
	links  []link // digests to come
	digest *whole // under way, nil between digests
	file   int    // in it
	total  int64
	done   int64

	hash           hash.Hash // of the file under way, nil between files
	writer         logWriter
	blocks, events uint64
	first          uint64
	record         []byte // its first
}

// visit takes the next block.
func (f *filing) visit(run *audit.Run) error {
	f.done += int64(len(run.Records))
	if f.Progress != nil {
		f.Progress(f.done, f.total)
	}
	if err := f.advance(); err != nil {
		return err
	}
	if f.digest == nil {
		f.report.Unsigned += uint64(len(run.Records))
		return nil
	}
	if f.hash == nil {
		f.hash, f.first, f.record = sha256.New(), run.First, run.Records[0]
		f.writer, f.blocks, f.events = logWriter{w: f.hash}, 0, 0
	}
	for _, r := range run.Records {
		_ = f.writer.add(r) // a hash takes everything
	}
	f.blocks, f.events = f.blocks+1, f.events+uint64(len(run.Records))
	if f.blocks < f.digest.files[f.file].blocks {
		return nil
	}
	return f.close()
}

// advance finds the digest of the next block.
func (f *filing) advance() error {
	for f.digest == nil || f.file == len(f.digest.files) {
		if f.digest = nil; len(f.links) == 0 {
			return nil
		}
		l := f.links[0]
		d, err := readDigest(f.ctx, f.DB, l.end)
		if err != nil {
			return fmt.Errorf("digest %s: %w", l.object, err)
		}
		f.links, f.digest, f.file = f.links[1:], d, 0
	}
	return nil
}

// close compares the file under way with what was signed.
func (f *filing) close() error {
	_ = f.writer.end()
	signed := f.digest.LogFiles[f.file]
	if hex.EncodeToString(f.hash.Sum(nil)) != signed.Hash || f.events != f.digest.files[f.file].events {
		fault := &audit.Fault{
			Event: f.first, Last: f.first + f.events - 1, Digest: f.digest.Object, File: signed.Object,
			Reason: "one of these events was altered, dropped or inserted, with a new chain: they are not what the digest signed",
		}
		return fault.At(f.record)
	}
	f.hash = nil
	f.file++
	f.report.LogFiles++
	return nil
}

// rest makes sure that the log reaches the end of what was signed.
func (f *filing) rest() error {
	if err := f.advance(); err != nil {
		return err
	}
	if f.digest == nil {
		return nil
	}
	signed := f.digest.LogFiles[f.file]
	_, end := f.digest.next()
	missing := f.digest.firstEvent
	for _, e := range f.digest.files[:f.file] {
		missing += e.events
	}
	if f.hash != nil {
		missing += f.events
	}
	return &audit.Fault{
		Event: missing, Last: end - 1, Digest: f.digest.Object, File: signed.Object,
		Reason: "events were dropped: the log ends before what the digest signed",
	}
}
