// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"hash"
	"slices"
	"strconv"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

const (
	importTokenLabel = "obscura/kms/import-token/v1"
	importWindow     = 24 * time.Hour
	// maxValidTo is how far ahead imported material may expire (API Reference, ImportKeyMaterial).
	maxValidTo = 365 * 24 * time.Hour
)

// wrappings are the algorithms that protect material on its way here: OAEP's hash, and whether an AES key lies
// between (RSA_AES_KEY_WRAP).
var wrappings = map[string]struct {
	hash func() hash.Hash
	aes  bool
}{
	kmsapi.AlgorithmSpecRsaesOaepSha1:       {sha1.New, false},
	kmsapi.AlgorithmSpecRsaesOaepSha256:     {sha256.New, false},
	kmsapi.AlgorithmSpecRsaAesKeyWrapSha1:   {sha1.New, true},
	kmsapi.AlgorithmSpecRsaAesKeyWrapSha256: {sha256.New, true},
}

var wrappingBits = map[string]int{
	kmsapi.WrappingKeySpecRsa2048: 2048, kmsapi.WrappingKeySpecRsa3072: 3072, kmsapi.WrappingKeySpecRsa4096: 4096,
}

// importToken is what an ImportToken holds, wrapped under the root key with the KMS key's id: nothing is kept here
// between the two calls.
type importToken struct {
	Algorithm string    `json:"alg"`
	ValidTo   time.Time `json:"validTo"`
	Private   []byte    `json:"private"` // PKCS #8 of the wrapping key
}

// importContext binds a token to its key; a multi-Region key in another Region than the home Region is another one.
func (s *Service) importContext(keyID string) []byte {
	c := importTokenLabel + "\x00" + keyID
	if s.rows.region != "" {
		c += "\x00" + s.rows.region
	}
	return []byte(c)
}

// external returns the error of an operation that is for imported material alone.
func (k *key) external() error {
	if k.origin() == kmsapi.OriginTypeExternal {
		return nil
	}
	return unsupported(k.arn + " origin is " + k.origin() + " which is not valid for this operation.")
}

// GetParametersForImport returns an RSA public key to wrap key material with, and a token for ImportKeyMaterial. Both
// are good for 24 hours and for this KMS key alone, until the root key is rotated.
//
// Errors: UnsupportedOperationException for keys that are not EXTERNAL, and for wrappings that are retired or of other
// Regions; ValidationException for a wrapping that the material is too long for; KMSInvalidStateException;
// NotFoundException; InvalidArnException.
//
// Source: AWS KMS API Reference, GetParametersForImport; deviations in docs/compat/kms.md.
func (s *Service) GetParametersForImport(ctx context.Context, in *kmsapi.GetParametersForImportInput) (*kmsapi.GetParametersForImportOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{
		operation: "GetParametersForImport", byID: true, need: notPending,
		extra: map[string][]string{"kms:wrappingalgorithm": {*in.WrappingAlgorithm}, "kms:wrappingkeyspec": {*in.WrappingKeySpec}},
	})
	if err != nil {
		return nil, err
	}
	if err := k.external(); err != nil {
		return nil, err
	}
	wrapping, known := wrappings[*in.WrappingAlgorithm]
	bits, sized := wrappingBits[*in.WrappingKeySpec]
	switch {
	case !known || !sized:
		return nil, unsupported("")
	case !wrapping.aes && rsaSpec(k.Spec):
		return nil, invalid("WrappingAlgorithm " + *in.WrappingAlgorithm + " cannot wrap key material of " + k.Spec + ".")
	}
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	validTo := s.cfg.Now().UTC().Add(importWindow)
	token, err := s.sealToken(ctx, k.ID, *in.WrappingAlgorithm, validTo, private)
	if err != nil {
		return nil, err
	}
	return &kmsapi.GetParametersForImportOutput{KeyId: &k.arn, ImportToken: token, PublicKey: public, ParametersValidTo: &validTo}, nil
}

func rsaSpec(spec string) bool {
	return spec == kmsapi.KeySpecRsa2048 || spec == kmsapi.KeySpecRsa3072 || spec == kmsapi.KeySpecRsa4096
}

