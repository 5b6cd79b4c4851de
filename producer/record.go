// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/obscura-video/obscura/internal/seal"
)

// A file of the buffer is a sequence of records, each
//
//	length, 4 bytes, big-endian · nonce, 24 bytes · XAES-256-GCM of the content, with its tag
//
// length counts what follows it. The additional data is "obscura producer buffer v1", the stream's name, a zero
// byte, the fragment's number in the buffer (8 bytes) and the record's place in the file (4 bytes). The first
// record is a header, and a fragment that is complete has an end as its last. Integers are big-endian.
const (
	recordHeader = 'H' // timecode (8), the Matroska header
	recordFrame  = 'F' // track (8), time (8), key (1), the frame
	recordTag    = 'T' // length of the name (2), name, value
	recordEnd    = 'E' // for each track that has frames: number (8), first time (8), last time (8), frames (8)
)

const (
	bufferLabel    = "obscura producer buffer v1"
	lengthBytes    = 4
	maxRecordBytes = 1<<20 + maxFrameBytes
)

// errTorn says that a file ends inside a record, or holds one that does not authenticate.
var errTorn = errors.New("producer: torn record")

// record is the content of one.
type record struct {
	kind byte
	// header, and the time of a frame, in milliseconds since the epoch
	time int64
	// frame
	track uint64
	key   bool
	// header, frame; value of a tag
	data []byte
	name string // of a tag
	end  []span
}

func (r *record) append(dst []byte) []byte {
	dst = append(dst, r.kind)
	switch r.kind {
	case recordHeader:
		dst = binary.BigEndian.AppendUint64(dst, uint64(r.time))
	case recordFrame:
		dst = binary.BigEndian.AppendUint64(dst, r.track)
		dst = binary.BigEndian.AppendUint64(dst, uint64(r.time))
		dst = append(dst, boolByte(r.key))
	case recordTag:
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.name)))
		dst = append(dst, r.name...)
	case recordEnd:
		for _, s := range r.end {
			for _, v := range []uint64{s.track, uint64(s.first), uint64(s.last), uint64(s.frames)} {
				dst = binary.BigEndian.AppendUint64(dst, v)
			}
		}
	}
	return append(dst, r.data...)
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// parseRecord is the reverse of append; the data is b's.
func parseRecord(b []byte) (r record, err error) {
	bad := fmt.Errorf("%w: content", errTorn)
	if len(b) == 0 {
		return r, bad
	}
	r.kind, b = b[0], b[1:]
	need := map[byte]int{recordHeader: 8, recordFrame: 17, recordTag: 2}[r.kind]
	if len(b) < need {
		return r, bad
	}
	head := b[:need]
	r.data = b[need:]
	switch r.kind {
	case recordHeader:
		r.time = int64(binary.BigEndian.Uint64(head))
	case recordFrame:
		r.track = binary.BigEndian.Uint64(head)
		r.time = int64(binary.BigEndian.Uint64(head[8:]))
		r.key = head[16] != 0
	case recordTag:
		n := int(binary.BigEndian.Uint16(head))
		if len(r.data) < n {
			return r, bad
		}
		r.name, r.data = string(r.data[:n]), r.data[n:]
	case recordEnd:
		for ; len(b) >= 32; b = b[32:] {
			u := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
			r.end = append(r.end, span{track: u(0), first: int64(u(1)), last: int64(u(2)), frames: int64(u(3))})
		}
		r.data = nil
	default:
		return r, bad
	}
	return r, nil
}

// sealer seals and opens the records of one stream's buffer. It is safe for concurrent use.
type sealer struct {
	key    *seal.Key
	stream string
}

func (s *sealer) aad(fragment uint64, index uint32) []byte {
	b := make([]byte, 0, len(bufferLabel)+len(s.stream)+1+8+4)
	b = append(append(append(b, bufferLabel...), s.stream...), 0)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, fragment), index)
}

// seal appends the record as it lies in the file.
func (s *sealer) seal(dst []byte, r *record, fragment uint64, index uint32) ([]byte, error) {
	plain := r.append(make([]byte, 0, len(r.data)+len(r.name)+64))
	start := len(dst)
	dst, err := s.key.SealRandom(append(dst, 0, 0, 0, 0), plain, s.aad(fragment, index))
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-lengthBytes))
	return dst, nil
}

// read reads the record at offset and returns it with the offset of the next one. Its data is the caller's.
//
// Errors: io.EOF at the end of the file; errTorn; the file's.
func (s *sealer) read(f io.ReaderAt, offset int64, fragment uint64, index uint32) (record, int64, error) {
	n, err := readLength(f, offset)
	if err != nil {
		return record{}, 0, err
	}
	sealed := make([]byte, n)
	if _, err := f.ReadAt(sealed, offset+lengthBytes); err != nil {
		return record{}, 0, torn(err)
	}
	plain, err := s.key.OpenRandom(make([]byte, 0, n), sealed, s.aad(fragment, index))
	if err != nil {
		return record{}, 0, fmt.Errorf("%w: %w", errTorn, err)
	}
	r, err := parseRecord(plain)
	return r, offset + lengthBytes + int64(n), err
}

// readLength reads the length of the record at offset.
func readLength(f io.ReaderAt, offset int64) (int, error) {
	var b [lengthBytes]byte
	switch n, err := f.ReadAt(b[:], offset); {
	case n == 0 && err == io.EOF:
		return 0, io.EOF
	case n < len(b):
		return 0, torn(err)
	}
	n := binary.BigEndian.Uint32(b[:])
	if n < seal.RandomOverhead+1 || n > maxRecordBytes {
		return 0, fmt.Errorf("%w: length %d", errTorn, n)
	}
	return int(n), nil
}

// torn makes the premature end of a file errTorn.
func torn(err error) error {
	if err == io.EOF {
		return errTorn
	}
	return err
}
