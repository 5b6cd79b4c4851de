// SPDX-License-Identifier: Apache-2.0

package e2eetest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"

	"github.com/obscura-video/obscura/e2ee"
)

// Types of records, docs/formats/e2ee.md §5.
const (
	Frame    byte = 1
	HDR      byte = 2
	Config   byte = 3
	Keys     byte = 4
	Meta     byte = 5
	Live     byte = 6
	Sig      byte = 7
	End      byte = 8
	Previous byte = 9
)

const (
	statementBody  = 104
	statementBytes = statementBody + ed25519.SignatureSize
	headerBody     = 61
	headerBytes    = headerBody + 16
	hintBytes      = 4
	encBytes       = 1120
	wrapBytes      = hintBytes + encBytes + 48
)

// Record is one of a block.
type Record struct {
	Kind byte
	Body []byte
}

// Split takes a block apart, as far as it goes. Bodies alias it.
func Split(block []byte) (all []Record) {
	for len(block) > 0 {
		if block[0] == Frame {
			return append(all, Record{Frame, block[1:]})
		}
		if len(block) < 4 {
			return all
		}
		n := 4 + int(block[1])<<16 + int(block[2])<<8 + int(block[3])
		if n > len(block) {
			return all
		}
		all = append(all, Record{block[0], block[4:n:n]})
		block = block[n:]
	}
	return all
}

// Join puts a block together.
func Join(records ...Record) (block []byte) {
	for _, r := range records {
		block = append(block, r.Kind)
		if n := len(r.Body); r.Kind != Frame {
			block = append(block, byte(n>>16), byte(n>>8), byte(n))
		}
		block = append(block, r.Body...)
	}
	return block
}

// Statement is what begins a generation, docs/formats/e2ee.md §4.
type Statement struct {
	Version, Suite byte
	Stream         e2ee.StreamID
	Producer       [8]byte
	Session        e2ee.SessionID
	Generation     uint32
	EpochMillis    uint32
	Start          int64
	RosterVersion  uint32
	RosterHash     [8]byte
	Recipients     uint16
	Commit         [32]byte
	Signature      [ed25519.SignatureSize]byte
}

// Header places a fragment.
type Header struct {
	Flags           byte
	Epoch           uint32
	Sequence        uint64
	Capture, KeysAt int64
	Previous        [32]byte
	MAC             [16]byte
}

// HeaderOf reads statement and header of a fragment's first block. ok is false when it has none.
func HeaderOf(block []byte) (s Statement, h Header, ok bool) {
	all := Split(block)
	if len(all) == 0 || all[0].Kind != HDR || len(all[0].Body) != statementBytes+headerBytes {
		return s, h, false
	}
	_, err := binary.Decode(all[0].Body, binary.BigEndian, &s)
	_, err2 := binary.Decode(all[0].Body[statementBytes:], binary.BigEndian, &h)
	return s, h, err == nil && err2 == nil
}

// Bytes is the statement with its signature, as it is.
func (s *Statement) Bytes() []byte { return encode(s) }

// Body is what the signature is over.
func (s *Statement) Body() []byte { return s.Bytes()[:statementBody] }

// Sign signs the statement, with whatever key.
func (s *Statement) Sign(key ed25519.PrivateKey) {
	s.Signature = [ed25519.SignatureSize]byte(Sign(key, "statement", s.Body()))
}

// Bytes is the header with its MAC, as it is.
func (h *Header) Bytes() []byte { return encode(h) }

// Body is what the MAC is over, beside the statement.
func (h *Header) Body() []byte { return h.Bytes()[:headerBody] }

func encode(v any) []byte {
	b, err := binary.Append(nil, binary.BigEndian, v)
	if err != nil {
		panic("e2eetest: " + err.Error()) // the types have a fixed size
	}
	return b
}

// Sum is the format's hash of something.
func Sum(what string, parts ...[]byte) [32]byte { return sha256.Sum256(message(what, parts...)) }

// Sign is the format's signature of something.
func Sign(key ed25519.PrivateKey, what string, x []byte) []byte {
	return ed25519.Sign(key, message(what, x))
}

const label = "kvs-e2ee/1 "

func message(what string, parts ...[]byte) []byte {
	m := append([]byte(label+what), 0)
	for _, p := range parts {
		m = append(m, p...)
	}
	return m
}

// Digest is that of a fragment's blocks; the last one may end with a SIG record, which does not count.
func Digest(blocks []e2ee.Block) [32]byte {
	var all []byte
	for _, b := range blocks {
		records := Split(b.Payload)
		if n := len(records); n > 0 && records[n-1].Kind == Sig {
			b.Payload = Join(records[:n-1]...)
		}
		hash := sha256.Sum256(b.Payload)
		all = append(all, b.Track, keyFlag(b.Key))
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(b.Payload))), hash[:]...)
	}
	return Sum("fragment", all)
}

func keyFlag(key bool) byte {
	if key {
		return 0x80
	}
	return 0
}
