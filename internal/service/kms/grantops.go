// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"cmp"
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
		entitled: func(k *key, caller []string, source string) (bool, error) {
			return s.mayPassOn(ctx, k, caller, source, g)
		},
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
		twin, err := s.twin(ctx, g)
		if twin != nil || err != nil {
			g = twin
			return edit{}, err
		}
		if n, err := s.countGrants(ctx, k.ID); err != nil || n >= maxGrants {
			return edit{}, cmp.Or(err, error(&kmsapi.LimitExceededException{}))
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
func (s *Service) mayPassOn(ctx context.Context, k *key, caller []string, source string, g *grantRecord) (bool, error) {
	for _, name := range caller {
		list, err := s.grantsOf(ctx, k.ID, name)
		if err != nil {
			return false, err
		}
		for _, own := range list {
			create := kmsapi.GrantOperationCreateGrant
			if slices.Contains(own.Operations, create) && own.serves(create, source) && own.covers(g) {
				return true, nil
			}
		}
	}
	return false, nil
}

// twin returns an identical grant of the same name, nil when there is none.
func (s *Service) twin(ctx context.Context, g *grantRecord) (*grantRecord, error) {
	if g.Name == "" {
		return nil, nil
	}
	list, err := s.grantsOf(ctx, g.KeyID, g.Grantee)
	for _, o := range list {
		if o.Name == g.Name && o.Retiring == g.Retiring && o.SourceARN == g.SourceARN && slices.Equal(o.Operations, g.Operations) &&
			maps.Equal(o.Equals, g.Equals) && maps.Equal(o.Subset, g.Subset) {
			return o, nil
		}
	}
	return nil, err
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
		g, err := s.tokenGrant(ctx, *in.GrantToken)
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
		entitled: func(k *key, caller []string, _ string) (bool, error) { return s.mayRetire(ctx, k, caller, grantID) },
	})
	if err != nil {
		return nil, err
	}
	access.AddData(ctx, "grantId", grantID)
	return &kmsapi.RetireGrantOutput{}, s.endGrant(ctx, k, grantID, isTrue(in.DryRun))
}

func (s *Service) mayRetire(ctx context.Context, k *key, caller []string, grantID string) (bool, error) {
	g, err := s.grant(ctx, k.ID, grantID)
	if g == nil || err != nil {
		return false, err
	}
	return slices.Contains(caller, g.Retiring) ||
		slices.Contains(caller, g.Grantee) && slices.Contains(g.Operations, kmsapi.GrantOperationRetireGrant), nil
}

// endGrant removes a grant of k.
func (s *Service) endGrant(ctx context.Context, k *key, grantID string, dry bool) error {
	if !isGrantID(grantID) {
		return &kmsapi.InvalidGrantIdException{}
	}
	return s.mutate(ctx, func(time.Time) (edit, error) {
		g, err := s.grant(ctx, k.ID, grantID)
		switch {
		case err != nil:
			return edit{}, err
		case g == nil:
			return edit{}, notFound("Grant ID " + grantID + " not found")
		case dry:
			return edit{}, dryRun()
		}
		return edit{dropGrants: []*grantRecord{g}}, nil
	})
}
