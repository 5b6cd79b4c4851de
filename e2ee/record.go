// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/sha256"
	"hash"
	"time"
)

// A block is a run of records: type (1 byte), length (3 bytes), body. A FRAME has no length: it is last and runs to the end.
const (
	recFrame    = 1 // sealed sample
	recHDR      = 2 // statement ‖ header
	recConfig   = 3 // sealed description of the tracks
	recKeys     = 4 // key package: a wrap for every recipient
	recMeta     = 5 // sealed metadata
	recLive     = 6 // nonces that viewers sent, echoed
	recSig      = 7 // fragment signature
	recEnd      = 8 // the session ends here, in order
	recPrevious = 9 // where the session before ended

	maxRecords = 64 // in a block

	hintBytes = 4
	wrapBytes = hintBytes + encBytes + secretBytes + tagBytes // 1172
	// MaxRecipients bounds a key package to 150 kB.
	MaxRecipients = 128
	maxNonces     = 16
)

type record struct {
	kind byte
	body []byte
}

// parseRecords splits a block. Bodies alias it. sigAt is where the SIG record begins, or len(b).
func parseRecords(b []byte) (records []record, sigAt int, err error) {
	r := reader{b: b}
	for len(r.b) > 0 {
		at := len(b) - len(r.b)
		rec := record{kind: r.u8()}
		if rec.kind == recFrame {
			rec.body = r.take(len(r.b))
		} else {
			rec.body = r.bytes(3)
		}
		if r.bad || len(records) == maxRecords {
			return nil, 0, refuse(ErrFormat, "record %d of a block", len(records))
		}
		records = append(records, rec)
		if rec.kind == recSig {
			if len(r.b) > 0 {
				return nil, 0, refuse(ErrFormat, "bytes after the signature")
			}
			return records, at, nil
		}
	}
	return records, len(b), nil
}

func appendRecord(b []byte, kind byte, body []byte) []byte {
	return append(appendU24(append(b, kind), len(body)), body...)
}

// bind is the SFrame metadata: what a sealed record is bound to beside its key. hdr is the hash of the HDR record's body.
func bind(hdr [32]byte, kind, flags, track byte) []byte {
	return append(append([]byte("E2"), hdr[:]...), kind, flags, track)
}

// blockFlags are the container's flags that a block is bound to: the key-frame bit, where a Matroska SimpleBlock has it.
func blockFlags(key bool) byte {
	if key {
		return 0x80
	}
	return 0
}

// digest runs over the blocks of a fragment, without the SIG record.
type digest struct{ h hash.Hash }

func newDigest() digest {
	d := digest{sha256.New()}
	d.h.Write([]byte(label + "fragment\x00"))
	return d
}

func (d digest) add(track, flags byte, payload []byte) {
	inner := sha256.Sum256(payload)
	d.h.Write(append(appendU32([]byte{track, flags}, uint32(len(payload))), inner[:]...))
}

func (d digest) sum() [32]byte { return [32]byte(d.h.Sum(nil)) }

// hint lets a recipient find its wrap without trying all.
func hint(to Fingerprint, s *statement) []byte {
	h := sum("hint", to[:], s.session[:], appendU32(nil, s.generation))
	return h[:hintBytes]
}

// Track describes one track. It travels sealed; in the container the track has an opaque codec ID.
type Track struct {
	Number       uint8  // as in the container, 1 to 15
	Codec        string // Matroska codec ID, such as V_MPEG4/ISO/AVC
	CodecPrivate []byte // at most 64 KiB
	Width        uint32 // pixels; 0 for sound
	Height       uint32
	SampleRate   uint32 // Hz; 0 for pictures
	Channels     uint8
	Name         string // for people, at most 255 bytes
	Language     string // BCP 47, at most 255 bytes
}

// OpaqueCodec is the codec ID that a sealed track has in the container: tools say "unknown" instead of decoding noise.
func (t Track) OpaqueCodec() string {
	if len(t.Codec) > 0 && t.Codec[0] == 'A' {
		return "A_E2EE/1"
	}
	return "V_E2EE/1"
}

const (
	maxTracks       = 15
	maxCodecPrivate = 64 << 10
)

