// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
)

// label starts everything that is hashed, signed or derived, so that no value of one kind is ever taken for another.
const label = "kvs-e2ee/1 "

const (
	// SeedBytes is the size of a private key at rest: an Ed25519 seed (RFC 8032) or an X-Wing seed.
	SeedBytes = 32
	kemBytes  = 1216 // X-Wing public key: ML-KEM-768 (1184) ‖ X25519 (32)
	encBytes  = 1120 // X-Wing encapsulated key
	sigBytes  = ed25519.SignatureSize
)

// Role is what an identity is for. It is part of the fingerprint: a key never serves two roles.
type Role uint8

// The roles of a roster's members.
const (
	RoleOwner    Role = 1 // signs rosters
	RoleProducer Role = 2 // signs statements and fragments: a camera
	RoleConsumer Role = 3 // signs its own certificates: a viewing device
	RoleRecovery Role = 4 // an X-Wing key on paper; signs nothing
)

// String returns the role in a word.
func (r Role) String() string {
	switch r {
	case RoleOwner:
		return "owner"
	case RoleProducer:
		return "producer"
	case RoleConsumer:
		return "consumer"
	case RoleRecovery:
		return "recovery"
	default:
		return fmt.Sprintf("role %d", uint8(r))
	}
}

// Fingerprint names a public key in its role.
type Fingerprint [32]byte

// FingerprintOf hashes a public key: Ed25519 (32 bytes), or X-Wing (1216 bytes) for RoleRecovery.
func FingerprintOf(r Role, public []byte) Fingerprint {
	return sum("identity", []byte{byte(r), 0}, public)
}

// String shows the first 160 bits in eight groups of four letters of Crockford's base 32, for people to compare.
func (f Fingerprint) String() string { return groups(crockford.EncodeToString(f[:20])) }

// Short returns the first two groups: enough to tell devices apart, not to trust one.
func (f Fingerprint) Short() string { return f.String()[:9] }

// Identity is a signing key in its role. It is safe for concurrent use if its signer is.
type Identity struct {
	role   Role
	signer crypto.Signer
	public ed25519.PublicKey
	fp     Fingerprint
}

// NewIdentity makes an identity of an Ed25519 signer, which may live in a TPM or a token.
//
// Errors: ErrMisuse when the key is of another kind or the role does not sign.
func NewIdentity(r Role, s crypto.Signer) (*Identity, error) {
	pub, ok := s.Public().(ed25519.PublicKey)
	if !ok || r < RoleOwner || r > RoleConsumer {
		return nil, refuse(ErrMisuse, "identity: %v needs an Ed25519 key, not %T", r, s.Public())
	}
	return &Identity{role: r, signer: s, public: pub, fp: FingerprintOf(r, pub)}, nil
}

// IdentityFromSeed makes an identity of a 32-byte Ed25519 seed, as a KeyStore keeps it.
func IdentityFromSeed(r Role, seed []byte) (*Identity, error) {
	if len(seed) != SeedBytes {
		return nil, refuse(ErrMisuse, "identity: seed of %d bytes", len(seed))
	}
	return NewIdentity(r, ed25519.NewKeyFromSeed(seed))
}

// NewSeed returns 32 fresh random bytes, the private key of a new Identity or KEMKey.
func NewSeed() []byte {
	seed := make([]byte, SeedBytes)
	rand.Read(seed) // never fails
	return seed
}

// Role returns the identity's role.
func (id *Identity) Role() Role { return id.role }

// Public returns the Ed25519 public key. The caller must not change it.
func (id *Identity) Public() []byte { return id.public }

// Fingerprint names the identity.
func (id *Identity) Fingerprint() Fingerprint { return id.fp }

// sign signs label ‖ what ‖ 00 ‖ parts.
func (id *Identity) sign(what string, parts ...[]byte) ([]byte, error) {
	sig, err := id.signer.Sign(rand.Reader, message(what, parts...), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("e2ee: sign %s: %w", what, err)
	}
	if !verify(id.public, what, sig, parts...) {
		return nil, refuse(ErrMisuse, "sign %s: the signer gave a wrong signature", what)
	}
	return sig, nil
}

