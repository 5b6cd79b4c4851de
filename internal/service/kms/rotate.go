// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

const (
	defaultRotationDays = 365
	// maxOnDemand is how often a key can be rotated on demand in its life.
	maxOnDemand = 25
	// conflictWindow keeps a rotation on demand away from a scheduled one
	// (API Reference, RotateKeyOnDemand, ConflictException).
	conflictWindow = 20 * time.Minute
)

// mustRotate checks that the key is of the one kind that can be rotated.
func (k *key) mustRotate() error {
	if !k.symmetric() {
		return unsupported("")
	}
	return nil
}

// mayAlterRotation checks that the key's rotation is its own: a replica follows its primary key.
func (k *key) mayAlterRotation() error {
	if k.Replica {
		return k.mustBePrimary()
	}
	return nil
}

// mustRotateByItself checks that the key is of the kind that can be rotated automatically: nobody can make
// material that others import.
func (k *key) mustRotateByItself() error {
	if err := k.mustRotate(); err != nil || !k.External {
		return err
	}
	return unsupported(k.arn + " origin is " + k.origin() + " which is not valid for this operation.")
}

// EnableKeyRotation has Sweep give a symmetric key new material every
// RotationPeriodInDays (90 to 2560, default 365), the first time after one period.
// What older material sealed stays readable.
//
// Errors: UnsupportedOperationException for other keys; DisabledException;
// KMSInvalidStateException; NotFoundException; InvalidArnException.
func (s *Service) EnableKeyRotation(ctx context.Context, in *kmsapi.EnableKeyRotationInput) (*kmsapi.EnableKeyRotationOutput, error) {
	days := int64(defaultRotationDays)
	if in.RotationPeriodInDays != nil {
		days = *in.RotationPeriodInDays
	}
	k, err := s.keyFor(ctx, *in.KeyId, use{
		operation: "EnableKeyRotation", byID: true, need: enabled,
		extra: map[string][]string{"kms:rotationperiodindays": {strconv.FormatInt(days, 10)}},
	})
	if err != nil {
		return nil, err
	}
	return &kmsapi.EnableKeyRotationOutput{}, s.setRotation(ctx, k, days)
}

// DisableKeyRotation ends automatic rotation. Errors: as EnableKeyRotation.
func (s *Service) DisableKeyRotation(ctx context.Context, in *kmsapi.DisableKeyRotationInput) (*kmsapi.DisableKeyRotationOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "DisableKeyRotation", byID: true, need: enabled})
	if err != nil {
		return nil, err
	}
	return &kmsapi.DisableKeyRotationOutput{}, s.setRotation(ctx, k, 0)
}

func (s *Service) setRotation(ctx context.Context, k *key, days int64) error {
	if err := k.mustRotateByItself(); err != nil {
		return err
	}
	if err := k.mayAlterRotation(); err != nil {
		return err
	}
	return s.alter(ctx, k, enabled, func(r *record, now time.Time) error {
		r.RotationDays, r.NextRotation = days, time.Time{}
		if days > 0 {
			r.NextRotation = now.AddDate(0, 0, int(days))
		}
		return nil
	})
}

// GetKeyRotationStatus tells whether a key is rotated automatically, how often and
// when next. Errors: as EnableKeyRotation, but in any state of the key.
func (s *Service) GetKeyRotationStatus(ctx context.Context, in *kmsapi.GetKeyRotationStatusInput) (*kmsapi.GetKeyRotationStatusOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "GetKeyRotationStatus", byID: true})
	if err != nil {
		return nil, err
	}
	if err := k.mustRotate(); err != nil {
		return nil, err
	}
	on := k.RotationDays > 0 && k.State != kmsapi.KeyStatePendingDeletion
	out := &kmsapi.GetKeyRotationStatusOutput{KeyId: &k.ID, KeyRotationEnabled: &on}
	if on {
		out.RotationPeriodInDays, out.NextRotationDate = &k.RotationDays, &k.NextRotation
	}
	return out, nil
}

