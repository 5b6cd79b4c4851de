// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/arn"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// Bounds of grants (KMS Developer Guide, "Quotas", "Grant constraints").
const (
	maxGrants          = 50_000
	maxConstraintPairs = 8
	maxConstraintRunes = 384
)

// CreateGrant lets a principal use a key; it works from its return on. A caller who
// may create grants only through a grant can pass on no more than that one allows.
// With a Name, an identical grant is not made twice: its id comes back with a new token.
//
// Errors: InvalidArnException for principals; ValidationException for operations or
// constraints that do not suit the key; LimitExceededException; DisabledException and
// KMSInvalidStateException; NotFoundException; InvalidGrantTokenException;
// DryRunOperationException.
//
// Source: AWS KMS API Reference, CreateGrant; deviations in docs/compat/kms.md.
func (s *Service) CreateGrant(ctx context.Context, in *kmsapi.CreateGrantInput) (*kmsapi.CreateGrantOutput, error) {
	g := grantOf(in)
	k, err := s.keyFor(ctx, *in.KeyId, use{
		operation: "CreateGrant", byID: true, need: enabled, tokens: in.GrantTokens,
		context: g.constraintPairs(), extra: grantConditions(ctx, g),
		entitled: func(k *key, caller []string, source string) bool { return s.mayPassOn(k, caller, source, g) },
	})
	if err != nil {
		return nil, err
	}
	if err := g.check(k); err != nil {
		return nil, err
	}
	if isTrue(in.DryRun) {
		return nil, dryRun()
	}
	g.KeyID, g.ID = k.ID, hex.EncodeToString(randomSecret(32))
	err = s.mutate(ctx, func(now time.Time) (edit, error) {
		if _, err := s.again(k.ID, enabled, now); err != nil {
			return edit{}, err
		}
		if twin := s.twin(g); twin != nil {
			g = twin
			return edit{}, nil
		}
		if s.view.grantCount[k.ID] >= maxGrants {
			return edit{}, &kmsapi.LimitExceededException{}
		}
		g.Created = now
		return edit{grants: []grantRecord{*g}}, nil
	})
	if err != nil {
		return nil, err
	}
	return &kmsapi.CreateGrantOutput{GrantId: &g.ID, GrantToken: text(newGrantToken(g.ID))}, nil
}

func grantOf(in *kmsapi.CreateGrantInput) *grantRecord {
	g := &grantRecord{
		Version: recordVersion, Name: valueOr(in.Name, ""), Grantee: *in.GranteePrincipal, Retiring: valueOr(in.RetiringPrincipal, ""),
		Operations: slices.Compact(slices.Sorted(slices.Values(in.Operations))),
	}
	if c := in.Constraints; c != nil {
		g.Equals, g.SourceARN = c.EncryptionContextEquals, valueOr(c.SourceArn, "")
		if len(c.EncryptionContextSubset) > 0 {
			g.Subset = c.EncryptionContextSubset
		}
	}
	return g
}

// constraintPairs are the pairs that conditions on the encryption context see.
func (g *grantRecord) constraintPairs() map[string]string {
	all := map[string]string{}
	maps.Copy(all, g.Subset)
	maps.Copy(all, g.Equals)
	return all
}

// forService is the condition key that says whether a service calls on the caller's behalf.
func forService(ctx context.Context) map[string][]string {
	call, ok := access.FromContext(ctx)
	return map[string][]string{"kms:grantisforawsresource": {boolText(ok && len(call.Via) > 0)}}
}

func grantConditions(ctx context.Context, g *grantRecord) map[string][]string {
	c := forService(ctx)
	c["kms:grantoperations"], c["kms:granteeprincipal"] = g.Operations, []string{g.Grantee}
	if g.Retiring != "" {
		c["kms:retiringprincipal"] = []string{g.Retiring}
	}
	var kinds []string
	if g.Equals != nil {
		kinds = append(kinds, "EncryptionContextEquals")
	}
	if g.Subset != nil {
		kinds = append(kinds, "EncryptionContextSubset")
	}
	if g.SourceARN != "" {
		kinds = append(kinds, "SourceArn")
	}
	if kinds != nil {
		c["kms:grantconstrainttype"] = kinds
	}
	return c
}

