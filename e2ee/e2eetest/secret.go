// SPDX-License-Identifier: Apache-2.0

package e2eetest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"

	"github.com/obscura-video/obscura/e2ee"
)

// Secret is a generation's secret and where it is of.
type Secret struct {
	Statement Statement
	Producer  e2ee.Fingerprint
	GS        []byte
}

func (s *Secret) chain() (commit, chain []byte) {
	salt := Sum("salt", s.Statement.Stream[:], s.Producer[:], s.Statement.Session[:], encode(s.Statement.Generation))
	prk, err := hkdf.Extract(sha256.New, s.GS, salt[:])
	if err != nil {
		panic("e2eetest: " + err.Error())
	}
	return expand(prk, "commit"), expand(prk, "chain")
}

// Commit makes the statement commit to GS. It must be signed anew.
func (s *Secret) Commit() {
	commit, _ := s.chain()
	s.Statement.Commit = [32]byte(commit)
}

// Epoch derives the secret of an epoch.
func (s *Secret) Epoch(n uint32) Epoch {
	_, chain := s.chain()
	for range n {
		chain = expand(chain, "next")
	}
	return expand(chain, "epoch")
}

func expand(secret []byte, what string) []byte {
	return expandWith(sha256.New, secret, label+what, 32)
}

func expandWith[H hash.Hash](h func() H, secret []byte, info string, n int) []byte {
	out, err := hkdf.Expand(h, secret, info, n)
	if err != nil {
		panic("e2eetest: " + err.Error())
	}
	return out
}

// Epoch is the secret of an epoch.
type Epoch []byte

// MAC authenticates a header under a statement.
func (e Epoch) MAC(s *Statement, h *Header) [16]byte {
	hash := sha256.Sum256(s.Bytes())
	m := hmac.New(sha256.New, expand(e, "header"))
	m.Write(hash[:])
	m.Write(h.Body())
	return [16]byte(m.Sum(nil)[:16])
}

// Place is what a sealed record is bound to beside its key.
type Place struct {
	HDR   []byte // the record's body
	Kind  byte
	Key   bool
	Track byte
}

func (p Place) metadata() []byte {
	hash := sha256.Sum256(p.HDR)
	return append(append([]byte("E2"), hash[:]...), p.Kind, keyFlag(p.Key), p.Track)
}

// cipher derives a track's key and salt: RFC 9605, section 4.4.2, of suite 0x0005.
func (e Epoch) cipher(track byte) (cipher.Block, []byte) {
	secret, err := hkdf.Extract(sha512.New, expand(e, "track"+string([]byte{track})), nil)
	if err != nil {
		panic("e2eetest: " + err.Error())
	}
	suffix := string(append(binary.BigEndian.AppendUint64(nil, uint64(track)), 0, 5))
	block, err := aes.NewCipher(expandWith(sha512.New, secret, "SFrame 1.0 Secret key "+suffix, 32))
	if err != nil {
		panic("e2eetest: " + err.Error())
	}
	return block, expandWith(sha512.New, secret, "SFrame 1.0 Secret salt "+suffix, 12)
}

func nonceOf(salt []byte, counter uint64) []byte {
	binary.BigEndian.PutUint64(salt[4:], binary.BigEndian.Uint64(salt[4:])^counter)
	return salt
}

// Seal makes an SFrame.
func (e Epoch) Seal(p Place, counter uint64, plain []byte) []byte {
	block, salt := e.cipher(p.Track)
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("e2eetest: " + err.Error())
	}
	head := sframeHeader(uint64(p.Track), counter)
	return gcm.Seal(head, nonceOf(salt, counter), plain, append(head[:len(head):len(head)], p.metadata()...))
}

