// SPDX-License-Identifier: Apache-2.0

package seal_test

import (
	"bytes"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/obscura-video/obscura/internal/seal"
)

func mustKey(t testing.TB, material []byte) *seal.Key {
	t.Helper()
	k, err := seal.NewKey(material)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Vectors of c2sp.org/XAES-256-GCM, "Test vectors": one for each value of MSB(L).
func TestPublishedVectors(t *testing.T) {
	nonce := [seal.NonceSize]byte([]byte("ABCDEFGHIJKLMNOPQRSTUVWX"))
	for _, v := range []struct {
		key  byte
		aad  string
		want string
	}{
		{0x01, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{0x03, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		k := mustKey(t, bytes.Repeat([]byte{v.key}, seal.KeySize))
		got, err := k.Seal(nil, &nonce, []byte("XAES-256-GCM"), []byte(v.aad))
		if err != nil || hex.EncodeToString(got) != v.want {
			t.Errorf("Seal = %x, %v, want %s", got, err, v.want)
		}
		plain, err := k.Open(nil, &nonce, got, []byte(v.aad))
		if err != nil || string(plain) != "XAES-256-GCM" {
			t.Errorf("Open = %q, %v", plain, err)
		}
	}
}

// The accumulated test of the same document: random inputs from SHAKE-128, all
// ciphertexts hashed.
func TestAccumulatedVectors(t *testing.T) {
	const iterations, want = 10_000, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
	rng, sum := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	variable := func() []byte {
		var n [1]byte
		rng.Read(n[:])
		b := make([]byte, n[0])
		rng.Read(b)
		return b
	}
	for range iterations {
		material := make([]byte, seal.KeySize)
		var nonce [seal.NonceSize]byte
		rng.Read(material)
		rng.Read(nonce[:])
		plaintext, aad := variable(), variable()
		k := mustKey(t, material)
		sealed, err := k.Seal(nil, &nonce, plaintext, aad)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(sealed)
		if got, err := k.Open(nil, &nonce, sealed, aad); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("Open = %x, %v, want %x", got, err, plaintext)
		}
	}
	got := make([]byte, 32)
	sum.Read(got)
	if hex.EncodeToString(got) != want {
		t.Errorf("hash of %d messages = %x, want %s", iterations, got, want)
	}
}

func TestOpenRefusesEveryAlteredByte(t *testing.T) {
	k := mustKey(t, make([]byte, seal.KeySize))
	sealed, _ := k.SealRandom(nil, []byte("twelve bytes"), []byte("aad"))
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		if _, err := k.OpenRandom(nil, altered, []byte("aad")); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("byte %d altered: %v, want ErrOpen", i, err)
		}
	}
	for n := range sealed {
		if _, err := k.OpenRandom(nil, sealed[:n], []byte("aad")); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("cut to %d bytes: %v, want ErrOpen", n, err)
		}
	}
	if _, err := k.OpenRandom(nil, sealed, []byte("AAD")); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("other additional data: %v, want ErrOpen", err)
	}
}

func TestSealAndOpenInPlace(t *testing.T) {
	k := mustKey(t, make([]byte, seal.KeySize))
	var nonce [seal.NonceSize]byte
	buf := append(make([]byte, 0, 100), "in place"...)
	sealed, err := k.Seal(buf[:0], &nonce, buf, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := k.Open(sealed[:0], &nonce, sealed, nil)
	if err != nil || string(plain) != "in place" {
		t.Errorf("opened %q, %v", plain, err)
	}
}

func TestDestroyedKeyDoesNothing(t *testing.T) {
	k := mustKey(t, make([]byte, seal.KeySize))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if _, err := k.SealRandom(nil, nil, nil); err != nil {
					if !errors.Is(err, seal.ErrDestroyed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	k.Destroy()
	wg.Wait()
	if _, err := k.OpenRandom(nil, make([]byte, 40), nil); !errors.Is(err, seal.ErrDestroyed) {
		t.Errorf("OpenRandom after Destroy: %v", err)
	}
}

func TestNewKeyRefusesOtherSizes(t *testing.T) {
	for _, n := range []int{0, 16, 24, 31, 33} {
		if _, err := seal.NewKey(make([]byte, n)); err == nil {
			t.Errorf("key of %d bytes accepted", n)
		}
	}
}

type frameVector struct {
	Key, Session, Plaintext, AAD, Nonce, Sealed string
	Counter                                     uint64
	Index, Epoch                                uint32
}

// The vectors that docs/formats/sealed-frame.md points to.
func TestFrameVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/frame.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []frameVector
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i, v := range vectors {
		nonce := seal.FrameNonce(v.Counter, v.Index, [8]byte(unhex(v.Session)), v.Epoch)
		if hex.EncodeToString(nonce[:]) != v.Nonce {
			t.Errorf("vector %d: nonce %x, want %s", i, nonce, v.Nonce)
		}
		got, err := mustKey(t, unhex(v.Key)).Seal(nil, &nonce, unhex(v.Plaintext), unhex(v.AAD))
		if err != nil || hex.EncodeToString(got) != v.Sealed {
			t.Errorf("vector %d: sealed %x, %v, want %s", i, got, err, v.Sealed)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{1 << 10, 20 << 10, 512 << 10} {
		b.Run(byteSize(size), func(b *testing.B) {
			k := mustKey(b, make([]byte, seal.KeySize))
			src, dst := make([]byte, size), make([]byte, 0, size+seal.Overhead)
			aad := make([]byte, 64)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := range b.N {
				nonce := seal.FrameNonce(uint64(i), 0, [8]byte{}, 1)
				k.Seal(dst, &nonce, src, aad)
			}
		})
	}
}

func BenchmarkOpen20K(b *testing.B) {
	k := mustKey(b, make([]byte, seal.KeySize))
	var nonce [seal.NonceSize]byte
	sealed, _ := k.Seal(nil, &nonce, make([]byte, 20<<10), nil)
	dst := make([]byte, 0, 20<<10)
	b.SetBytes(20 << 10)
	b.ReportAllocs()
	for b.Loop() {
		k.Open(dst, &nonce, sealed, nil)
	}
}

func byteSize(n int) string {
	return map[int]string{1 << 10: "1K", 20 << 10: "20K", 512 << 10: "512K"}[n]
}
