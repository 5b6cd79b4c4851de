// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// Config says what the verifier knows from elsewhere. Without any of it a file can be found to be whole, and not whose it is.
type Config struct {
	Owners  []string // fingerprints of owners, in eight groups of four or in hex
	Rosters []string // pins, as obscura roster show prints them, or hashes likewise
	// Each is called for each confirmed fragment, in order. The samples are its own. An error ends the verification.
	Each func(Confirmed) error
}

// Confirmed is a fragment that the camera has signed as it is.
type Confirmed struct {
	Report  e2ee.Report // without samples
	Tracks  []e2ee.Track
	Samples []e2ee.Sample
}

// Result is what came of a verification.
type Result struct {
	Facts    *Facts // nil when they could not be read
	Anchors  []Anchor
	Roster   *e2ee.Roster // the last one; nil when they could not be followed
	Signed   bool         // the maker has signed the file, as a viewing device of the last roster
	Maker    string       // its name there
	Signers  []Signer     // cameras, in the order in which they come
	First    time.Time    // capture of the first confirmed fragment
	Last     time.Time    // of the last one
	End      time.Time    // of the last sample
	Synced   int          // fragments for which the camera says that its clock was synchronised
	Missing  uint64       // fragments that the cameras have numbered and the file does not have, in between
	Gaps     []Gap
	Problems []Problem

	Confirmed int
	lastGood  time.Time
	refused   uint64 // since the last good one
}

// Signer is a camera.
type Signer struct {
	Name        string // as the roster has it
	Fingerprint e2ee.Fingerprint
	Fragments   int
}

// Gap is where something is missing.
type Gap struct {
	After, Before time.Time // captures of the fragments around it
	Missing       uint64    // how many fragments; 0 when that is not known
}

// Problem is something that is not as it must be.
type Problem struct {
	Entry string // of the archive; empty for the archive itself
	Err   error
}

// Error names the place, then the reason.
func (p *Problem) Error() string {
	if p.Entry == "" {
		return p.Err.Error()
	}
	return p.Entry + ": " + p.Err.Error()
}

// Unwrap returns the reason.
func (p *Problem) Unwrap() error { return p.Err }

// maxProblems is how many are told of.
const maxProblems = 1000

func (r *Result) problem(entry string, err error) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, Problem{entry, err})
	}
}

// Anchored tells whether there is something that the verifier knew, and the file has all of it.
func (r *Result) Anchored() bool {
	for i := range r.Anchors {
		if !r.Anchors[i].Holds() {
			return false
		}
	}
	return len(r.Anchors) > 0
}

// Whole tells whether everything in the file is as the cameras of its rosters have signed it, with nothing missing in between. Whose
// cameras they are is another question: Anchored.
func (r *Result) Whole() bool { return len(r.Problems) == 0 && len(r.Gaps) == 0 }

// Reasons of problems, beside those of packages e2ee and consumer.
var (
	ErrSum       = errors.New("its bytes are not those that SHA256SUMS was made of")
	ErrUnsigned  = errors.New("the maker's signature is missing or wrong")
	ErrFactWrong = errors.New("a fact is not true of this file")
	ErrAnchor    = errors.New("the file has nothing that this vouches for")
)

// Verify verifies a file of evidence. It asks nobody and needs no key. Whatever is wrong with the file is in the Result.
//
// Errors: those of reading, and of Config.Each.
func Verify(file io.ReaderAt, size int64, c Config) (*Result, error) {
	v := &verifier{file: file, cfg: c, r: &Result{}}
	entries, err := scan(file, size)
	if err == nil {
		v.l, err = arrange(entries)
	}
	if errors.Is(err, ErrContainer) {
		v.r.problem("", err)
		return v.r, nil
	}
	if err != nil {
		return v.r, err
	}
	return v.r, v.all()
}

// verifier is one verification.
type verifier struct {
	file  io.ReaderAt
	cfg   Config
	r     *Result
	l     *layout
	chain *chain
	open  *e2ee.Opener
}

// errStop ends a verification that cannot go on; why is among the problems.
var errStop = errors.New("evidence: cannot go on")

