// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// trustState is what a sealed view knows of the camera: the words of the progress line. It may be used concurrently.
type trustState struct {
	now func() time.Time

	mu        sync.Mutex // guards what follows
	word      string     // provisional, confirmed, stopped, tampered, …
	roster    uint32     // that the camera sealed under
	confirmed uint64
	missing   uint64
	refused   uint64
	heard     time.Time // when a fragment was last confirmed, by the clock here
	last      e2ee.Link
	usual     time.Duration // between fragments
	silent    bool          // it was said
}

func newTrustState() *trustState { return &trustState{now: time.Now, heard: time.Now()} }

// Silent is said after three times the usual interval, as docs/formats/e2ee.md has it; before two fragments are known they are
// taken to come every ten seconds.
const (
	silentAfter = 3
	usualFirst  = 10 * time.Second
)

// say sets the word.
func (s *trustState) say(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.word = word
}

// confirm takes a report.
func (s *trustState) confirm(r *e2ee.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.Session == r.Session && s.last.Sequence+1 == r.Sequence {
		s.usual = r.Capture.Sub(s.last.Capture)
	}
	s.last, s.heard, s.silent, s.roster = r.Link, s.now(), false, r.RosterVersion
	s.confirmed++
	s.word = "confirmed"
	if r.Last {
		s.word = "stopped"
	}
}

// count adds to what is missing and refused.
func (s *trustState) count(missing, refused uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing += missing
	s.refused += refused
}

// silence reports, once for each silence, since when nothing has been confirmed.
func (s *trustState) silence() (since time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent || s.word == "stopped" || s.word == "tampered" || s.now().Sub(s.heard) <= silentAfter*s.interval() {
		return time.Time{}, false
	}
	s.silent, s.word = true, "silent"
	return s.heard, true
}

// interval is the time between fragments. It needs the lock.
func (s *trustState) interval() time.Duration {
	if s.usual <= 0 {
		return usualFirst
	}
	return s.usual
}

// text is for the progress line of a person.
func (s *trustState) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := ""
	if s.roster > 0 {
		line += fmt.Sprintf("  roster v%d", s.roster)
	}
	if s.missing > 0 {
		line += fmt.Sprintf("  gap %d", s.missing)
	}
	if s.refused > 0 {
		line += fmt.Sprintf("  refused %d", s.refused)
	}
	if s.word != "" {
		line += "  " + s.word
	}
	return line
}

// pair is for the progress line of a log.
func (s *trustState) pair() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	word := s.word
	if word == "" {
		word = "-"
	}
	return fmt.Sprintf(" roster=%d confirmed=%d missing=%d refused=%d state=%s", s.roster, s.confirmed, s.missing, s.refused, word)
}

// totals is what came of the fragments.
func (s *trustState) totals() (confirmed, missing, refused uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirmed, s.missing, s.refused
}
