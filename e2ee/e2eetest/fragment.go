// SPDX-License-Identifier: Apache-2.0

package e2eetest

import (
	"crypto/ed25519"
	"encoding/binary"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Fragment is one to be made, by whoever has a generation's secret.
type Fragment struct {
	Secret   *Secret
	Header   Header // the MAC is made anew
	Keys     []byte // key package; nil for none
	Before   []byte // plaintext of PREVIOUS; nil for none
	Tracks   []e2ee.Track
	Samples  []e2ee.Sample
	Metadata []e2ee.Metadata // before the first sample
	End      bool
	Signer   ed25519.PrivateKey // nil: a signature of zeros
	Counter  uint64             // of the first record of each track
}

// Blocks seals the fragment.
func (f *Fragment) Blocks() []e2ee.Block {
	epoch := f.Secret.Epoch(f.Header.Epoch)
	f.Header.MAC = epoch.MAC(&f.Secret.Statement, &f.Header)
	hdr := append(f.Secret.Statement.Bytes(), f.Header.Bytes()...)
	next := map[byte]uint64{}
	seal := func(kind byte, key bool, track byte, plain []byte) Record {
		n := next[track]
		next[track]++
		return Record{kind, epoch.Seal(Place{hdr, kind, key, track}, f.Counter+n, plain)}
	}
	front := []Record{{HDR, hdr}}
	if f.Keys != nil {
		front = append(front, Record{Keys, f.Keys})
	}
	if f.Before != nil {
		front = append(front, seal(Previous, false, 0, f.Before))
	}
	front = append(front, seal(Config, false, 0, encodeTracks(f.Tracks)))
	for _, m := range f.Metadata {
		front = append(front, seal(Meta, false, 0, append(short(m.Name), m.Value...)))
	}
	var blocks []e2ee.Block
	for _, s := range f.Samples {
		records := append(front, seal(Frame, s.Key, s.Track, encodeSample(&s, f.Header.Capture)))
		blocks = append(blocks, e2ee.Block{Track: s.Track, Key: s.Key, Time: s.Time, Payload: Join(records...)})
		front = nil
	}
	return append(blocks, f.closing(front, blocks))
}

// closing is the last block.
func (f *Fragment) closing(front []Record, before []e2ee.Block) e2ee.Block {
	last := e2ee.Block{Track: f.Tracks[0].Number, Time: time.UnixMilli(f.Header.Capture)}
	if n := len(before); n > 0 {
		last.Time = before[n-1].Time
	}
	if f.End {
		front = append(front, Record{End, nil})
	}
	last.Payload = Join(front...)
	signature := make([]byte, ed25519.SignatureSize)
	if f.Signer != nil {
		d := Digest(append(before[:len(before):len(before)], last))
		signature = Sign(f.Signer, "signature", d[:])
	}
	last.Payload = append(last.Payload, Join(Record{Sig, signature})...)
	return last
}

func encodeSample(s *e2ee.Sample, capture int64) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(int32(s.Time.Sub(time.UnixMilli(capture)).Microseconds())))
	return append(binary.BigEndian.AppendUint32(b, uint32(s.Duration.Microseconds())), s.Data...)
}

// SampleOf reads the plaintext of a FRAME. ok is false when it is too short.
func SampleOf(plain []byte, capture int64) (s e2ee.Sample, ok bool) {
	if len(plain) < 8 {
		return s, false
	}
	offset := int32(binary.BigEndian.Uint32(plain))
	s.Time = time.UnixMilli(capture).Add(time.Duration(offset) * time.Microsecond)
	s.Duration = time.Duration(binary.BigEndian.Uint32(plain[4:])) * time.Microsecond
	s.Data = plain[8:]
	return s, true
}

func short(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func encodeTracks(tracks []e2ee.Track) []byte {
	b := []byte{byte(len(tracks))}
	for _, t := range tracks {
		b = append(append(b, t.Number), short(t.Codec)...)
		n := len(t.CodecPrivate)
		b = append(append(b, byte(n>>16), byte(n>>8), byte(n)), t.CodecPrivate...)
		b = binary.BigEndian.AppendUint32(b, t.Width)
		b = binary.BigEndian.AppendUint32(b, t.Height)
		b = binary.BigEndian.AppendUint32(b, t.SampleRate)
		b = append(append(append(b, t.Channels), short(t.Name)...), short(t.Language)...)
	}
	return b
}