// mayPassOn reports whether a grant of the caller lets it create g.
func (s *Service) mayPassOn(k *key, caller []string, source string, g *grantRecord) bool {
	for _, name := range caller {
		for _, own := range s.view.grantsOf(k.ID, name) {
			create := kmsapi.GrantOperationCreateGrant
			if slices.Contains(own.Operations, create) && own.serves(create, source) && own.covers(g) {
				return true
			}
		}
	}
	return false
}

// twin returns an identical grant of the same name, nil when there is none.
func (s *Service) twin(g *grantRecord) *grantRecord {
	if g.Name == "" {
		return nil
	}
	for _, o := range s.view.grantsOf(g.KeyID, g.Grantee) {
		if o.Name == g.Name && o.Retiring == g.Retiring && o.SourceARN == g.SourceARN && slices.Equal(o.Operations, g.Operations) &&
			maps.Equal(o.Equals, g.Equals) && maps.Equal(o.Subset, g.Subset) {
			return o
		}
	}
	return nil
}

// check refuses a grant that k cannot have.
func (g *grantRecord) check(k *key) error {
	if !isPrincipalARN(g.Grantee) || g.Retiring != "" && !isPrincipalARN(g.Retiring) {
		return &kmsapi.InvalidArnException{}
	}
	if g.SourceARN != "" && !isARN(g.SourceARN) {
		return &kmsapi.InvalidArnException{}
	}
	possible := grantOperations(k)
	if len(g.Operations) == 0 || slices.ContainsFunc(g.Operations, func(o string) bool { return !slices.Contains(possible, o) }) {
		return invalid("The grant operations must be valid for the KeyUsage and KeySpec of the KMS key.")
	}
	if (g.Equals != nil || g.Subset != nil) && !k.symmetric() {
		return invalid("Encryption context constraints are valid for symmetric encryption KMS keys alone.")
	}
	if g.Equals != nil && len(g.Equals) == 0 {
		return invalid("An EncryptionContextEquals constraint must not be empty.")
	}
	for _, pairs := range []map[string]string{g.Equals, g.Subset} {
		if len(pairs) > maxConstraintPairs {
			return invalid("A grant constraint has at most 8 encryption context pairs.")
		}
		for name, value := range pairs {
			if len([]rune(name)) > maxConstraintRunes || len([]rune(value)) > maxConstraintRunes {
				return invalid("A key or value of a grant constraint has at most 384 characters.")
			}
		}
	}
	return nil
}

func isARN(s string) bool {
	a, err := arn.Parse(s)
	return err == nil && a.Resource != "" && !strings.ContainsAny(s, "*?")
}

// isPrincipalARN reports whether s names an account, a user, a role, a role's session or a federated user.
func isPrincipalARN(s string) bool {
	a, err := arn.Parse(s)
	if err != nil || len(a.Account) != 12 {
		return false
	}
	kind, _ := a.Split()
	switch a.Service {
	case "iam":
		return a.Resource == "root" || kind == "user" || kind == "role"
	case "sts":
		return kind == "assumed-role" || kind == "federated-user"
	}
	return false
}