// RotateKeyOnDemand gives a symmetric key new material now; the automatic schedule
// stays as it is. A key can be rotated on demand 25 times.
//
// Errors: LimitExceededException; ConflictException within 20 minutes before an
// automatic rotation; otherwise as EnableKeyRotation.
func (s *Service) RotateKeyOnDemand(ctx context.Context, in *kmsapi.RotateKeyOnDemandInput) (*kmsapi.RotateKeyOnDemandOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "RotateKeyOnDemand", byID: true, need: enabled})
	if err != nil {
		return nil, err
	}
	if err := k.mustRotate(); err != nil {
		return nil, err
	}
	if err := k.mayAlterRotation(); err != nil {
		return nil, err
	}
	if k.External {
		err = s.rotateImported(ctx, k)
	} else {
		err = s.rotate(ctx, k, kmsapi.RotationTypeOnDemand, func(r *record, now time.Time) error { return r.mayRotate(k.arn, now) })
	}
	return &kmsapi.RotateKeyOnDemandOutput{KeyId: &k.arn}, err
}

func (r *record) onDemandRotations() (n int) {
	for _, m := range r.Materials {
		if m.Rotation == kmsapi.RotationTypeOnDemand {
			n++
		}
	}
	return n
}

// mayRotate checks the quota, and that no automatic rotation is near.
func (r *record) mayRotate(arn string, now time.Time) error {
	if r.onDemandRotations() >= maxOnDemand {
		return &kmsapi.LimitExceededException{Message: "The on-demand rotations limit has been reached for the given keyId. " +
			"No more on-demand rotations can be performed for this key: " + arn}
	}
	if !r.NextRotation.IsZero() && r.NextRotation.Sub(now) < conflictWindow {
		return &kmsapi.ConflictException{}
	}
	return nil
}

// rotateImported makes the material current that was imported for it.
func (s *Service) rotateImported(ctx context.Context, k *key) error {
	return s.alter(ctx, k, enabled, func(r *record, now time.Time) error {
		waits, err := s.awaitsImport(s.held(k.ID), now)
		if err != nil {
			return err
		}
		if r.Pending == nil || waits {
			return invalidState("No available key material pending rotation for the key: " + k.arn + ".")
		}
		if err := r.mayRotate(k.arn, now); err != nil {
			return err
		}
		m := *r.Pending
		m.Created, m.Rotation = now, kmsapi.RotationTypeOnDemand
		r.Materials, r.Pending = append(slices.Clone(r.Materials), m), nil
		return nil
	})
}

// rotate appends new material to k's, unless check refuses.
func (s *Service) rotate(ctx context.Context, k *key, how string, check func(r *record, now time.Time) error) error {
	secret := randomSecret(symmetricBytes)
	defer clear(secret)
	fresh := newMaterial(k.ID, secret)
	err := s.mutate(ctx, func(now time.Time) (edit, error) {
		k, err := s.again(k.ID, enabled, now)
		if err != nil {
			return edit{}, err
		}
		r := k.record
		if err := check(&r, now); err != nil {
			return edit{}, err
		}
		r.Materials = append(slices.Clone(r.Materials), materialRecord{ID: fresh.id, Created: now, Rotation: how})
		return edit{keys: []record{r}, materials: []material{fresh}}, nil
	})
	if err == nil {
		s.happened(ctx, "RotateKey", k)
	}
	return err
}

// rotateDue rotates the keys whose automatic rotation is due. One that is disabled
// or pending deletion waits until it is enabled again.
func (s *Service) rotateDue(ctx context.Context) error {
	now := s.cfg.Now()
	var due []*key
	s.view.mu.RLock()
	for id, next := range s.view.keys.rotating {
		if !now.Before(next) {
			due = append(due, s.held(id))
		}
	}
	s.view.mu.RUnlock()
	for _, k := range due {
		err := s.rotate(ctx, k, kmsapi.RotationTypeAutomatic, func(r *record, now time.Time) error {
			if r.RotationDays == 0 || r.NextRotation.After(now) {
				return errNotDue
			}
			for !r.NextRotation.After(now) {
				r.NextRotation = r.NextRotation.AddDate(0, 0, int(r.RotationDays))
			}
			return nil
		})
		if err != nil && !changedMeanwhile(err) {
			return fmt.Errorf("kms: rotate key %s: %w", k.ID, err)
		}
	}
	return nil
}

