// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
)

const (
	formatVersion = 1
	suiteXWing    = 0x01 // HPKE 0x647a/0x0001/0x0002, SFrame 0x0005, Ed25519

	statementBody  = 104
	statementBytes = statementBody + sigBytes // 168
	headerBody     = 61
	macBytes       = 16
	headerBytes    = headerBody + macBytes // 77
)

// statement begins a generation: the producer signs that it chose this secret, under this roster.
type statement struct {
	stream        StreamID
	producer      [8]byte // first bytes of the fingerprint
	session       SessionID
	generation    uint32
	epochMillis   uint32
	start         int64 // ms since 1970: capture time of the generation's first fragment
	rosterVersion uint32
	rosterHash    [8]byte
	recipients    uint16
	commit        [32]byte

	raw  []byte // body ‖ signature
	hash [32]byte
}

func (s *statement) body() []byte {
	b := append(make([]byte, 0, statementBytes), formatVersion, suiteXWing)
	b = append(append(append(b, s.stream[:]...), s.producer[:]...), s.session[:]...)
	b = appendU32(appendU32(b, s.generation), s.epochMillis)
	b = appendU32(appendU64(b, uint64(s.start)), s.rosterVersion)
	b = appendU16(append(b, s.rosterHash[:]...), s.recipients)
	return append(b, s.commit[:]...)
}

func (s *statement) sign(id *Identity) error {
	body := s.body()
	sig, err := id.sign("statement", body)
	s.raw = append(body, sig...)
	s.hash = sha256.Sum256(s.raw)
	return err
}

// parseStatement checks form only. The result keeps a copy of b.
func parseStatement(b []byte) (*statement, error) {
	if len(b) != statementBytes {
		return nil, refuse(ErrFormat, "statement of %d bytes", len(b))
	}
	r := reader{b: b}
	if version, suite := r.u8(), r.u8(); version != formatVersion || suite != suiteXWing {
		return nil, refuse(ErrVersion, "version %d, suite %#x", version, suite)
	}
	s := &statement{raw: append([]byte(nil), b...), hash: sha256.Sum256(b)}
	r.fill(s.stream[:])
	r.fill(s.producer[:])
	r.fill(s.session[:])
	s.generation, s.epochMillis, s.start = r.u32(), r.u32(), int64(r.u64())
	s.rosterVersion = r.u32()
	r.fill(s.rosterHash[:])
	s.recipients = r.u16()
	r.fill(s.commit[:])
	return s, nil
}

func (s *statement) verify(public []byte) bool {
	return verify(public, "statement", s.raw[statementBody:], s.raw[:statementBody])
}

// Flags of a header.
const (
	flagSynced = 1 << 0 // the producer's clock was synchronised
)

// header places a fragment: signed with the fragment, and by its MAC authentic before the first frame is opened.
type header struct {
	flags    uint8
	epoch    uint32
	sequence uint64
	capture  int64 // ms since 1970
	keysAt   int64 // capture time of the last fragment with a key package
	previous [32]byte
	mac      [macBytes]byte
}

func (h *header) body() []byte {
	b := append(make([]byte, 0, headerBytes), h.flags)
	b = appendU64(appendU32(b, h.epoch), h.sequence)
	b = appendU64(appendU64(b, uint64(h.capture)), uint64(h.keysAt))
	return append(b, h.previous[:]...)
}

// parseHDR splits the body of an HDR record. The caller has yet to authenticate both.
func parseHDR(b []byte) (*statement, *header, error) {
	if len(b) != statementBytes+headerBytes {
		return nil, nil, refuse(ErrFormat, "fragment header of %d bytes", len(b))
	}
	s, err := parseStatement(b[:statementBytes])
	if err != nil {
		return nil, nil, err
	}
	r, h := reader{b: b[statementBytes:]}, &header{}
	h.flags, h.epoch, h.sequence = r.u8(), r.u32(), r.u64()
	h.capture, h.keysAt = int64(r.u64()), int64(r.u64())
	r.fill(h.previous[:])
	r.fill(h.mac[:])
	if h.epoch >= maxEpochs {
		return nil, nil, refuse(ErrFormat, "epoch %d", h.epoch)
	}
	return s, h, nil
}

// TagName is the name of the one tag that a sealed fragment carries. The tag tells tools that the fragment is sealed; nothing
// that matters is read from it.
const TagName = "E2EE"

// tagValue is "1." and the first 8 bytes of the statement's hash.
func tagValue(statementHash [32]byte) string {
	return "1." + base64.RawURLEncoding.EncodeToString(statementHash[:8])
}

// IsTag reports whether a fragment's tag says that it is sealed, in a version that this package opens.
func IsTag(name, value string) bool {
	v, ok := strings.CutPrefix(value, "1.")
	b, err := base64.RawURLEncoding.DecodeString(v)
	return name == TagName && ok && err == nil && len(b) == 8
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
