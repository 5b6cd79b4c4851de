// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// Quotas and bounds (KMS Developer Guide, "Quotas"; API Reference, ScheduleKeyDeletion).
const (
	maxKeys           = 100_000
	minWindowDays     = 7
	maxWindowDays     = 30
	defaultWindowDays = 30
)

// CreateKey makes a key with new material. It needs kms:CreateKey on "*", and
// kms:TagResource when tags are given.
//
// Errors: MalformedPolicyDocumentException, also for a policy that would lock the
// caller out; TagException; LimitExceededException; UnsupportedOperationException
// for origins, custom key stores and specs that this server does not have;
// ValidationException. The key is durable on return.
//
// Source: AWS KMS API Reference, CreateKey; deviations in docs/compat/kms.md.
func (s *Service) CreateKey(ctx context.Context, in *kmsapi.CreateKeyInput) (*kmsapi.CreateKeyOutput, error) {
	if err := s.decideCreate(ctx, in); err != nil {
		return nil, err
	}
	r, err := s.newRecord(ctx, in)
	if err != nil {
		return nil, err
	}
	var fresh []material
	if !r.External {
		secret, err := specs[r.Spec].generate()
		if err != nil {
			return nil, err
		}
		defer clear(secret)
		fresh = []material{newMaterial(r.ID, secret)}
		r.Materials = []materialRecord{{ID: fresh[0].id, Created: r.Created}}
	}
	err = s.mutate(ctx, func(time.Time) (edit, error) {
		if len(s.view.keys.names) >= maxKeys {
			return edit{}, &kmsapi.LimitExceededException{}
		}
		return edit{keys: []record{r}, materials: fresh}, nil
	})
	if err != nil {
		return nil, err
	}
	k, err := s.again(r.ID, anyState, r.Created)
	if err != nil {
		return nil, err
	}
	access.AddResource(ctx, k.arn, resourceType)
	return &kmsapi.CreateKeyOutput{KeyMetadata: s.metadata(k)}, nil
}

func (s *Service) decideCreate(ctx context.Context, in *kmsapi.CreateKeyInput) error {
	spec, usage := specAndUsage(in)
	conditions := tagConditions(in.Tags)
	conditions["kms:keyspec"] = []string{spec}
	conditions["kms:keyusage"] = []string{usage}
	conditions["kms:keyorigin"] = []string{valueOr(in.Origin, kmsapi.OriginTypeAwsKms)}
	conditions["kms:multiregion"] = []string{boolText(isTrue(in.MultiRegion))}
	if isTrue(in.MultiRegion) {
		conditions["kms:multiregionkeytype"] = []string{kmsapi.MultiRegionKeyTypePrimary}
	}
	conditions["kms:bypasspolicylockoutsafetycheck"] = []string{boolText(isTrue(in.BypassPolicyLockoutSafetyCheck))}
	if err := s.decidePlain(ctx, "CreateKey", "*", conditions); err != nil || len(in.Tags) == 0 {
		return err
	}
	return s.decidePlain(ctx, "TagResource", "*", conditions)
}

// specAndUsage returns what is asked for, defaults filled in.
func specAndUsage(in *kmsapi.CreateKeyInput) (spec, usage string) {
	spec = valueOr(in.KeySpec, valueOr(in.CustomerMasterKeySpec, kmsapi.KeySpecSymmetricDefault))
	if in.KeyUsage == nil && spec == kmsapi.KeySpecSymmetricDefault {
		return spec, kmsapi.KeyUsageTypeEncryptDecrypt
	}
	return spec, valueOr(in.KeyUsage, "")
}

// newRecord checks a request and makes the record, all but the material.
func (s *Service) newRecord(ctx context.Context, in *kmsapi.CreateKeyInput) (record, error) {
	if in.KeySpec != nil && in.CustomerMasterKeySpec != nil {
		return record{}, invalid("You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	}
	if in.CustomKeyStoreId != nil || in.XksKeyId != nil {
		return record{}, unsupported("")
	}
	external := valueOr(in.Origin, "") == kmsapi.OriginTypeExternal
	if !external && valueOr(in.Origin, kmsapi.OriginTypeAwsKms) != kmsapi.OriginTypeAwsKms {
		return record{}, unsupported("")
	}
	spec, usage := specAndUsage(in)
	x, known := specs[spec]
	switch {
	case !known || external && x.take == nil:
		return record{}, unsupported("")
	case usage == "":
		return record{}, invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	case len(x.algorithms(usage)) == 0:
		return record{}, invalid("KeyUsage " + usage + " is not compatible with KeySpec " + spec)
	}
	tags, err := addTags(nil, in.Tags)
	if err != nil {
		return record{}, err
	}
	name := newKeyName(isTrue(in.MultiRegion))
	keyPolicy := s.defaultPolicy()
	if in.Policy != nil {
		keyPolicy = *in.Policy
		if err := s.checkPolicy(ctx, s.keyARN(name.String()), keyPolicy, isTrue(in.BypassPolicyLockoutSafetyCheck)); err != nil {
			return record{}, err
		}
	}
	state := kmsapi.KeyStateEnabled
	if external {
		state = kmsapi.KeyStatePendingImport
	}
	return record{
		External: external,
		Version:  recordVersion, ID: name.String(), Created: s.cfg.Now().UTC(), Description: valueOr(in.Description, ""),
		Spec: spec, Usage: usage, State: state, MultiRegion: isTrue(in.MultiRegion), Policy: keyPolicy, Tags: tags,
	}, nil
}

// DescribeKey returns a key's metadata, in any state of the key.
// Errors: NotFoundException, InvalidArnException.
func (s *Service) DescribeKey(ctx context.Context, in *kmsapi.DescribeKeyInput) (*kmsapi.DescribeKeyOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "DescribeKey", tokens: in.GrantTokens})
	if err != nil {
		return nil, err
	}
	return &kmsapi.DescribeKeyOutput{KeyMetadata: s.metadata(k)}, nil
}