func (v *verifier) all() error {
	for _, step := range []func() error{v.sums, v.facts, v.rosters, v.maker, v.keys, v.fragments} {
		if err := step(); errors.Is(err, errStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// read returns what an entry holds, as it was when the archive was scanned.
func (v *verifier) read(e *entry) ([]byte, error) {
	b := make([]byte, e.size)
	if _, err := v.file.ReadAt(b, e.offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if sha256.Sum256(b) != e.sum {
		return nil, fmt.Errorf("evidence: %s changed while it was read", e.name)
	}
	return b, nil
}

// sums holds every entry against the list, and the list against what it must be.
func (v *verifier) sums() error {
	list, err := v.read(&v.l.sums)
	if err != nil {
		return err
	}
	if bytes.Equal(list, sums(v.l.summed)) {
		return nil
	}
	lines := strings.SplitAfter(string(list), "\n")
	found := false
	for i := range v.l.summed {
		if e := &v.l.summed[i]; i >= len(lines) || lines[i] != sumLine(e) {
			v.r.problem(e.name, ErrSum)
			found = true
		}
	}
	if !found {
		v.r.problem(nameSums, ErrSum)
	}
	return nil
}

func (v *verifier) facts() error {
	b, err := v.read(&v.l.facts)
	if err != nil {
		return err
	}
	if v.r.Facts, err = parseFacts(b); err != nil {
		v.r.problem(nameFacts, err)
		return errStop
	}
	if n := len(v.l.fragments); n != v.r.Facts.Fragments {
		v.r.problem(nameFacts, fmt.Errorf("%w: it has %d fragments, not %d", ErrFactWrong, n, v.r.Facts.Fragments))
	}
	return nil
}

// rosters follows the rosters, and looks for what the verifier knows.
func (v *verifier) rosters() error {
	var signed [][]byte
	for i := range v.l.rosters {
		b, err := v.read(&v.l.rosters[i])
		if err != nil {
			return err
		}
		signed = append(signed, b)
	}
	key, err := v.guest()
	if err != nil {
		return err
	}
	at := 0
	if v.chain, at, err = readChain(signed, key.Fingerprint()); err != nil {
		v.r.problem(v.l.rosters[at].name, err)
		return errStop
	}
	v.r.Roster, _ = v.chain.trust.Roster()
	if v.chain.trust.Pin() != v.r.Facts.Pin {
		v.r.problem(nameFacts, fmt.Errorf("%w: the pin is not the last roster", ErrFactWrong))
	}
	for _, known := range v.cfg.Owners {
		v.anchor(v.chain.owner(known))
	}
	for _, known := range v.cfg.Rosters {
		v.anchor(v.chain.roster(known))
	}
	return nil
}

func (v *verifier) anchor(a Anchor) {
	v.r.Anchors = append(v.r.Anchors, a)
	if !a.Holds() {
		v.r.problem("", fmt.Errorf("%s: %w", printable(a.Known), ErrAnchor))
	}
}

// guest is the key that the file has for everybody.
func (v *verifier) guest() (*e2ee.KEMKey, error) {
	seed, err := v.read(&v.l.seed)
	if err != nil {
		return nil, err
	}
	key, err := e2ee.NewKEMKey(seed)
	if err != nil {
		v.r.problem(nameSeed, err)
		return nil, errStop
	}
	return key, nil
}

// maker checks who says that he made the file.
func (v *verifier) maker() error {
	var sig []byte
	if v.l.signature != nil {
		var err error
		if sig, err = v.read(v.l.signature); err != nil {
			return err
		}
	}
	if v.r.Facts.Maker == (e2ee.Fingerprint{}) {
		if sig != nil {
			v.r.problem(nameSignature, ErrUnsigned)
		}
		return nil
	}
	list, err := v.read(&v.l.sums)
	if err != nil {
		return err
	}
	m, ok := household.MemberOf(v.r.Roster, v.r.Facts.Maker)
	if !ok || !m.SignedEvidence(list, sig) {
		v.r.problem(nameSignature, ErrUnsigned)
		return nil
	}
	v.r.Signed, v.r.Maker = true, m.Name
	return nil
}

// keys prepares the opening.
func (v *verifier) keys() error {
	key, err := v.guest()
	if err != nil {
		return err
	}
	v.open, err = e2ee.NewOpener(e2ee.OpenerConfig{
		Trust: v.chain.trust, Stream: v.r.Facts.Stream, Self: key.Fingerprint(), Keys: []*e2ee.KEMKey{key}, Strict: true, Archive: true,
	})
	if err != nil {
		return err
	}
	for i := range v.l.grants {
		e := &v.l.grants[i]
		g, err := v.read(e)
		if err != nil {
			return err
		}
		if err := v.open.AddGrant(g); err != nil {
			v.r.problem(e.name, err)
		}
	}
	return nil
}

func (v *verifier) fragments() error {
	for i := range v.l.fragments {
		e := &v.l.fragments[i]
		media, err := v.read(e)
		if err != nil {
			return err
		}
		r, err := v.fragment(media)
		if err != nil {
			v.r.problem(e.name, err)
			v.r.refused++
			continue
		}
		v.r.see(e.name, &r, v.signer(r.Producer))
		if v.cfg.Each == nil {
			continue
		}
		c := Confirmed{Tracks: r.Tracks, Samples: r.Samples}
		r.Opened = e2ee.Opened{}
		c.Report = r
		if err := v.cfg.Each(c); err != nil {
			return err
		}
	}
	return nil
}

// fragment opens one. What is wrong with it does not keep the next from being judged by itself.
func (v *verifier) fragment(media []byte) (e2ee.Report, error) {
	f, err := consumer.Parse(media)
	if err != nil {
		return e2ee.Report{}, err
	}
	defer v.open.Resume()
	defer v.open.Cut()
	for _, b := range household.BlocksOf(f.Frames) {
		if _, err := v.open.Block(b); err != nil {
			return e2ee.Report{}, err
		}
	}
	return v.open.End()
}

func (v *verifier) signer(fp e2ee.Fingerprint) string {
	m, _ := household.MemberOf(v.r.Roster, fp) // the Opener has found it there
	return m.Name
}

// see counts a confirmed fragment.
func (r *Result) see(entry string, report *e2ee.Report, name string) {
	if r.Confirmed == 0 {
		r.First = report.Capture
	} else {
		missing := report.Missing - min(report.Missing, r.refused) // those are in the file, and have been named
		if missing > 0 || report.Unlinked {
			r.Gaps = append(r.Gaps, Gap{r.lastGood, report.Capture, missing})
			r.Missing += missing
		}
	}
	r.refused, r.lastGood, r.Last = 0, report.Capture, report.Capture
	r.Confirmed++
	if report.Synced {
		r.Synced++
	}
	for i := range report.Samples {
		if t := report.Samples[i].Time.Add(report.Samples[i].Duration); t.After(r.End) {
			r.End = t
		}
	}
	if !report.Capture.Before(r.Facts.Until) {
		r.problem(entry, fmt.Errorf("%w: it is of %s, after what was asked for", ErrFactWrong, report.Capture.Format(time.RFC3339Nano)))
	}
	for i := range r.Signers {
		if r.Signers[i].Fingerprint == report.Producer {
			r.Signers[i].Fragments++
			return
		}
	}
	r.Signers = append(r.Signers, Signer{name, report.Producer, 1})
}
