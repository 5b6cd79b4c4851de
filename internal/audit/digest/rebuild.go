// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/meta"
)

// File is a file of a trail as it is delivered.
type File struct {
	Bucket, Object string
	// Body is gzip.
	Body []byte
	// Signature is that of a digest, in hexadecimal, to be kept as its metadata beside SignatureAlgorithm; empty
	// for a log file.
	Signature string
}

// SignatureAlgorithm is the value of a digest's metadata signature-algorithm.
const SignatureAlgorithm = signatureAlgorithm

// Depot takes the files of a trail, such as a folder or a bucket.
type Depot interface {
	// Deliver keeps a file under its bucket and object; nil means that it is durable. The same file may be
	// delivered again. A digest comes after the log files that it names. The body stays the caller's.
	Deliver(ctx context.Context, f File) error
}

// Delivery copies the digests of a store, and the log files that they name, to a depot.
type Delivery struct {
	DB meta.DB
	// From and Until bound the digests by their ends: From is before, Until at or after. Zero leaves open.
	From, Until time.Time
	To          Depot
	// Progress is called with each digest that is done; it may be nil.
	Progress func(object string)
}

// Run delivers, and returns how many digests and log files that was. Log files are made anew from the log, and
// compared with their digest before they are delivered. Errors: *audit.Fault when one is not what was signed.
func (c *Delivery) Run(ctx context.Context) (digests, files int, err error) {
	log, err := audit.NewReader(c.DB)
	if err != nil {
		return 0, 0, err
	}
	for d, err := range walk(ctx, c.DB, c.From, c.Until) {
		if err != nil {
			return digests, files, err
		}
		n, err := c.one(ctx, log, d)
		files += n
		if err != nil {
			return digests, files, err
		}
		digests++
		if c.Progress != nil {
			c.Progress(d.Object)
		}
	}
	return digests, files, nil
}

// one delivers a digest after its log files.
func (c *Delivery) one(ctx context.Context, log *audit.Reader, d *whole) (files int, err error) {
	next, stop := iter.Pull2(log.Runs(ctx, d.firstBlock))
	defer stop()
	for i, f := range d.LogFiles {
		content, err := rebuild(next, d.files[i].blocks)
		if err != nil {
			return files, err
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != f.Hash {
			return files, &audit.Fault{Digest: d.Object, File: f.Object, Reason: "log file is not what the digest signed"}
		}
		body, err := deflate(content)
		if err != nil {
			return files, err
		}
		if err := c.To.Deliver(ctx, File{Bucket: f.Bucket, Object: f.Object, Body: body}); err != nil {
			return files, fmt.Errorf("deliver %s: %w", f.Object, err)
		}
		files++
	}
	body, err := deflate(d.content)
	if err != nil {
		return files, err
	}
	return files, c.To.Deliver(ctx, File{Bucket: d.Bucket, Object: d.Object, Body: body, Signature: hex.EncodeToString(d.signature)})
}

// rebuild makes the content of the log file that has the next blocks.
func rebuild(next func() (*audit.Run, error, bool), blocks uint64) ([]byte, error) {
	var content bytes.Buffer
	w := logWriter{w: &content}
	for range blocks {
		run, err, ok := next()
		if err == nil && !ok {
			err = &audit.Fault{Reason: "log ends before a log file that was signed"}
		}
		if err != nil {
			return nil, err
		}
		for _, record := range run.Records {
			if err := w.add(record); err != nil {
				return nil, err
			}
		}
	}
	if err := w.end(); err != nil {
		return nil, err
	}
	return content.Bytes(), nil
}

// whole is a digest with its parsed content.
type whole struct {
	*Document
	*stored
	end time.Time // by its row
}

// walk yields the digests that end after from and not after until, in order. A row that cannot be read is yielded
// as an *audit.Fault that names the digest, and ends it.
func walk(ctx context.Context, db meta.DB, from, until time.Time) iter.Seq2[*whole, error] {
	return func(yield func(*whole, error) bool) {
		at := digestKey(from, 0)
		if !from.IsZero() {
			at = digestKey(from.Add(time.Second), 0)
		}
		for {
			end, err := nextDigest(ctx, db, at)
			if errors.Is(err, meta.ErrNotFound) || err == nil && !until.IsZero() && end.After(until) {
				return
			}
			var d *whole
			if err == nil {
				d, err = readDigest(ctx, db, end)
			}
			if err != nil {
				if ctx.Err() == nil {
					err = &audit.Fault{Digest: end.Format(time.RFC3339), Reason: "digest cannot be read: " + err.Error(), Err: err}
				}
				yield(nil, err)
				return
			}
			if !yield(d, nil) {
				return
			}
			at = digestKey(end.Add(time.Second), 0)
		}
	}
}

// nextDigest returns the end of the first digest at or behind a row. Errors: meta.ErrNotFound.
func nextDigest(ctx context.Context, db meta.DB, at []byte) (end time.Time, err error) {
	err = db.View(ctx, func(r meta.Reader) error {
		for kv, err := range r.Scan(at, meta.PrefixEnd(rowKey(kindDigest))) {
			if err != nil {
				return err
			}
			var ok bool
			if end, _, ok = cutDigestKey(kv.Key); !ok {
				return errStored
			}
			return nil
		}
		return meta.ErrNotFound
	})
	return end, err
}

func readDigest(ctx context.Context, db meta.DB, end time.Time) (*whole, error) {
	d := &whole{end: end}
	err := db.View(ctx, func(r meta.Reader) (err error) {
		d.stored, err = loadDigest(r, end)
		return err
	})
	if err != nil {
		return nil, err
	}
	if d.Document, err = parseDocument(d.content); err != nil {
		return nil, err
	}
	if len(d.LogFiles) != len(d.files) {
		return nil, errStored
	}
	return d, nil
}
