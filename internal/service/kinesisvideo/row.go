// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"encoding/binary"
	"errors"

	"github.com/obscura-video/obscura/internal/journal"
)

var errRow = errors.New("kinesisvideo: malformed fragment row")

// The versions of the rows of docs/formats/video-rows.md.
const (
	fragmentVersion = 1
	sealedVersion   = 2 // of a sealed fragment, in all else the same
	frameVersion    = 1
)

// The indexes of a stream's fragments, by their times in milliseconds.
const (
	indexServer   = "server"
	indexProducer = "producer"
)

// fragmentMeta is what the row of a fragment says of it beside what the journal knows. It is
// not secret from whoever holds the metadata store.
type fragmentMeta struct {
	number   number
	producer int64  // timestamp, Unix milliseconds
	header   uint64 // which header of the producer belongs to it: a position
	timecode uint64 // of the cluster, in the producer's units
	length   int64  // milliseconds
	sealed   bool   // a track of it is end-to-end encrypted
}

const fragmentMetaBytes = 1 + 20 + 8 + 8 + 8 + 8

// append encodes m.
func (m *fragmentMeta) append(dst []byte) []byte {
	version := byte(fragmentVersion)
	if m.sealed {
		version = sealedVersion
	}
	dst = append(dst, version)
	dst = append(dst, m.number[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.producer))
	dst = binary.BigEndian.AppendUint64(dst, m.header)
	dst = binary.BigEndian.AppendUint64(dst, m.timecode)
	return binary.BigEndian.AppendUint64(dst, uint64(m.length))
}

// parseFragmentMeta decodes what append made and returns what follows it.
func parseFragmentMeta(b []byte) (m fragmentMeta, rest []byte, err error) {
	if len(b) < fragmentMetaBytes || b[0] != fragmentVersion && b[0] != sealedVersion {
		return m, nil, errRow
	}
	m.sealed = b[0] == sealedVersion
	copy(m.number[:], b[1:21])
	m.producer = int64(binary.BigEndian.Uint64(b[21:]))
	m.header = binary.BigEndian.Uint64(b[29:])
	m.timecode = binary.BigEndian.Uint64(b[37:])
	m.length = int64(binary.BigEndian.Uint64(b[45:]))
	return m, b[fragmentMetaBytes:], nil
}

// index returns the keys by which the fragment is found.
func (m *fragmentMeta) index() []journal.IndexKey {
	return []journal.IndexKey{
		{Name: indexServer, Key: timeKey(m.number.millis()), Value: m.number[:]},
		{Name: indexProducer, Key: timeKey(m.producer), Value: m.number[:]},
	}
}

// timeKey encodes milliseconds, negative ones too, so that they keep their order.
func timeKey(millis int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(millis)^1<<63)
}

func parseTimeKey(key []byte) (millis int64, ok bool) {
	if len(key) < 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(key) ^ 1<<63), true
}

// liveStart is what a fragment hands to live viewers when it begins: they need it before it has
// a row. It never leaves the process.
type liveStart struct {
	fragmentMeta
	keyID  string // data key
	header []byte // of the producer
}

func (l *liveStart) append(dst []byte) []byte {
	dst = l.fragmentMeta.append(dst)
	dst = binary.AppendUvarint(dst, uint64(len(l.keyID)))
	dst = append(dst, l.keyID...)
	return append(dst, l.header...)
}

func parseLiveStart(b []byte) (l liveStart, err error) {
	m, rest, err := parseFragmentMeta(b)
	if err != nil {
		return l, err
	}
	n, size := binary.Uvarint(rest)
	if size <= 0 || n > uint64(len(rest)-size) {
		return l, errRow
	}
	rest = rest[size:]
	return liveStart{fragmentMeta: m, keyID: string(rest[:n]), header: rest[n:]}, nil
}

// frameKind says what a frame of a fragment holds. The numbers are stored; do not reorder.
type frameKind uint8

const (
	frameTagsBefore frameKind = 1 // a Tags element that preceded the cluster
	frameCluster    frameKind = 2 // the start of the cluster
	frameBlock      frameKind = 3 // SimpleBlock or BlockGroup
	frameElement    frameKind = 4 // another element of the cluster, or a piece of one
	frameTagsAfter  frameKind = 5 // a Tags element that followed the cluster
)

// frameAttrs are the attributes of a frame, sealed with it.
type frameAttrs struct {
	kind     frameKind
	keyframe bool
	track    uint64
	timecode int64 // of a block, in the producer's units
	// rest is how many bytes are still to come: of the cluster after its start, when its
	// size is known; of the element after a piece of it.
	rest int64
}

// unknownRest is the rest of a cluster of unknown size.
const unknownRest = -1

func (a *frameAttrs) append(dst []byte) []byte {
	flags := byte(0)
	if a.keyframe {
		flags = 1
	}
	dst = append(dst, frameVersion, byte(a.kind), flags)
	dst = binary.AppendUvarint(dst, a.track)
	dst = binary.AppendVarint(dst, a.timecode)
	return binary.AppendVarint(dst, a.rest)
}

func parseFrameAttrs(b []byte) (a frameAttrs, err error) {
	if len(b) < 3 || b[0] != frameVersion {
		return a, errRow
	}
	a.kind, a.keyframe = frameKind(b[1]), b[2]&1 != 0
	b = b[3:]
	var n [3]int
	a.track, n[0] = binary.Uvarint(b)
	a.timecode, n[1] = binary.Varint(b[max(n[0], 0):])
	a.rest, n[2] = binary.Varint(b[max(n[0], 0)+max(n[1], 0):])
	if n[0] <= 0 || n[1] <= 0 || n[2] <= 0 || a.rest < unknownRest {
		return frameAttrs{}, errRow
	}
	return a, nil
}