// grantOperations returns what can be granted on k.
//
// Source: KMS Developer Guide, "Grants in AWS KMS", "Grant operations".
func grantOperations(k *key) []string {
	operations := []string{kmsapi.GrantOperationCreateGrant, kmsapi.GrantOperationRetireGrant, kmsapi.GrantOperationDescribeKey}
	switch k.Usage {
	case kmsapi.KeyUsageTypeEncryptDecrypt:
		operations = append(operations, kmsapi.GrantOperationEncrypt, kmsapi.GrantOperationDecrypt,
			kmsapi.GrantOperationReEncryptFrom, kmsapi.GrantOperationReEncryptTo)
	case kmsapi.KeyUsageTypeSignVerify:
		operations = append(operations, kmsapi.GrantOperationSign, kmsapi.GrantOperationVerify)
	case kmsapi.KeyUsageTypeGenerateVerifyMac:
		return append(operations, kmsapi.GrantOperationGenerateMac, kmsapi.GrantOperationVerifyMac)
	case kmsapi.KeyUsageTypeKeyAgreement:
		operations = append(operations, kmsapi.GrantOperationDeriveSharedSecret)
	}
	if !k.symmetric() {
		return append(operations, kmsapi.GrantOperationGetPublicKey)
	}
	return append(operations, kmsapi.GrantOperationGenerateDataKey, kmsapi.GrantOperationGenerateDataKeyWithoutPlaintext,
		kmsapi.GrantOperationGenerateDataKeyPair, kmsapi.GrantOperationGenerateDataKeyPairWithoutPlaintext)
}

// ListGrants lists a key's grants by id, optionally those of one grantee or one id.
// Errors: InvalidMarkerException, InvalidGrantIdException, NotFoundException, InvalidArnException.
func (s *Service) ListGrants(ctx context.Context, in *kmsapi.ListGrantsInput) (*kmsapi.ListGrantsOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "ListGrants", byID: true, extra: forService(ctx)})
	if err != nil {
		return nil, err
	}
	if in.GrantId != nil && !isGrantID(*in.GrantId) {
		return nil, &kmsapi.InvalidGrantIdException{}
	}
	list := strings.Join([]string{"ListGrants", k.ID, valueOr(in.GranteePrincipal, ""), valueOr(in.GrantId, "")}, "|")
	entries, p, err := s.grantPage(list, in.Marker, in.Limit, func(g *grantRecord) bool {
		return g.KeyID == k.ID && g.Grantee == valueOr(in.GranteePrincipal, g.Grantee) && g.ID == valueOr(in.GrantId, g.ID)
	})
	if err != nil {
		return nil, err
	}
	return &kmsapi.ListGrantsOutput{Grants: entries, NextMarker: p.next, Truncated: p.truncated}, nil
}

// ListRetirableGrants lists the grants that a principal may retire, on whatever keys.
// It needs kms:ListRetirableGrants on "*". Errors: InvalidMarkerException, InvalidArnException.
func (s *Service) ListRetirableGrants(ctx context.Context, in *kmsapi.ListRetirableGrantsInput) (*kmsapi.ListRetirableGrantsOutput, error) {
	if err := s.decidePlain(ctx, "ListRetirableGrants", "*", nil); err != nil {
		return nil, err
	}
	if !isPrincipalARN(*in.RetiringPrincipal) {
		return nil, &kmsapi.InvalidArnException{}
	}
	now := s.cfg.Now()
	entries, p, err := s.grantPage("ListRetirableGrants|"+*in.RetiringPrincipal, in.Marker, in.Limit, func(g *grantRecord) bool {
		k := s.view.keys[g.KeyID]
		return g.Retiring == *in.RetiringPrincipal && k != nil && !k.gone(now)
	})
	if err != nil {
		return nil, err
	}
	return &kmsapi.ListRetirableGrantsOutput{Grants: entries, NextMarker: p.next, Truncated: p.truncated}, nil
}