// Believe decrypts an SFrame without asking whether it is authentic, as one does who trusts whoever delivered it. ok is false when
// it is too short to be one.
func (e Epoch) Believe(track byte, frame []byte) (plain []byte, ok bool) {
	counter, n := parseSFrameHeader(frame)
	if n == 0 || len(frame) < n+16 {
		return nil, false
	}
	block, salt := e.cipher(track)
	// GCM encrypts in counter mode, and its own counter is 2 for the first block.
	plain = make([]byte, len(frame)-n-16)
	cipher.NewCTR(block, append(nonceOf(salt, counter), 0, 0, 0, 2)).XORKeyStream(plain, frame[n:len(frame)-16])
	return plain, true
}

// sframeHeader writes RFC 9605, section 4.3.
func sframeHeader(id, counter uint64) []byte {
	return sframeField(sframeField([]byte{0}, id, 4), counter, 0)
}

func sframeField(b []byte, v uint64, shift int) []byte {
	if v < 8 {
		b[0] |= byte(v) << shift
		return b
	}
	n := 1
	for v>>(8*n) > 0 {
		n++
	}
	b[0] |= byte(8|(n-1)) << shift
	return append(b, binary.BigEndian.AppendUint64(nil, v)[8-n:]...)
}

// parseSFrameHeader returns the counter and the header's length; 0 when it is cut short.
func parseSFrameHeader(b []byte) (counter uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	n = 1
	for _, field := range []byte{b[0] >> 4, b[0] & 15} {
		counter = uint64(field)
		if field&8 == 0 {
			continue
		}
		size := int(field&7) + 1
		if len(b) < n+size {
			return 0, 0
		}
		counter = 0
		for _, x := range b[n : n+size] {
			counter = counter<<8 | uint64(x)
		}
		n += size
	}
	return counter, n
}

// hint is how a recipient finds its wrap.
func hint(to e2ee.Fingerprint, s *Statement) []byte {
	h := Sum("hint", to[:], s.Session[:], encode(s.Generation))
	return h[:hintBytes]
}

// Wrap is a recipient's entry of a key package.
func (s *Secret) Wrap(to e2ee.Fingerprint, public []byte) []byte {
	return append(hint(to, &s.Statement), seal(to, public, "wrap", s.Statement.Body(), s.GS)...)
}

// seal is wrap of the format document.
func seal(to e2ee.Fingerprint, public []byte, what string, context, plain []byte) []byte {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(public)
	if err != nil {
		panic("e2eetest: " + err.Error())
	}
	enc, sender, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), message(what, context))
	if err != nil {
		panic("e2eetest: " + err.Error())
	}
	sealed, err := sender.Seal(to[:], plain)
	if err != nil {
		panic("e2eetest: " + err.Error())
	}
	return append(enc, sealed...)
}

// GrantSecretBytes is the size of a grant's item for a whole generation: its statement's hash, 0, its secret.
const GrantSecretBytes = 32 + 1 + 32

// Grant makes a grant of items, as anybody can who knows the grantee's key.
func Grant(to e2ee.Grantee, stream e2ee.StreamID, items []byte) []byte {
	return seal(to.Fingerprint, to.Key, "grant", stream[:], append([]byte{1}, items...))
}

// Unwrap opens a recipient's entry in the key package of a fragment's first block, with the seed of its key. ok is false when there is none.
func Unwrap(block []byte, producer, self e2ee.Fingerprint, seed []byte) (*Secret, bool) {
	st, _, ok := HeaderOf(block)
	key, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if !ok || err != nil {
		return nil, false
	}
	for _, r := range Split(block) {
		for b := r.Body; r.Kind == Keys && len(b) >= wrapBytes; b = b[wrapBytes:] {
			if string(b[:hintBytes]) != string(hint(self, &st)) {
				continue
			}
			enc := b[hintBytes : hintBytes+encBytes]
			in, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.AES256GCM(), message("wrap", st.Body()))
			if err != nil {
				continue
			}
			if gs, err := in.Open(self[:], b[hintBytes+encBytes:wrapBytes]); err == nil {
				return &Secret{Statement: st, Producer: producer, GS: gs}, true
			}
		}
	}
	return nil, false
}