func (s *Service) metadata(k *key) *kmsapi.KeyMetadata {
	m := &kmsapi.KeyMetadata{
		AWSAccountId: &s.cfg.Account,
		KeyId:        &k.ID,
		Arn:          &k.arn,
		CreationDate: &k.Created,
		Enabled:      new(bool),
		Description:  &k.Description,
		KeyUsage:     &k.Usage,
		KeyState:     &k.State,
		Origin:       text(k.origin()),
		KeyManager:   text(kmsapi.KeyManagerTypeCustomer),
		KeySpec:      &k.Spec,
		MultiRegion:  &k.MultiRegion,
	}
	m.CurrentKeyMaterialId = k.currentMaterial()
	*m.Enabled = k.State == kmsapi.KeyStateEnabled
	if k.ManagedFor != "" {
		m.KeyManager = text(kmsapi.KeyManagerTypeAws)
	}
	if !slices.Contains(mlDSA, firstOf(specs[k.Spec].sign)) && k.Spec != kmsapi.KeySpecEccNistEdwards25519 { // the deprecated enum ends before these
		m.CustomerMasterKeySpec = &k.Spec
	}
	if k.External && len(k.Materials) > 0 && !k.material().Missing {
		m.ExpirationModel, m.ValidTo = k.material().expiration()
	}
	if k.State == kmsapi.KeyStatePendingDeletion {
		m.DeletionDate = &k.Deletion
	}
	if k.State == kmsapi.KeyStatePendingReplicaDeletion {
		m.PendingDeletionWindowInDays = &k.WindowDays
	}
	if k.MultiRegion {
		m.MultiRegionConfiguration = s.multiRegion(k)
	}
	setAlgorithms(m, k)
	return m
}

func setAlgorithms(m *kmsapi.KeyMetadata, k *key) {
	algorithms := slices.Clone(specs[k.Spec].algorithms(k.Usage))
	switch k.Usage {
	case kmsapi.KeyUsageTypeEncryptDecrypt:
		m.EncryptionAlgorithms = algorithms
	case kmsapi.KeyUsageTypeSignVerify:
		m.SigningAlgorithms = algorithms
	case kmsapi.KeyUsageTypeGenerateVerifyMac:
		m.MacAlgorithms = algorithms
	case kmsapi.KeyUsageTypeKeyAgreement:
		m.KeyAgreementAlgorithms = algorithms
	}
}

// ListKeys lists all keys by id. Errors: InvalidMarkerException.
func (s *Service) ListKeys(ctx context.Context, in *kmsapi.ListKeysInput) (*kmsapi.ListKeysOutput, error) {
	if err := s.decidePlain(ctx, "ListKeys", "*", nil); err != nil {
		return nil, err
	}
	const list = "ListKeys"
	length, last := defaultPage, ""
	if in.Limit != nil {
		length = int(*in.Limit)
	}
	if in.Marker != nil {
		var err error
		if last, err = readMarker(list, *in.Marker); err != nil {
			return nil, err
		}
	}
	ids, err := s.view.liveKeys(s.cfg.Now(), last, length+1)
	if err != nil {
		return nil, err
	}
	p, err := turn(list, ids, nil, in.Limit, defaultPage)
	if err != nil {
		return nil, err
	}
	out := &kmsapi.ListKeysOutput{Keys: []*kmsapi.KeyListEntry{}, NextMarker: p.next, Truncated: p.truncated}
	for _, id := range p.names {
		out.Keys = append(out.Keys, &kmsapi.KeyListEntry{KeyId: text(id), KeyArn: text(s.keyARN(id))})
	}
	return out, nil
}