// grantPage lists the grants that wanted picks; it is called with the view locked.
func (s *Service) grantPage(list string, marker *string, limit *int64, wanted func(*grantRecord) bool) ([]*kmsapi.GrantListEntry, page, error) {
	v := &s.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	var ids []string
	for id, g := range v.grants {
		if wanted(g) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	p, err := turn(list, ids, marker, limit, defaultPageFew)
	if err != nil {
		return nil, page{}, err
	}
	entries := []*kmsapi.GrantListEntry{}
	for _, id := range p.names {
		entries = append(entries, s.grantEntry(v.grants[id]))
	}
	return entries, p, nil
}

func (s *Service) grantEntry(g *grantRecord) *kmsapi.GrantListEntry {
	e := &kmsapi.GrantListEntry{
		KeyId: text(s.keyARN(g.KeyID)), GrantId: &g.ID, CreationDate: &g.Created, GranteePrincipal: &g.Grantee,
		IssuingAccount: text(s.accountRoot()), Operations: g.Operations,
	}
	if g.Name != "" {
		e.Name = &g.Name
	}
	if g.Retiring != "" {
		e.RetiringPrincipal = &g.Retiring
	}
	if g.Equals != nil || g.Subset != nil || g.SourceARN != "" {
		e.Constraints = &kmsapi.GrantConstraints{EncryptionContextEquals: g.Equals, EncryptionContextSubset: g.Subset}
		if g.SourceARN != "" {
			e.Constraints.SourceArn = &g.SourceARN
		}
	}
	return e
}

func isGrantID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// RevokeGrant ends a grant at once. It needs kms:RevokeGrant on the key.
// Errors: NotFoundException, InvalidGrantIdException, InvalidArnException, DryRunOperationException.
func (s *Service) RevokeGrant(ctx context.Context, in *kmsapi.RevokeGrantInput) (*kmsapi.RevokeGrantOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "RevokeGrant", byID: true, extra: forService(ctx)})
	if err != nil {
		return nil, err
	}
	return &kmsapi.RevokeGrantOutput{}, s.endGrant(ctx, k, *in.GrantId, isTrue(in.DryRun))
}

// RetireGrant ends a grant at the wish of its retiring principal, of its grantee when
// RetireGrant is among its operations, or of whoever has kms:RetireGrant on the key.
// The grant is named by a token, or by key and grant id.
// Errors: InvalidGrantTokenException, otherwise as RevokeGrant.
func (s *Service) RetireGrant(ctx context.Context, in *kmsapi.RetireGrantInput) (*kmsapi.RetireGrantOutput, error) {
	keyID, grantID := valueOr(in.KeyId, ""), valueOr(in.GrantId, "")
	if in.GrantToken != nil {
		g, err := s.tokenGrant(*in.GrantToken)
		if err != nil {
			access.Exempt(ctx) // it names no grant, so there is nothing to decide
			return nil, err
		}
		keyID, grantID = g.KeyID, g.ID
	} else if in.KeyId == nil || in.GrantId == nil {
		access.Exempt(ctx)
		return nil, invalid("Specify either a grant token or both a key ARN and a grant ID.")
	}
	k, err := s.keyFor(ctx, keyID, use{
		operation: "RetireGrant", byID: true,
		entitled: func(k *key, caller []string, _ string) bool { return s.mayRetire(k, caller, grantID) },
	})
	if err != nil {
		return nil, err
	}
	access.AddData(ctx, "grantId", grantID)
	return &kmsapi.RetireGrantOutput{}, s.endGrant(ctx, k, grantID, isTrue(in.DryRun))
}

func (s *Service) mayRetire(k *key, caller []string, grantID string) bool {
	g, ok := s.view.grant(grantID)
	if !ok || g.KeyID != k.ID {
		return false
	}
	return slices.Contains(caller, g.Retiring) ||
		slices.Contains(caller, g.Grantee) && slices.Contains(g.Operations, kmsapi.GrantOperationRetireGrant)
}

// endGrant removes a grant of k.
func (s *Service) endGrant(ctx context.Context, k *key, grantID string, dry bool) error {
	if !isGrantID(grantID) {
		return &kmsapi.InvalidGrantIdException{}
	}
	return s.mutate(ctx, func(time.Time) (edit, error) {
		g, ok := s.view.grant(grantID)
		switch {
		case !ok || g.KeyID != k.ID:
			return edit{}, notFound("Grant ID " + grantID + " not found")
		case dry:
			return edit{}, dryRun()
		}
		return edit{dropGrants: []*grantRecord{g}}, nil
	})
}
