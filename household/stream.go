// SPDX-License-Identifier: Apache-2.0

package household

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

const (
	// maxLinks bounds what is remembered of a stream: the newest link of each session, and one for each hour of it.
	maxLinks  = 512
	linkEvery = time.Hour
)

// stream is what the folder remembers of one stream.
type stream struct {
	Name   string   `json:"name"`
	Sealed bool     `json:"sealed,omitempty"` // never plain again
	Sent   []byte   `json:"sent,omitempty"`   // the producer's last link
	Links  []byte   `json:"links,omitempty"`  // confirmed ones, oldest first
	Grants []string `json:"grants,omitempty"` // names of values
}

func streamValue(id e2ee.StreamID) string { return fmt.Sprintf("stream-%x", id[:]) }

func (d *Device) loadStream(name string) (*stream, error) {
	s, err := d.loadStreamID(e2ee.StreamIDOf(name))
	if err == nil {
		s.Name = name
	}
	return s, err
}

func (d *Device) loadStreamID(id e2ee.StreamID) (*stream, error) {
	b, err := d.store.Load(streamValue(id))
	if errors.Is(err, fs.ErrNotExist) {
		return &stream{}, nil
	}
	s := &stream{}
	if err == nil {
		err = json.Unmarshal(b, s)
	}
	if err != nil {
		return nil, fmt.Errorf("household: stream %x: %w", id[:4], err)
	}
	return s, nil
}

func (d *Device) saveStream(id e2ee.StreamID, s *stream) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return d.store.Save(streamValue(id), b)
}

// updateStream changes what is remembered of a stream. It is durable when updateStream returns.
func (d *Device) updateStream(name string, edit func(*stream)) error {
	return d.change(func() error {
		s, err := d.loadStream(name)
		if err != nil {
			return err
		}
		edit(s)
		return d.saveStream(e2ee.StreamIDOf(name), s)
	})
}

// Sealed reports whether a stream must never come in plain: because it once came sealed, or because the roster names a
// camera for it.
func (d *Device) Sealed(name string) (bool, error) {
	s, err := d.loadStream(name)
	if err != nil || s.Sealed {
		return s != nil && s.Sealed, err
	}
	r, err := d.Roster()
	if err != nil {
		return false, nil
	}
	id := e2ee.StreamIDOf(name)
	return slices.ContainsFunc(r.Members, func(m e2ee.Member) bool {
		return m.Role == e2ee.RoleProducer && slices.Contains(m.Streams, id)
	}), nil
}

// Senders are the cameras that may send to a stream now, by the roster in force: named for it, or for all streams.
func (d *Device) Senders(name string) (cameras []e2ee.Member) {
	r, err := d.Roster()
	if err != nil {
		return nil
	}
	id, now := e2ee.StreamIDOf(name), d.now()
	for _, m := range r.Members {
		if m.Role == e2ee.RoleProducer && !Ended(m, now) && (len(m.Streams) == 0 || slices.Contains(m.Streams, id)) {
			cameras = append(cameras, m)
		}
	}
	return cameras
}

// PinSealed remembers that a stream is sealed: from now on it is refused in plain. Durable when it returns.
func (d *Device) PinSealed(name string) error {
	return d.updateStream(name, func(s *stream) { s.Sealed = true })
}

// Links are the links of a stream that this device has confirmed and remembers, oldest first.
func (d *Device) Links(name string) ([]e2ee.Link, error) {
	s, err := d.loadStream(name)
	if err != nil {
		return nil, err
	}
	return readLinks(s.Links)
}

// storedLink is an e2ee.Link in the folder.
type storedLink struct {
	Producer                  e2ee.Fingerprint
	Session                   e2ee.SessionID
	Sequence                  uint64
	Digest                    [32]byte
	Capture                   int64
	Generation, RosterVersion uint32
}

func appendLink(b []byte, l e2ee.Link) []byte {
	s := storedLink{l.Producer, l.Session, l.Sequence, l.Digest, l.Capture.UnixMilli(), l.Generation, l.RosterVersion}
	b, err := binary.Append(b, binary.BigEndian, &s)
	if err != nil {
		panic("household: link: " + err.Error()) // the type has a fixed size
	}
	return b
}

func readLinks(b []byte) (links []e2ee.Link, err error) {
	for len(b) > 0 {
		var s storedLink
		n, err := binary.Decode(b, binary.BigEndian, &s)
		if err != nil {
			return nil, fmt.Errorf("household: stored links: %w", err)
		}
		b = b[n:]
		links = append(links, e2ee.Link{
			Producer: s.Producer, Session: s.Session, Sequence: s.Sequence, Digest: s.Digest,
			Capture: time.UnixMilli(s.Capture).UTC(), Generation: s.Generation, RosterVersion: s.RosterVersion,
		})
	}
	return links, nil
}

// mergeLinks adds links to those remembered: of each session the newest, and one for each hour. When there are too many, the
// oldest go.
func mergeLinks(old, more []e2ee.Link) []e2ee.Link {
	type place struct {
		session e2ee.SessionID
		hour    int64
	}
	hours := map[place]e2ee.Link{}
	newest := map[e2ee.SessionID]e2ee.Link{}
	for _, l := range slices.Concat(old, more) {
		at := place{l.Session, l.Capture.UnixMilli() / linkEvery.Milliseconds()}
		if h, ok := hours[at]; !ok || l.Sequence < h.Sequence {
			hours[at] = l
		}
		if n, ok := newest[l.Session]; !ok || l.Sequence > n.Sequence {
			newest[l.Session] = l
		}
	}
	kept := make([]e2ee.Link, 0, len(hours)+len(newest))
	for _, l := range hours {
		if l != newest[l.Session] {
			kept = append(kept, l)
		}
	}
	for _, l := range newest {
		kept = append(kept, l)
	}
	slices.SortFunc(kept, compareLinks)
	return kept[max(0, len(kept)-maxLinks):]
}

func compareLinks(a, b e2ee.Link) int {
	if c := a.Capture.Compare(b.Capture); c != 0 {
		return c
	}
	return slices.Compare(a.Digest[:], b.Digest[:])
}

// Receipt returns the newest link of a camera that this device has confirmed, in whatever stream: its RosterVersion is the camera's own
// signed word on which roster it had taken.
func (d *Device) Receipt(producer e2ee.Fingerprint) (newest e2ee.Link, ok bool) {
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return newest, false
	}
	for _, f := range files {
		name, isStream := strings.CutPrefix(strings.TrimSuffix(f.Name(), ".key"), "stream-")
		b, err := hex.DecodeString(name)
		if !isStream || err != nil || len(b) != len(e2ee.StreamID{}) {
			continue
		}
		s, err := d.loadStreamID(e2ee.StreamID(b))
		if err != nil {
			continue
		}
		links, err := readLinks(s.Links)
		if err != nil {
			continue
		}
		for _, l := range links {
			if l.Producer == producer && (!ok || l.Capture.After(newest.Capture)) {
				newest, ok = l, true
			}
		}
	}
	return newest, ok
}