// liveKeys returns at most n ids of the keys that exist and come after one, sorted.
func (v *view) liveKeys(now time.Time, last string, n int) (ids []string, err error) {
	v.await()
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.stale {
		return nil, errStale
	}
	for id := range v.keys.after(last) {
		if len(ids) == n {
			break
		}
		if !v.keys.gone(id, now) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// EnableKey makes a disabled key usable again; it does nothing to an enabled one.
// Errors: NotFoundException, InvalidArnException, KMSInvalidStateException.
func (s *Service) EnableKey(ctx context.Context, in *kmsapi.EnableKeyInput) (*kmsapi.EnableKeyOutput, error) {
	return &kmsapi.EnableKeyOutput{}, s.setState(ctx, *in.KeyId, "EnableKey", kmsapi.KeyStateEnabled)
}

// DisableKey makes a key unusable from its return on. Errors: as EnableKey.
func (s *Service) DisableKey(ctx context.Context, in *kmsapi.DisableKeyInput) (*kmsapi.DisableKeyOutput, error) {
	return &kmsapi.DisableKeyOutput{}, s.setState(ctx, *in.KeyId, "DisableKey", kmsapi.KeyStateDisabled)
}

func (s *Service) setState(ctx context.Context, keyID, operation, state string) error {
	k, err := s.keyFor(ctx, keyID, use{operation: operation, byID: true, need: settled})
	if err != nil {
		return err
	}
	return s.alter(ctx, k, settled, func(r *record, _ time.Time) error {
		r.State = state
		return nil
	})
}

// UpdateKeyDescription replaces the description. Errors: as EnableKey.
func (s *Service) UpdateKeyDescription(ctx context.Context, in *kmsapi.UpdateKeyDescriptionInput) (*kmsapi.UpdateKeyDescriptionOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "UpdateKeyDescription", byID: true, need: notPending})
	if err != nil {
		return nil, err
	}
	err = s.alter(ctx, k, notPending, func(r *record, _ time.Time) error {
		r.Description = *in.Description
		return nil
	})
	return &kmsapi.UpdateKeyDescriptionOutput{}, err
}

// ScheduleKeyDeletion makes a key unusable at once and has it deleted, with all
// its material, aliases and grants, after PendingWindowInDays (7 to 30, default 30). That time
// begins now, for a primary key with replicas when the last of them is deleted.
// Errors: as EnableKey; ValidationException.
func (s *Service) ScheduleKeyDeletion(ctx context.Context, in *kmsapi.ScheduleKeyDeletionInput) (*kmsapi.ScheduleKeyDeletionOutput, error) {
	days := int64(defaultWindowDays)
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	k, err := s.keyFor(ctx, *in.KeyId, use{
		operation: "ScheduleKeyDeletion", byID: true, need: notPending,
		extra: map[string][]string{"kms:schedulekeydeletionpendingwindowindays": {strconv.FormatInt(days, 10)}},
	})
	if err != nil {
		return nil, err
	}
	if days < minWindowDays || days > maxWindowDays {
		return nil, invalid("PendingWindowInDays must be between 7 and 30.")
	}
	out := &kmsapi.ScheduleKeyDeletionOutput{KeyId: &k.arn, PendingWindowInDays: &days}
	err = s.alter(ctx, k, notPending, func(r *record, now time.Time) error {
		waits, err := s.hasReplicas(k, now)
		if err != nil {
			return err
		}
		r.State, r.WindowDays = kmsapi.KeyStatePendingReplicaDeletion, days
		if !waits {
			r.State, r.Deletion = kmsapi.KeyStatePendingDeletion, now.AddDate(0, 0, int(days))
			out.DeletionDate = &r.Deletion
		}
		out.KeyState = &r.State
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// CancelKeyDeletion leaves the key disabled; one that lacks material waits for its import. Errors: NotFoundException,
// InvalidArnException, KMSInvalidStateException when no deletion is pending.
func (s *Service) CancelKeyDeletion(ctx context.Context, in *kmsapi.CancelKeyDeletionInput) (*kmsapi.CancelKeyDeletionOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "CancelKeyDeletion", byID: true, need: pending})
	if err != nil {
		return nil, err
	}
	err = s.alter(ctx, k, pending, func(r *record, _ time.Time) error {
		r.State, r.Deletion, r.WindowDays = kmsapi.KeyStateDisabled, time.Time{}, 0
		if r.External && !r.complete() {
			r.State = kmsapi.KeyStatePendingImport
		}
		return nil
	})
	return &kmsapi.CancelKeyDeletionOutput{KeyId: &k.arn}, err
}

func text(s string) *string { return &s }

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func isTrue(b *bool) bool { return b != nil && *b }

func valueOr(s *string, otherwise string) string {
	if s == nil {
		return otherwise
	}
	return *s
}