// errNotDue says that a rotation was done, put off or switched off meanwhile.
var errNotDue = errors.New("kms: rotation is not due")

// changedMeanwhile reports whether a key can no longer be rotated, which is no fault.
func changedMeanwhile(err error) bool {
	var api protocol.APIError
	return errors.Is(err, errNotDue) || errors.As(err, &api)
}

// rotates says that k gets new material by itself.
func (k *key) rotates() bool {
	return k.State == kmsapi.KeyStateEnabled && !k.Replica && k.RotationDays > 0
}

// ListKeyRotations lists a key's completed rotations, oldest first; with
// ALL_KEY_MATERIAL the first material too. Errors: as GetKeyRotationStatus;
// InvalidMarkerException.
func (s *Service) ListKeyRotations(ctx context.Context, in *kmsapi.ListKeyRotationsInput) (*kmsapi.ListKeyRotationsOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "ListKeyRotations", byID: true})
	if err != nil {
		return nil, err
	}
	if err := k.mustRotate(); err != nil {
		return nil, err
	}
	all := valueOr(in.IncludeKeyMaterial, "") == kmsapi.IncludeKeyMaterialAllKeyMaterial
	var names []string
	for i, m := range k.Materials {
		if all || m.Rotation != "" {
			names = append(names, fmt.Sprintf("%08d", i))
		}
	}
	if all && k.Pending != nil {
		names = append(names, fmt.Sprintf("%08d", len(k.Materials)))
	}
	p, err := turn("ListKeyRotations"+k.ID+boolText(all), names, in.Marker, in.Limit, defaultPage)
	if err != nil {
		return nil, err
	}
	waits, err := s.awaitsImport(k, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	out := &kmsapi.ListKeyRotationsOutput{Rotations: []*kmsapi.RotationsListEntry{}, NextMarker: p.next, Truncated: p.truncated}
	for _, name := range p.names {
		i, _ := strconv.Atoi(name)
		out.Rotations = append(out.Rotations, k.rotationEntry(i, waits))
	}
	return out, nil
}

// rotationEntry tells of the material at i. waits says that what is pending rotation is missing in some Region.
func (k *key) rotationEntry(i int, waits bool) *kmsapi.RotationsListEntry {
	m := k.Pending
	if i < len(k.Materials) {
		m = &k.Materials[i]
	}
	e := &kmsapi.RotationsListEntry{KeyId: &k.ID, KeyMaterialId: &m.ID, KeyMaterialState: text(kmsapi.KeyMaterialStateNonCurrent)}
	switch i {
	case len(k.Materials) - 1:
		e.KeyMaterialState = text(kmsapi.KeyMaterialStateCurrent)
	case len(k.Materials):
		e.KeyMaterialState = text(kmsapi.KeyMaterialStatePendingRotation)
		if waits {
			e.KeyMaterialState = text(kmsapi.KeyMaterialStatePendingMultiRegionImportAndRotation)
		}
	}
	if m.Imported {
		m.describe(e)
	}
	if m.Rotation != "" {
		e.RotationDate, e.RotationType = &m.Created, &m.Rotation
	}
	return e
}

// describe tells of imported material.
func (m *materialRecord) describe(e *kmsapi.RotationsListEntry) {
	e.ImportState = text(kmsapi.ImportStateImported)
	if m.Missing {
		e.ImportState = text(kmsapi.ImportStatePendingImport)
	} else {
		e.ExpirationModel, e.ValidTo = m.expiration()
	}
	if m.Description != "" {
		e.KeyMaterialDescription = &m.Description
	}
}

func (m materialRecord) expiration() (model *string, validTo *time.Time) {
	if m.ValidTo.IsZero() {
		return text(kmsapi.ExpirationModelTypeKeyMaterialDoesNotExpire), nil
	}
	return text(kmsapi.ExpirationModelTypeKeyMaterialExpires), &m.ValidTo
}
