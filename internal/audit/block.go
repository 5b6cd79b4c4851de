// SPDX-License-Identifier: Apache-2.0

package audit

// A block is a run of consecutive events, stored together and bound to the block before it:
//
//	h[0]   = SHA-256("obscura audit block 1\n" ‖ seq ‖ first ‖ firstMS ‖ lastMS ‖ hash of the block before)
//	h[i+1] = SHA-256(h[i] ‖ record i)
//	hash   = h[count]
//
// The first eight bytes of every h[i+1] are kept beside the records as links, so that a check can name the
// event at which the chain breaks; the proof is the whole hash, which the next block and the head carry.
// docs/formats/audit.md is the format.

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	blockVersion = 1
	// A block is full with so many events, index rows or bytes of records. The last record may exceed the bytes.
	maxBlockEvents = 256
	maxBlockRows   = 4000
	maxBlockBytes  = 1 << 20
	// maxBlockSpan bounds the time between first and last event, on which look-up by time relies.
	maxBlockSpan = 200 * time.Millisecond
	// partBytes is how much of a block one value of the store holds.
	partBytes = 96 << 10

	maxBodyBytes = maxBlockBytes + maxRecord + binary.MaxVarintLen32*maxBlockEvents
	maxParts     = maxBodyBytes/partBytes + 2
	headerBytes  = 72
	linkBytes    = 8
)

var errBlock = errors.New("audit: malformed block")

type digest [sha256.Size]byte

// block is one block; seq and first count from 1.
type block struct {
	seq    uint64 // of the block
	first  uint64 // of its first event
	firstT int64  // Unix milliseconds of the first and the last event
	lastT  int64
	prev   digest
	events [][]byte // records
	links  [][linkBytes]byte
}

// chain hashes b and returns the hash after each event; hashes[len(b.events)] is the block's.
func (b *block) chain() []digest {
	hashes := make([]digest, len(b.events)+1)
	h := sha256.New()
	h.Write([]byte("obscura audit block 1\n"))
	h.Write(b.fields(nil))
	h.Sum(hashes[0][:0])
	for i, e := range b.events {
		h.Reset()
		h.Write(hashes[i][:])
		h.Write(e)
		h.Sum(hashes[i+1][:0])
	}
	return hashes
}

// fields appends what is hashed of the header. The number of events is not, so that the links before a
// dropped event still fit; the block's hash fixes it.
func (b *block) fields(to []byte) []byte {
	to = binary.BigEndian.AppendUint64(to, b.seq)
	to = binary.BigEndian.AppendUint64(to, b.first)
	to = binary.BigEndian.AppendUint64(to, uint64(b.firstT))
	to = binary.BigEndian.AppendUint64(to, uint64(b.lastT))
	return append(to, b.prev[:]...)
}

// packer compresses blocks, one at a time.
type packer struct {
	zstd *zstd.Encoder
	body []byte // room that is used again
}

// marshal returns the values that hold the block, at most maxParts, and its hash.
func (b *block) marshal(z *packer) ([][]byte, digest) {
	hashes := b.chain()
	body := z.body[:0]
	for _, e := range b.events {
		body = binary.AppendUvarint(body, uint64(len(e)))
		body = append(body, e...)
	}
	z.body = body
	out := make([]byte, 0, headerBytes+len(b.events)*linkBytes+len(body)/8) // the usual body shrinks to less
	out = append(out, blockVersion, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(len(b.events)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	out = b.fields(out)
	for _, h := range hashes[1:] {
		out = append(out, h[:linkBytes]...)
	}
	out = z.zstd.EncodeAll(body, out)
	out[1] = byte((len(out) + partBytes - 1) / partBytes)
	var parts [][]byte
	for len(out) > partBytes {
		parts, out = append(parts, out[:partBytes:partBytes]), out[partBytes:]
	}
	return append(parts, out), hashes[len(b.events)]
}

// parseBlock reads what marshal made. It checks the form alone: that the block is what was once written is
// for verify to say. The block's records share no memory with the parts. Memory is bounded by maxBodyBytes.
func parseBlock(parts [][]byte, z *zstd.Decoder) (*block, error) {
	if len(parts) == 0 || len(parts) > maxParts || len(parts[0]) < headerBytes {
		return nil, errBlock
	}
	p := parts[0]
	if p[0] != blockVersion {
		return nil, fmt.Errorf("audit: block of version %d", p[0])
	}
	size, count := binary.BigEndian.Uint32(p[4:]), int(binary.BigEndian.Uint16(p[2:]))
	if int(p[1]) != len(parts) || size > maxBodyBytes || count == 0 || count > maxBlockEvents {
		return nil, errBlock
	}
	b := &block{
		seq:    binary.BigEndian.Uint64(p[8:]),
		first:  binary.BigEndian.Uint64(p[16:]),
		firstT: int64(binary.BigEndian.Uint64(p[24:])),
		lastT:  int64(binary.BigEndian.Uint64(p[32:])),
		prev:   digest(p[40:headerBytes]),
	}
	rest := p[headerBytes:]
	if len(rest) < count*linkBytes {
		return nil, errBlock
	}
	for i := range count {
		b.links = append(b.links, [linkBytes]byte(rest[i*linkBytes:]))
	}
	packed := append([]byte(nil), rest[count*linkBytes:]...)
	for _, part := range parts[1:] {
		packed = append(packed, part...)
	}
	body, err := z.DecodeAll(packed, make([]byte, 0, size))
	if err != nil || len(body) != int(size) {
		return nil, errBlock
	}
	b.events, err = splitRecords(body, count)
	return b, err
}

// splitRecords cuts body into exactly count records.
func splitRecords(body []byte, count int) ([][]byte, error) {
	events := make([][]byte, 0, count)
	for range count {
		n, w := binary.Uvarint(body)
		if w <= 0 || n > uint64(len(body)-w) {
			return nil, errBlock
		}
		events = append(events, body[w:w+int(n):w+int(n)])
		body = body[w+int(n):]
	}
	if len(body) != 0 {
		return nil, errBlock
	}
	return events, nil
}

// packWindow is how far back the encoder looks for what an event repeats: as far as the usual block is long. With more,
// it would go through megabytes of memory.
const packWindow = 256 << 10

func newPacker() (*packer, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithWindowSize(packWindow))
	return &packer{zstd: z}, err
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBodyBytes),
		zstd.WithDecodeAllCapLimit(true))
}