func (s *Service) sealToken(ctx context.Context, keyID, algorithm string, validTo time.Time, private *rsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	plain, err := json.Marshal(importToken{algorithm, validTo, der})
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return s.cfg.Root.Wrap(ctx, plain, s.importContext(keyID))
}

// openToken returns the wrapping key. Errors: InvalidImportTokenException, ExpiredImportTokenException.
func (s *Service) openToken(ctx context.Context, keyID string, token []byte) (*rsa.PrivateKey, string, error) {
	plain, err := s.cfg.Root.Unwrap(ctx, token, s.importContext(keyID))
	if err != nil {
		return nil, "", &kmsapi.InvalidImportTokenException{}
	}
	defer clear(plain)
	var t importToken
	if err := json.Unmarshal(plain, &t); err != nil {
		return nil, "", &kmsapi.InvalidImportTokenException{}
	}
	defer clear(t.Private)
	if !s.cfg.Now().Before(t.ValidTo) {
		return nil, "", &kmsapi.ExpiredImportTokenException{}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(t.Private)
	private, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, "", &kmsapi.InvalidImportTokenException{}
	}
	return private, t.Algorithm, nil
}

// ImportKeyMaterial gives an EXTERNAL key its material: the first one, one that was there before and was deleted or
// has expired (the very same bytes), or with NEW_KEY_MATERIAL, for a symmetric key, one that RotateKeyOnDemand will
// make current. The key is enabled when none of its materials lacks any more.
//
// Errors: UnsupportedOperationException for keys that are not EXTERNAL; ValidationException; InvalidImportTokenException;
// ExpiredImportTokenException; InvalidCiphertextException for what does not unwrap or is no material for the key's
// spec; IncorrectKeyMaterialException for other bytes than before; KMSInvalidStateException, also while another material
// is pending rotation; NotFoundException; InvalidArnException.
//
// Source: AWS KMS API Reference, ImportKeyMaterial; deviations in docs/compat/kms.md.
func (s *Service) ImportKeyMaterial(ctx context.Context, in *kmsapi.ImportKeyMaterialInput) (*kmsapi.ImportKeyMaterialOutput, error) {
	model := valueOr(in.ExpirationModel, kmsapi.ExpirationModelTypeKeyMaterialExpires)
	conditions := map[string][]string{"kms:expirationmodel": {model}}
	if in.ValidTo != nil {
		conditions["kms:validto"] = []string{in.ValidTo.UTC().Format(time.RFC3339)}
	}
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "ImportKeyMaterial", byID: true, need: notPending, extra: conditions})
	if err != nil {
		return nil, err
	}
	if err := k.external(); err != nil {
		return nil, err
	}
	if err := checkExpiration(model, in.ValidTo, s.cfg.Now()); err != nil {
		return nil, err
	}
	secret, err := s.unwrapImport(ctx, k, in)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	fresh := newMaterial(k.ID, secret)
	if in.KeyMaterialId != nil && *in.KeyMaterialId != fresh.id {
		return nil, &kmsapi.IncorrectKeyMaterialException{}
	}
	m := materialRecord{ID: fresh.id, Description: valueOr(in.KeyMaterialDescription, ""), Imported: true}
	if in.ValidTo != nil {
		m.ValidTo = in.ValidTo.UTC()
	}
	err = s.mutate(ctx, func(now time.Time) (edit, error) {
		k, err := s.again(k.ID, notPending, now)
		if err != nil {
			return edit{}, err
		}
		r := k.record
		r.Materials = slices.Clone(r.Materials)
		m.Created = now
		if err := r.importMaterial(k, m, valueOr(in.ImportType, "")); err != nil {
			return edit{}, err
		}
		return edit{keys: []record{r}, materials: []material{fresh}}, nil
	})
	if err != nil {
		return nil, err
	}
	return &kmsapi.ImportKeyMaterialOutput{KeyId: &k.arn, KeyMaterialId: &fresh.id}, nil
}

