// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
)

const (
	// spanMS is the time that a log file is about at most, in milliseconds.
	spanMS = 300_000
	// fullBytes is when a log file is full, before compression; one block may exceed it.
	fullBytes = 32 << 20

	logBegin, logBetween, logEnd = `{"Records":[`, `,`, `]}`
)

// logWriter writes the content of a log file: records one after the other, as they are in the log.
type logWriter struct {
	w     io.Writer
	begun bool
}

func (l *logWriter) add(record []byte) error {
	between := logBetween
	if !l.begun {
		between, l.begun = logBegin, true
	}
	if _, err := io.WriteString(l.w, between); err != nil {
		return err
	}
	_, err := l.w.Write(record)
	return err
}

func (l *logWriter) end() error {
	_, err := io.WriteString(l.w, logEnd)
	return err
}

// logFile is one that filer has done.
type logFile struct {
	extent
	oldest, newest time.Time
	hash           [sha256.Size]byte
}

// filer cuts blocks into log files and hashes them: one for each five minutes, more when they would be large.
type filer struct {
	done []logFile

	open   *logFile // nil between files
	span   int64    // of the open file
	bytes  int
	hasher hash.Hash
	writer logWriter
}

func (f *filer) add(run *audit.Run) error {
	span := run.FirstT / spanMS
	if f.open != nil && (span != f.span || f.bytes >= fullBytes) {
		f.end()
	}
	if f.open == nil {
		f.open, f.span, f.bytes, f.hasher = new(logFile), span, 0, sha256.New()
		f.writer = logWriter{w: f.hasher}
	}
	f.open.blocks++
	for _, record := range run.Records {
		at, err := eventTime(record)
		if err != nil {
			return err
		}
		if f.open.events == 0 {
			f.open.oldest, f.open.newest = at, at
		}
		f.open.oldest, f.open.newest = *earlier(&f.open.oldest, at), *later(&f.open.newest, at)
		f.open.events++
		f.bytes += len(record)
		_ = f.writer.add(record) // a hash takes everything
	}
	return nil
}

func (f *filer) end() {
	if f.open == nil {
		return
	}
	_ = f.writer.end() // likewise
	f.hasher.Sum(f.open.hash[:0])
	f.done, f.open = append(f.done, *f.open), nil
}

// eventTime returns the time in a record. It is read where it stands: it is the first member of that name, since
// quotes in texts are escaped and what comes before has none.
func eventTime(record []byte) (time.Time, error) {
	const name = `"eventTime":"`
	if i := bytes.Index(record, []byte(name)); i >= 0 {
		text, _, _ := bytes.Cut(record[i+len(name):], []byte(`"`))
		if at, err := time.Parse(time.RFC3339, string(text)); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, errors.New("digest: record has no time")
}