func verify(public []byte, what string, sig []byte, parts ...[]byte) bool {
	return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, message(what, parts...), sig)
}

func message(what string, parts ...[]byte) []byte {
	m := append([]byte(label+what), 0)
	for _, p := range parts {
		m = append(m, p...)
	}
	return m
}

// sum hashes label ‖ what ‖ 00 ‖ parts.
func sum(what string, parts ...[]byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(label + what + "\x00"))
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// KEMKey is an X-Wing private key (HPKE KEM 0x647a), known by its 32-byte seed. Safe for concurrent use.
//
// HPKE's DeriveKeyPair is not used: implementations disagree on it for this KEM.
type KEMKey struct {
	seed []byte
	key  hpke.PrivateKey
}

// NewKEMKey expands a seed. Errors: ErrMisuse when it is not 32 bytes long.
func NewKEMKey(seed []byte) (*KEMKey, error) {
	k, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil || len(seed) != SeedBytes {
		return nil, refuse(ErrMisuse, "key: seed of %d bytes", len(seed))
	}
	return &KEMKey{seed: append([]byte(nil), seed...), key: k}, nil
}

// Public returns the 1216-byte public key.
func (k *KEMKey) Public() []byte { return k.key.PublicKey().Bytes() }

// Fingerprint names the key as a recovery recipient.
func (k *KEMKey) Fingerprint() Fingerprint { return FingerprintOf(RoleRecovery, k.Public()) }

// wrap seals a small secret to a public key; unwrap opens it. what and context bind it to its purpose, to names the recipient.
func wrap(public []byte, to Fingerprint, what string, context, secret []byte) ([]byte, error) {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(public)
	if err != nil {
		return nil, refuse(ErrCertificate, "key of %s", to.Short())
	}
	enc, s, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), message(what, context))
	if err != nil {
		return nil, fmt.Errorf("e2ee: wrap for %s: %w", to.Short(), err)
	}
	ct, err := s.Seal(to[:], secret)
	return append(enc, ct...), err
}

func (k *KEMKey) unwrap(to Fingerprint, what string, context, sealed []byte) ([]byte, bool) {
	if len(sealed) < encBytes {
		return nil, false
	}
	r, err := hpke.NewRecipient(sealed[:encBytes], k.key, hpke.HKDFSHA256(), hpke.AES256GCM(), message(what, context))
	if err != nil {
		return nil, false
	}
	secret, err := r.Open(to[:], sealed[encBytes:])
	return secret, err == nil
}

// RecoveryText is the key as it is printed on the recovery kit: fourteen groups of four letters, the last ones a checksum.
func (k *KEMKey) RecoveryText() string {
	check := sum("recovery", k.seed)
	return groups(crockford.EncodeToString(append(append([]byte(nil), k.seed...), check[:3]...)))
}

// ParseRecoveryText reads what RecoveryText printed and somebody typed: case, blanks and dashes do not matter, and O, I and L
// are read as 0, 1 and 1. Errors: ErrFormat when a letter is wrong or missing.
func ParseRecoveryText(s string) (*KEMKey, error) {
	b, err := crockford.DecodeString(ungroup(s))
	if err != nil || len(b) != SeedBytes+3 {
		return nil, refuse(ErrFormat, "recovery text: needs 14 groups of 4 letters")
	}
	if check := sum("recovery", b[:SeedBytes]); string(check[:3]) != string(b[SeedBytes:]) {
		return nil, refuse(ErrFormat, "recovery text: a letter is wrong")
	}
	return NewKEMKey(b[:SeedBytes])
}

// crockford is Crockford's base 32: no I, L, O, U.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// groups puts a dash after every fourth letter.
func groups(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func ungroup(s string) string {
	return strings.NewReplacer("-", "", " ", "", "\n", "", "\r", "", "\t", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(s))
}