func checkExpiration(model string, validTo *time.Time, now time.Time) error {
	switch expires := model == kmsapi.ExpirationModelTypeKeyMaterialExpires; {
	case expires && validTo == nil:
		return invalid("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
	case !expires && validTo != nil:
		return invalid("A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")
	case expires && (!validTo.After(now) || validTo.Sub(now) > maxValidTo):
		return invalid("The validTo date must be in the future and at most 365 days ahead.")
	}
	return nil
}

// unwrapImport returns the material that a request brings, in the form in which it is stored.
func (s *Service) unwrapImport(ctx context.Context, k *key, in *kmsapi.ImportKeyMaterialInput) ([]byte, error) {
	private, algorithm, err := s.openToken(ctx, k.ID, in.ImportToken)
	if err != nil {
		return nil, err
	}
	plain, ok := unwrapTransport(private, algorithm, in.EncryptedKeyMaterial)
	defer clear(plain)
	if !ok {
		return nil, &kmsapi.InvalidCiphertextException{}
	}
	secret, ok := specs[k.Spec].take(plain)
	if !ok {
		return nil, &kmsapi.InvalidCiphertextException{}
	}
	return secret, nil
}

func unwrapTransport(private *rsa.PrivateKey, algorithm string, wrapped []byte) ([]byte, bool) {
	w, ok := wrappings[algorithm]
	if !ok {
		return nil, false
	}
	if !w.aes {
		plain, err := rsa.DecryptOAEP(w.hash(), nil, private, wrapped, nil)
		return plain, err == nil
	}
	n := private.Size()
	if len(wrapped) <= n {
		return nil, false
	}
	kek, err := rsa.DecryptOAEP(w.hash(), nil, private, wrapped[:n], nil)
	defer clear(kek)
	if err != nil || len(kek) != symmetricBytes {
		return nil, false
	}
	return unwrapPadded(kek, wrapped[n:])
}

// importMaterial puts m into its place.
func (r *record) importMaterial(k *key, m materialRecord, how string) error {
	if how == "" {
		how = kmsapi.ImportTypeExistingKeyMaterial
		if len(r.Materials) == 0 {
			how = kmsapi.ImportTypeNewKeyMaterial
		}
	}
	at := slices.IndexFunc(r.Materials, func(o materialRecord) bool { return o.ID == m.ID })
	pending := r.Pending != nil && r.Pending.ID == m.ID
	existing := how == kmsapi.ImportTypeExistingKeyMaterial
	switch {
	case !existing && r.Replica: // new material comes from the primary key
		return k.mustBePrimary()
	case existing && at >= 0:
		r.Materials[at].renew(m)
	case pending: // its expiration, say, is put right
		p := *r.Pending
		p.renew(m)
		r.Pending = &p
	case existing || at >= 0:
		return &kmsapi.IncorrectKeyMaterialException{}
	case len(r.Materials) == 0:
		r.Materials = []materialRecord{m}
	case !k.symmetric():
		return &kmsapi.IncorrectKeyMaterialException{}
	case r.Pending != nil:
		return invalidState("New key material (id: " + m.ID + ") cannot be imported into KMS key " + k.arn +
			", because another key material (id: " + r.Pending.ID + ") is pending rotation.")
	default:
		r.Pending = &m
	}
	if r.State == kmsapi.KeyStatePendingImport && r.complete() {
		r.State = kmsapi.KeyStateEnabled
	}
	return nil
}

// renew makes m, which was imported before, as it was imported last.
func (m *materialRecord) renew(last materialRecord) {
	m.Missing, m.ValidTo = false, last.ValidTo
	if last.Description != "" {
		m.Description = last.Description
	}
}

// complete reports whether the key has all of its material.
func (r *record) complete() bool {
	return len(r.Materials) > 0 && !slices.ContainsFunc(r.Materials, func(m materialRecord) bool { return m.Missing })
}

// expires reports whether any material of the key does.
func (r *record) expires() bool {
	return r.External && (r.Pending != nil && !r.Pending.ValidTo.IsZero() ||
		slices.ContainsFunc(r.Materials, func(m materialRecord) bool { return !m.Missing && !m.ValidTo.IsZero() }))
}

// expired returns the materials whose time is over, those pending rotation too.
func (r *record) expired(now time.Time) (ids []string) {
	for _, m := range r.Materials {
		if m.over(now) {
			ids = append(ids, m.ID)
		}
	}
	if r.Pending != nil && r.Pending.over(now) {
		ids = append(ids, r.Pending.ID)
	}
	return ids
}

func (m *materialRecord) over(now time.Time) bool {
	return !m.Missing && !m.ValidTo.IsZero() && !now.Before(m.ValidTo)
}

// lose marks a material as not there; a key without one of its materials waits for its import. One that is pending
// rotation is forgotten, or by a replica, whose primary key has it, waited for.
func (r *record) lose(id string) {
	if r.Pending != nil && r.Pending.ID == id {
		p := *r.Pending
		r.Pending = nil
		if r.Replica {
			p.Missing = true
			r.Pending = &p
		}
		return
	}
	r.Materials = slices.Clone(r.Materials)
	for i := range r.Materials {
		if r.Materials[i].ID == id {
			r.Materials[i].Missing = true
		}
	}
	if r.State != kmsapi.KeyStatePendingDeletion && r.State != kmsapi.KeyStatePendingReplicaDeletion {
		r.State = kmsapi.KeyStatePendingImport
	}
}

// DeleteImportedKeyMaterial destroys a material, by default the current one. What it sealed opens again when the same
// bytes are imported. It changes nothing where there is none.
//
// Errors: UnsupportedOperationException for keys that are not EXTERNAL; ValidationException for another material's id;
// NotFoundException; InvalidArnException.
func (s *Service) DeleteImportedKeyMaterial(ctx context.Context, in *kmsapi.DeleteImportedKeyMaterialInput) (*kmsapi.DeleteImportedKeyMaterialOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "DeleteImportedKeyMaterial", byID: true})
	if err != nil {
		return nil, err
	}
	if err := k.external(); err != nil {
		return nil, err
	}
	id := in.KeyMaterialId
	if id == nil && len(k.Materials) > 0 {
		id = text(k.material().ID)
	}
	out := &kmsapi.DeleteImportedKeyMaterialOutput{KeyId: &k.arn, KeyMaterialId: id}
	if id == nil {
		return out, nil
	}
	err = s.mutate(ctx, func(now time.Time) (edit, error) {
		k, err := s.again(k.ID, anyState, now)
		if err != nil {
			return edit{}, err
		}
		if !k.hasMaterial(*id) && (k.Pending == nil || k.Pending.ID != *id) {
			return edit{}, invalid("Key material " + strconv.Quote(*id) + " is not of key " + k.arn + ".")
		}
		r := k.record
		r.lose(*id)
		return edit{keys: []record{r}, dropMaterials: []materialRef{{k.ID, *id}}}, nil
	})
	return out, err
}

// expire destroys imported material whose time is over. Until it is called the keys are already without it.
func (s *Service) expire(ctx context.Context, now time.Time) error {
	for _, k := range s.view.expiring(now) {
		e := edit{}
		r := k.record
		for _, id := range r.expired(now) {
			r.lose(id)
			e.dropMaterials = append(e.dropMaterials, materialRef{k.ID, id})
		}
		e.keys = []record{r}
		if err := s.commit(ctx, e); err != nil {
			return err
		}
		s.happened(ctx, "DeleteExpiredKeyMaterial", k)
	}
	return nil
}

// expiring returns the keys with material whose time is over, as they are stored.
func (v *view) expiring(now time.Time) (keys []*key) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, k := range v.keys.imported {
		if len(k.expired(now)) > 0 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b *key) int { return a.Created.Compare(b.Created) })
	return keys
}

// at returns the key as it is at that moment: without the material whose time is over.
func (k *key) at(now time.Time) *key {
	ids := k.expired(now)
	if len(ids) == 0 {
		return k
	}
	later := *k
	for _, id := range ids {
		later.lose(id)
	}
	return &later
}
