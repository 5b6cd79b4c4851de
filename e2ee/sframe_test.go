// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSFrameVector is the vector of RFC 9605, appendix C.2.4, for suite 0x0005.
func TestSFrameVector(t *testing.T) {
	k, err := newFrameKey(unhex(t, "000102030405060708090a0b0c0d0e0f"), 0x123)
	if err != nil {
		t.Fatal(err)
	}
	metadata, plain := []byte("IETF SFrame WG"), []byte("draft-ietf-sframe-enc")
	want := unhex(t, "990123456794f509d36e9beacb0e261d99c7d1e972f1fed787d4049f17ca21353c1cc24d56ceabced279")
	if k.salt != [12]byte(unhex(t, "84991c167b8cd23c93708ec7")) || !bytes.Equal(k.nonce(0x4567), unhex(t, "84991c167b8cd23c9370cba0")) {
		t.Errorf("salt %x, nonce %x", k.salt, k.nonce(0x4567))
	}
	if got := k.seal(nil, 0x4567, metadata, plain[:5], plain[5:]); !bytes.Equal(got, want) {
		t.Errorf("sealed\n%x, want\n%x", got, want)
	}
	if ctr, got, ok := k.open(want, metadata); !ok || ctr != 0x4567 || !bytes.Equal(got, plain) {
		t.Errorf("opened %d %q %v", ctr, got, ok)
	}
	for i := range want {
		bad := bytes.Clone(want)
		bad[i] ^= 1
		if _, _, ok := k.open(bad, metadata); ok {
			t.Errorf("byte %d changed, yet it opens", i)
		}
	}
}

// TestSFrameHeader has vectors of RFC 9605, appendix C.1.
func TestSFrameHeader(t *testing.T) {
	for _, v := range []struct {
		id, ctr uint64
		want    string
	}{
		{0, 0, "00"},
		{0, 255, "08ff"},
		{0, 256, "090100"},
		{1, 1, "11"},
		{1, 65536, "1a010000"},
		{255, 1, "81ff"},
		{256, 256, "9901000100"},
		{65535, 1<<32 - 1, "9bffffffffffff"},
		{1 << 24, 1<<64 - 1, "bf01000000ffffffffffffffff"},
	} {
		got := appendSFrameHeader(nil, v.id, v.ctr)
		if hex.EncodeToString(got) != v.want {
			t.Errorf("%d %d: %x, want %s", v.id, v.ctr, got, v.want)
		}
		if id, ctr, n := parseSFrameHeader(append(got, 0xaa)); id != v.id || ctr != v.ctr || n != len(got) {
			t.Errorf("%s parsed as %d %d, %d bytes", v.want, id, ctr, n)
		}
	}
	for _, bad := range []string{"", "08", "0807", "090001", "80", "9f00000000"} {
		if _, _, n := parseSFrameHeader(unhex(t, bad)); n != 0 {
			t.Errorf("%q accepted", bad)
		}
	}
}

func FuzzSFrameHeader(f *testing.F) {
	f.Add([]byte{0x99, 1, 0x23, 0x45, 0x67})
	f.Add([]byte{0x08, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, ctr, n := parseSFrameHeader(b)
		if n > 0 && !bytes.Equal(appendSFrameHeader(nil, id, ctr), b[:n]) {
			t.Fatalf("%x is not how %d %d is written", b[:n], id, ctr)
		}
	})
}
