// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

// Kinds of row, the byte after the space "aud"; package audit has others.
const (
	kindDigest = 'd' // ‖ end in Unix seconds ‖ part: the digests
	kindNewest = 'n' // the newest digest
	kindKey    = 'k' // ‖ beginning in Unix seconds ‖ fingerprint: the keys
)

func rowKey(kind byte) []byte { return append(meta.Key("aud"), kind) }

func digestKey(end time.Time, part int) []byte {
	return append(meta.AppendUint64(rowKey(kindDigest), uint64(max(end.Unix(), 0))), byte(part))
}

// cutDigestKey is the inverse of digestKey.
func cutDigestKey(key []byte) (end time.Time, part int, ok bool) {
	prefix := rowKey(kindDigest)
	if len(key) != len(prefix)+9 || !bytes.HasPrefix(key, prefix) {
		return end, 0, false
	}
	return time.Unix(int64(binary.BigEndian.Uint64(key[len(prefix):])), 0).UTC(), int(key[len(key)-1]), true
}

// newest says how far the chain of digests reaches.
type newest struct {
	end time.Time // of the newest digest; of the hour before the first one when there is none
	// hash is that of the newest digest's content, zero when there is none.
	hash [sha256.Size]byte
}

const newestVersion = 1

func (n newest) marshal() []byte {
	return append(binary.BigEndian.AppendUint64([]byte{newestVersion}, uint64(n.end.Unix())), n.hash[:]...)
}

func parseNewest(b []byte) (n newest, ok bool) {
	if len(b) != 9+sha256.Size || b[0] != newestVersion {
		return n, false
	}
	n.end = time.Unix(int64(binary.BigEndian.Uint64(b[1:])), 0).UTC()
	copy(n.hash[:], b[9:])
	return n, true
}

func (n newest) none() bool { return n.hash == [sha256.Size]byte{} }

// stored is a digest with what is kept beside its content: where in the log its files are.
type stored struct {
	// firstBlock and firstEvent are the first of the digest, or of the next one when it has no events.
	firstBlock, firstEvent uint64
	files                  []extent // of Document.LogFiles, in their order
	signature              []byte
	content                []byte // the JSON
}

// extent is how many blocks and events a log file has.
type extent struct{ blocks, events uint64 }

// next is the first block and the first event behind the digest.
func (s *stored) next() (block, event uint64) {
	block, event = s.firstBlock, s.firstEvent
	for _, f := range s.files {
		block, event = block+f.blocks, event+f.events
	}
	return block, event
}

const (
	storedVersion = 1
	partBytes     = 96 << 10
	maxParts      = 255
	// maxContent bounds what a digest is inflated to.
	maxContent = 64 << 20
	// maxFiles bounds the log files of a digest: about 450 bytes each.
	maxFiles = maxContent / 600
)

var errStored = errors.New("digest: malformed row")

// marshal returns the values that hold s.
func (s *stored) marshal() ([][]byte, error) {
	body := []byte{storedVersion, 0}
	for _, v := range []uint64{s.firstBlock, s.firstEvent, uint64(len(s.files))} {
		body = binary.AppendUvarint(body, v)
	}
	for _, f := range s.files {
		body = binary.AppendUvarint(binary.AppendUvarint(body, f.blocks), f.events)
	}
	body = append(binary.AppendUvarint(body, uint64(len(s.signature))), s.signature...)
	packed, err := deflate(s.content)
	if err != nil {
		return nil, err
	}
	body = append(body, packed...)
	n := (len(body) + partBytes - 1) / partBytes
	if n > maxParts || len(s.content) > maxContent {
		return nil, fmt.Errorf("digest: %d bytes are too many", len(s.content))
	}
	body[1] = byte(n)
	var parts [][]byte
	for len(body) > partBytes {
		parts, body = append(parts, body[:partBytes:partBytes]), body[partBytes:]
	}
	return append(parts, body), nil
}

// parseStored reads what marshal made. Memory is bounded by maxContent.
func parseStored(parts [][]byte) (*stored, error) {
	if len(parts) == 0 || len(parts[0]) < 2 || parts[0][0] != storedVersion || int(parts[0][1]) != len(parts) {
		return nil, errStored
	}
	c := cutter{rest: bytes.Join(parts, nil)[2:]}
	s := &stored{firstBlock: c.uvarint(), firstEvent: c.uvarint()}
	n := c.uvarint()
	if c.bad || n > maxFiles || n > uint64(len(c.rest)) {
		return nil, errStored
	}
	for range n {
		s.files = append(s.files, extent{c.uvarint(), c.uvarint()})
	}
	s.signature = c.bytes()
	if c.bad {
		return nil, errStored
	}
	var err error
	s.content, err = inflate(c.rest, maxContent)
	return s, err
}

// cutter takes numbers off the front of bytes; bad says that one was missing.
type cutter struct {
	rest []byte
	bad  bool
}

func (c *cutter) uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cutter) bytes() []byte {
	n := c.uvarint()
	if c.bad || n > uint64(len(c.rest)) {
		c.bad = true
		return nil
	}
	out := c.rest[:n:n]
	c.rest = c.rest[n:]
	return out
}

// deflate packs content as gzip, always alike.
func deflate(content []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(content)
	err = errors.Join(err, z.Close())
	return b.Bytes(), err
}

// inflate unpacks at most limit bytes.
func inflate(packed []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStored, err)
	}
	content, err := io.ReadAll(io.LimitReader(z, limit+1))
	if err != nil || int64(len(content)) > limit {
		return nil, fmt.Errorf("%w: content cannot be inflated", errStored)
	}
	return content, nil
}

// loadNewest returns the end of the chain; ok is false when there is none yet.
func loadNewest(r meta.Reader) (n newest, ok bool, err error) {
	v, err := r.Get(rowKey(kindNewest))
	if errors.Is(err, meta.ErrNotFound) {
		return n, false, nil
	}
	if err != nil {
		return n, false, fmt.Errorf("digest: newest: %w", err)
	}
	if n, ok = parseNewest(v); !ok {
		return n, false, errStored
	}
	return n, true, nil
}

// loadDigest returns the digest that ends at end. Errors: meta.ErrNotFound.
func loadDigest(r meta.Reader, end time.Time) (*stored, error) {
	var parts [][]byte
	for kv, err := range r.Scan(digestKey(end, 0), digestKey(end.Add(time.Second), 0)) {
		if err != nil {
			return nil, fmt.Errorf("digest: read: %w", err)
		}
		if parts = append(parts, kv.Value); len(parts) > maxParts {
			return nil, errStored
		}
	}
	if len(parts) == 0 {
		return nil, meta.ErrNotFound
	}
	return parseStored(parts)
}