func encodeTracks(tracks []Track) ([]byte, error) {
	if len(tracks) == 0 || len(tracks) > maxTracks {
		return nil, refuse(ErrMisuse, "%d tracks", len(tracks))
	}
	b := []byte{byte(len(tracks))}
	seen := [16]bool{}
	for _, t := range tracks {
		if t.Number < 1 || t.Number > maxTracks || seen[t.Number] {
			return nil, refuse(ErrMisuse, "track number %d", t.Number)
		}
		if len(t.Codec) > 255 || len(t.Name) > 255 || len(t.Language) > 255 || len(t.CodecPrivate) > maxCodecPrivate {
			return nil, refuse(ErrTooLarge, "description of track %d", t.Number)
		}
		seen[t.Number] = true
		b = appendString(append(b, t.Number), t.Codec)
		b = append(appendU24(b, len(t.CodecPrivate)), t.CodecPrivate...)
		b = appendU32(appendU32(appendU32(b, t.Width), t.Height), t.SampleRate)
		b = appendString(appendString(append(b, t.Channels), t.Name), t.Language)
	}
	return b, nil
}

func parseTracks(b []byte) ([]Track, bool) {
	r := reader{b: b}
	n := int(r.u8())
	if n == 0 || n > maxTracks {
		return nil, false
	}
	tracks, seen := make([]Track, n), [16]bool{}
	for i := range tracks {
		t := &tracks[i]
		t.Number, t.Codec = r.u8(), string(r.bytes(1))
		t.CodecPrivate = append([]byte(nil), r.bytes(3)...)
		t.Width, t.Height, t.SampleRate = r.u32(), r.u32(), r.u32()
		t.Channels, t.Name, t.Language = r.u8(), string(r.bytes(1)), string(r.bytes(1))
		if t.Number < 1 || t.Number > maxTracks || seen[t.Number] || len(t.CodecPrivate) > maxCodecPrivate {
			return nil, false
		}
		seen[t.Number] = true
	}
	return tracks, r.done()
}

// Sample is one access unit of a track.
type Sample struct {
	Track    uint8
	Key      bool          // a decoder can start here
	Time     time.Time     // presentation; within 35 minutes of the fragment's capture time, kept to the microsecond
	Duration time.Duration // 0 when not known; at most 71 minutes
	Data     []byte        // as the container would have it

	// Shift is set by the Opener: the container's time for this sample minus Time. Time is what counts; a large shift says
	// that somebody rewrote the container's times.
	Shift time.Duration
}

const sampleHead = 8 // pts offset i32, duration u32, both in µs

func encodeSampleHead(s Sample, capture int64) ([]byte, error) {
	offset, duration := s.Time.Sub(fromMillis(capture)).Microseconds(), s.Duration.Microseconds()
	if int64(int32(offset)) != offset || int64(uint32(duration)) != duration {
		return nil, refuse(ErrMisuse, "sample time %v is too far from its fragment's", s.Time)
	}
	return appendU32(appendU32(make([]byte, 0, sampleHead), uint32(int32(offset))), uint32(duration)), nil
}

func decodeSample(plain []byte, capture int64) (Sample, bool) {
	r := reader{b: plain}
	offset, duration := int32(r.u32()), r.u32()
	return Sample{
		Time:     fromMillis(capture).Add(time.Duration(offset) * time.Microsecond),
		Duration: time.Duration(duration) * time.Microsecond,
		Data:     r.b,
	}, !r.bad
}

// Metadata is a named value that travels sealed beside the samples: what would otherwise be a tag, an event, a thumbnail.
type Metadata struct {
	Name  string // at most 255 bytes
	Value []byte // at most 64 KiB
}

const maxMetadata = 64 << 10

func encodeMetadata(m Metadata) ([]byte, error) {
	if len(m.Name) > 255 || len(m.Value) > maxMetadata {
		return nil, refuse(ErrTooLarge, "metadata %.20q", m.Name)
	}
	return append(appendString(nil, m.Name), m.Value...), nil
}

func parseMetadata(b []byte) (Metadata, bool) {
	r := reader{b: b}
	m := Metadata{Name: string(r.bytes(1))}
	m.Value = r.b
	return m, !r.bad
}

// Block is what goes into the container: a payload on a track.
type Block struct {
	Track   uint8
	Key     bool
	Time    time.Time // for the container's index; see Sample.Shift
	Payload []byte
}

// Link names one fragment by its digest: where a session stood. A producer keeps its last one to tie its next session to; a
// consumer keeps some, and notices when the history before them is rewritten.
type Link struct {
	Producer      Fingerprint
	Session       SessionID
	Sequence      uint64
	Digest        [32]byte
	Capture       time.Time
	Generation    uint32
	RosterVersion uint32
}

func (l *Link) encode() []byte {
	return append(appendU64(append([]byte(nil), l.Session[:]...), l.Sequence), l.Digest[:]...)
}

func parseLink(b []byte) (l Link, ok bool) {
	r := reader{b: b}
	r.fill(l.Session[:])
	l.Sequence = r.u64()
	r.fill(l.Digest[:])
	return l, r.done()
}
