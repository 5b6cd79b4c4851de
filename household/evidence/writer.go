// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// Granter gives the secrets of fragments that it has confirmed: an *e2ee.Opener.
type Granter interface {
	GrantFragments(to e2ee.Grantee, of []e2ee.Report) ([]byte, error)
}

const (
	// A grant holds at most so many epochs, so that it is never too large, and is made before its Opener forgets a generation.
	maxGrantEpochs      = 8000
	maxGrantGenerations = 256
)

// Writer writes a file. It is for one goroutine.
type Writer struct {
	c       container
	granter Granter
	seed    []byte
	guest   e2ee.Grantee

	grants      [][]byte
	pending     []e2ee.Report // one of each epoch that no grant has yet
	generations map[[32]byte]bool
	epochs      map[epochName]bool
	fragments   int
}

type epochName struct {
	statement [32]byte
	epoch     uint32
}

// NewWriter begins a file. g gives the secrets of what is added.
func NewWriter(w io.Writer, g Granter) (*Writer, error) {
	out := &Writer{c: container{w: w}, granter: g, generations: map[[32]byte]bool{}, epochs: map[epochName]bool{}}
	var err error
	if out.seed, out.guest, err = household.NewGuest(); err != nil {
		return nil, err
	}
	return out, out.c.put(nameReadme, []byte(readme))
}

// Add writes a fragment as the server gave it, see consumer.Consumer.Raw, of which the Opener has made a report. Fragments come in
// the order in which the Opener has confirmed them.
//
// Errors: those of the Granter and of writing; ErrContainer for what the file cannot hold.
func (w *Writer) Add(media []byte, r e2ee.Report) error {
	if len(media) > maxEntryBytes || w.fragments == maxEntries/2 {
		return fmt.Errorf("%w: fragment %d of %d bytes: export a shorter time", ErrContainer, w.fragments+1, len(media))
	}
	r.Opened = e2ee.Opened{}
	if name := (epochName{r.Statement, r.Epoch}); !w.epochs[name] {
		w.epochs[name], w.generations[r.Statement] = true, true
		w.pending = append(w.pending, r)
	}
	if len(w.pending) >= maxGrantEpochs || len(w.generations) >= maxGrantGenerations {
		if err := w.grant(); err != nil {
			return err
		}
	}
	w.fragments++
	return w.c.put(fmt.Sprintf(fragmentName, w.fragments), media)
}

// grant makes a grant for the epochs that have none.
func (w *Writer) grant() error {
	if len(w.pending) == 0 {
		return nil
	}
	g, err := w.granter.GrantFragments(w.guest, w.pending)
	if err != nil {
		return err
	}
	w.grants = append(w.grants, g)
	w.pending = nil
	clear(w.generations)
	return nil
}

// Fragments is how many were added.
func (w *Writer) Fragments() int { return w.fragments }

// Close writes what the fragments need, what the maker says, and the maker's signature unless maker is nil. rosters are
// household.Device.Chain's. The file is not synced.
//
// Errors: those of the Granter, of signing and of writing; ErrContainer when there is nothing to close, or facts cannot be written.
func (w *Writer) Close(f Facts, rosters [][]byte, maker *e2ee.Identity) error {
	if w.fragments == 0 || len(rosters) == 0 {
		return fmt.Errorf("%w: it needs a fragment and a roster", ErrContainer)
	}
	if err := w.grant(); err != nil {
		return err
	}
	f.Fragments, f.Maker = w.fragments, e2ee.Fingerprint{}
	if maker != nil {
		f.Maker = maker.Fingerprint()
	}
	facts, err := f.encode()
	if err != nil {
		return err
	}
	for i, r := range rosters {
		err = errors.Join(err, w.c.put(fmt.Sprintf(rosterName, i+1), r))
	}
	err = errors.Join(err, w.c.put(nameSeed, w.seed))
	for i, g := range w.grants {
		err = errors.Join(err, w.c.put(fmt.Sprintf(grantName, i+1), g))
	}
	if err = errors.Join(err, w.c.put(nameFacts, facts)); err != nil {
		return err
	}
	return w.sign(maker)
}

func (w *Writer) sign(maker *e2ee.Identity) error {
	list := sums(w.c.entries)
	if len(list) > maxEntryBytes {
		return fmt.Errorf("%w: too many fragments: export a shorter time", ErrContainer)
	}
	if err := w.c.put(nameSums, list); err != nil {
		return err
	}
	if maker != nil {
		sig, err := maker.SignEvidence(bytes.Clone(list))
		if err != nil {
			return err
		}
		if err := w.c.put(nameSignature, sig); err != nil {
			return err
		}
	}
	return w.c.end()
}

// readme tells somebody who finds the file without this program what it is.
const readme = `This archive is footage of a camera that encrypts and signs what it records.

Verify it offline, with the fingerprint of the owner that you know from elsewhere:

    obscura export verify FILE --owner XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX

That checks the camera's signatures over what the server stored, that nothing is missing in between, and
decrypts it; with --output clip.mp4 into a file that plays. The format is in the program's documentation,
docs/formats/evidence.md; another program can be written from it.

    fragments/     what the server stored, byte for byte: Matroska, its content sealed
    rosters/       signed lists of whose key is whose
    keys/          what opens these minutes, and no others: whoever has this archive can watch them
    facts.txt      what the maker of this archive says of it
    SHA256SUMS     of all of these; sha256sum -c SHA256SUMS checks them
    SHA256SUMS.sig the maker's signature of that
`
