// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// A multi-Region key is one key in several Regions of this server: a primary and its replicas, by the same id. Each
// has a record, rows of material, policy, tags, aliases, grants and state of its own. What they share is the
// primary's: spec, usage, origin, materials, rotation. Whatever changes that in the primary's record changes it in
// the replicas' in the same transaction (see synchronised), so there is no moment at which they differ on disk.
//
// Material goes from Region to Region under the root key that all have: it is opened and wrapped anew, since the root
// key may be in the middle of being rotated, and lies on disk wrapped at all times.
//
// Source: KMS Developer Guide, "Multi-Region keys in AWS KMS".

// member is one of the keys that a multi-Region key is made of, in its Region.
type member struct {
	s *Service
	k *key
}

// members returns all keys by that id, those that are gone left out, by Region.
func (s *Service) members(id string, now time.Time) ([]member, error) {
	var all []member
	for _, name := range s.estate.names() {
		o := s.estate.regions[name]
		k, ok, err := o.key(id, now)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, member{o, k})
		}
	}
	return all, nil
}

// hasReplicas reports whether k is a primary key that has replicas.
func (s *Service) hasReplicas(k *key, now time.Time) (bool, error) {
	if !k.MultiRegion || k.Replica {
		return false, nil
	}
	all, err := s.members(k.ID, now)
	return len(all) > 1, err
}

// multiRegion describes the multi-Region key that k belongs to.
func (s *Service) multiRegion(k *key) *kmsapi.MultiRegionConfiguration {
	c := &kmsapi.MultiRegionConfiguration{MultiRegionKeyType: text(k.multiRegionType()), ReplicaKeys: []*kmsapi.MultiRegionKey{}}
	all, err := s.members(k.ID, s.cfg.Now())
	if err != nil {
		return c // a change is being read anew; the next call knows
	}
	for _, m := range all {
		entry := &kmsapi.MultiRegionKey{Arn: text(m.k.arn), Region: text(m.s.cfg.Region)}
		if m.k.Replica {
			c.ReplicaKeys = append(c.ReplicaKeys, entry)
		} else {
			c.PrimaryKey = entry
		}
	}
	return c
}

func (r *record) multiRegionType() string {
	if r.Replica {
		return kmsapi.MultiRegionKeyTypeReplica
	}
	return kmsapi.MultiRegionKeyTypePrimary
}

// mustBePrimary refuses what is done to the primary key alone.
func (k *key) mustBePrimary() error {
	if k.MultiRegion && !k.Replica {
		return nil
	}
	return unsupported(k.arn + " is not a multi-region primary key.")
}

// ReplicateKey makes a replica of a multi-Region primary key in another Region of this server, with a policy,
// description and tags of its own. Imported material does not come with it. It needs kms:ReplicateKey on the primary,
// and kms:CreateKey, with tags also kms:TagResource, in the replica's Region.
//
// Errors: UnsupportedOperationException for a key that is no multi-Region primary key; AlreadyExistsException;
// ValidationException for a Region that the server does not have; LimitExceededException;
// MalformedPolicyDocumentException; TagException; DisabledException and KMSInvalidStateException; NotFoundException;
// InvalidArnException. The replica is durable, and can be used, on return.
//
// Source: AWS KMS API Reference, ReplicateKey; deviations in docs/compat/kms.md.
func (s *Service) ReplicateKey(ctx context.Context, in *kmsapi.ReplicateKeyInput) (*kmsapi.ReplicateKeyOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{
		operation: "ReplicateKey", byID: true, need: enabled, extra: map[string][]string{"kms:replicaregion": {*in.ReplicaRegion}},
	})
	if err != nil {
		return nil, err
	}
	if err := k.mustBePrimary(); err != nil {
		return nil, err
	}
	o, ok := s.estate.regions[*in.ReplicaRegion]
	if !ok || o == s {
		return nil, invalid("The replica Region must be another Region of this server; " + *in.ReplicaRegion + " is not.")
	}
	if err := o.decideReplica(ctx, k, in); err != nil {
		return nil, err
	}
	r, err := o.newReplica(ctx, k, in)
	if err != nil {
		return nil, err
	}
	var secrets []material
	defer func() {
		for _, m := range secrets {
			clear(m.secret)
		}
	}()
	err = s.mutate(ctx, func(now time.Time) (edit, error) {
		e, err := s.replicate(ctx, k.ID, o, r, now)
		if err != nil {
			return edit{}, err
		}
		secrets, err = s.unwrapAll(ctx, k.ID)
		e.others[0].materials = secrets
		return e, err
	})
	if err != nil {
		return nil, err
	}
	replica, err := o.again(r.ID, anyState, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	access.AddResource(ctx, replica.arn, resourceType)
	return &kmsapi.ReplicateKeyOutput{ReplicaKeyMetadata: o.metadata(replica), ReplicaPolicy: &replica.Policy, ReplicaTags: tagsOf(replica)}, nil
}

// decideReplica decides whether the caller may create the replica of k in the Region of s.
func (s *Service) decideReplica(ctx context.Context, k *key, in *kmsapi.ReplicateKeyInput) error {
	c := tagConditions(in.Tags)
	maps.Copy(c, map[string][]string{
		"kms:keyspec": {k.Spec}, "kms:keyusage": {k.Usage}, "kms:keyorigin": {k.origin()}, "kms:multiregion": {"true"},
		"kms:multiregionkeytype":             {kmsapi.MultiRegionKeyTypeReplica},
		"kms:bypasspolicylockoutsafetycheck": {boolText(isTrue(in.BypassPolicyLockoutSafetyCheck))},
		"aws:requestedregion":                {s.cfg.Region},
	})
	if err := s.decidePlain(ctx, "CreateKey", "*", c); err != nil || len(in.Tags) == 0 {
		return err
	}
	return s.decidePlain(ctx, "TagResource", "*", c)
}

// newReplica makes the record of a replica of k in the Region of s, all but what it shares.
func (s *Service) newReplica(ctx context.Context, k *key, in *kmsapi.ReplicateKeyInput) (record, error) {
	tags, err := addTags(nil, in.Tags)
	if err != nil {
		return record{}, err
	}
	keyPolicy := s.defaultPolicy()
	if in.Policy != nil {
		keyPolicy = *in.Policy
		if err := s.checkPolicy(ctx, s.keyARN(k.ID), keyPolicy, isTrue(in.BypassPolicyLockoutSafetyCheck)); err != nil {
			return record{}, err
		}
	}
	return record{
		Version: recordVersion, ID: k.ID, Created: s.cfg.Now().UTC(), Description: valueOr(in.Description, ""), Spec: k.Spec, Usage: k.Usage,
		State: kmsapi.KeyStateEnabled, MultiRegion: true, Replica: true, External: k.External, Policy: keyPolicy, Tags: tags,
	}, nil
}

// replicate is the edit that makes r a replica, in o, of the key of s by that id.
func (s *Service) replicate(ctx context.Context, id string, o *Service, r record, now time.Time) (edit, error) {
	k, err := s.again(id, enabled, now)
	if err != nil {
		return edit{}, err
	}
	if err := k.mustBePrimary(); err != nil {
		return edit{}, err
	}
	if err := o.removeDue(ctx, now); err != nil {
		return edit{}, err
	}
	if o.view.keys.has(id) {
		return edit{}, &kmsapi.AlreadyExistsException{Message: "The key " + o.keyARN(id) + " already exists."}
	}
	if len(o.view.keys.names) >= maxKeys {
		return edit{}, &kmsapi.LimitExceededException{}
	}
	r.follow(&k.record)
	return edit{others: []regional{{o, edit{keys: []record{r}}}}}, nil
}

// unwrapAll returns the materials of a key that a replica gets, for the caller to clear. estate.writing is held.
func (s *Service) unwrapAll(ctx context.Context, id string) (all []material, err error) {
	k := s.held(id)
	if k.External {
		return nil, nil
	}
	for _, m := range k.Materials {
		secret, err := s.unwrap(ctx, materialRef{id, m.ID})
		if err != nil {
			return all, err
		}
		all = append(all, material{keyID: id, id: m.ID, secret: secret})
	}
	return all, nil
}

func tagsOf(k *key) []*kmsapi.Tag {
	list := []*kmsapi.Tag{}
	for _, name := range slices.Sorted(maps.Keys(k.Tags)) {
		list = append(list, &kmsapi.Tag{TagKey: text(name), TagValue: text(k.Tags[name])})
	}
	return list
}

// UpdatePrimaryRegion makes a replica the primary key, and the primary key a replica. It needs kms:UpdatePrimaryRegion
// on both.
//
// Errors: UnsupportedOperationException for a key that is no multi-Region primary key; NotFoundException where the
// Region has no replica; ValidationException for the primary's own Region; DisabledException and
// KMSInvalidStateException, for either key; InvalidArnException. It is done on return.
//
// Source: AWS KMS API Reference, UpdatePrimaryRegion; deviations in docs/compat/kms.md.
func (s *Service) UpdatePrimaryRegion(ctx context.Context, in *kmsapi.UpdatePrimaryRegionInput) (*kmsapi.UpdatePrimaryRegionOutput, error) {
	u := use{operation: "UpdatePrimaryRegion", byID: true, need: enabled, extra: map[string][]string{"kms:primaryregion": {*in.PrimaryRegion}}}
	k, err := s.keyFor(ctx, *in.KeyId, u)
	if err != nil {
		return nil, err
	}
	if err := k.mustBePrimary(); err != nil {
		return nil, err
	}
	if *in.PrimaryRegion == s.cfg.Region {
		return nil, invalid("The primary key is in Region " + s.cfg.Region + " already.")
	}
	o, ok := s.estate.regions[*in.PrimaryRegion]
	if !ok {
		return nil, notFound("Key 'arn:aws:kms:" + *in.PrimaryRegion + ":" + s.cfg.Account + ":key/" + k.ID + "' does not exist")
	}
	there := u
	there.extra = map[string][]string{"kms:primaryregion": {*in.PrimaryRegion}, "aws:requestedregion": {o.cfg.Region}}
	if _, err := o.keyFor(ctx, k.ID, there); err != nil {
		return nil, err
	}
	err = s.mutate(ctx, func(now time.Time) (edit, error) { return s.exchange(k.ID, o, now) })
	return &kmsapi.UpdatePrimaryRegionOutput{}, err
}

// exchange is the edit that makes the key of o the primary in place of that of s.
func (s *Service) exchange(id string, o *Service, now time.Time) (edit, error) {
	from, err := s.again(id, enabled, now)
	if err != nil {
		return edit{}, err
	}
	to, err := o.again(id, enabled, now)
	if err != nil {
		return edit{}, err
	}
	if err := from.mustBePrimary(); err != nil {
		return edit{}, err
	}
	if !to.Replica {
		return edit{}, unsupported("")
	}
	a, b := from.record, to.record
	a.Replica, b.Replica = true, false
	return edit{keys: []record{a}, others: []regional{{o, edit{keys: []record{b}}}}}, nil
}

// synchronised returns what an edit changes in each Region: what it says, and for each primary key that it changes
// what the replicas share.
func (s *Service) synchronised(e edit) []regional {
	parts := append([]regional{{s, e}}, e.others...)
	for _, r := range e.keys {
		if !r.MultiRegion || r.Replica {
			continue
		}
		for _, o := range s.others() {
			replica := o.held(r.ID)
			if replica == nil || !replica.Replica {
				continue
			}
			parts = o.join(parts, replica.shares(o, &r, e))
		}
	}
	return parts
}

// join adds what is to be changed in the Region of s to parts.
func (s *Service) join(parts []regional, more edit) []regional {
	if more.empty() {
		return parts
	}
	for i := range parts {
		if parts[i].s == s {
			parts[i].edit = parts[i].with(more)
			return parts
		}
	}
	return append(parts, regional{s, more})
}

// with joins two edits of different keys.
func (e edit) with(more edit) edit {
	e.keys = append(slices.Clone(e.keys), more.keys...)
	e.materials = append(slices.Clone(e.materials), more.materials...)
	e.dropMaterials = append(slices.Clone(e.dropMaterials), more.dropMaterials...)
	return e
}

// shares is the change of a replica, a key of o, that follows from the change e of its primary to r.
func (k *key) shares(o *Service, r *record, e edit) (there edit) {
	after := k.record
	if !after.follow(r) {
		return edit{}
	}
	there.keys = []record{after}
	for _, m := range e.materials {
		if m.keyID == k.ID && !k.External {
			there.materials = append(there.materials, material{keyID: m.keyID, id: m.id, secret: m.secret})
		}
	}
	if k.Pending != nil && (after.Pending == nil || after.Pending.ID != k.Pending.ID) && !after.has(k.Pending.ID) {
		there.dropMaterials = append(there.dropMaterials, materialRef{k.ID, k.Pending.ID})
	}
	return there
}

func (r *record) has(materialID string) bool {
	return slices.ContainsFunc(r.Materials, func(m materialRecord) bool { return m.ID == materialID })
}

// follow takes over from a primary what is shared, and reports whether anything changed. Which imported materials
// a replica has, and until when, is its own.
func (r *record) follow(primary *record) (changed bool) {
	materials := make([]materialRecord, 0, len(primary.Materials))
	for _, m := range primary.Materials {
		materials = append(materials, r.own(m))
	}
	var pending *materialRecord
	if primary.Pending != nil {
		p := r.own(*primary.Pending)
		pending = &p
	}
	changed = !slices.Equal(materials, r.Materials) || !samePending(pending, r.Pending) ||
		r.RotationDays != primary.RotationDays || !r.NextRotation.Equal(primary.NextRotation)
	r.Materials, r.Pending = materials, pending
	r.RotationDays, r.NextRotation = primary.RotationDays, primary.NextRotation
	if r.State == kmsapi.KeyStateEnabled && r.External && !r.complete() {
		r.State = kmsapi.KeyStatePendingImport
	}
	return changed
}

func samePending(a, b *materialRecord) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// own is a primary's material as a replica has it: imported material it has when it was imported there.
func (r *record) own(m materialRecord) materialRecord {
	if !m.Imported {
		return m
	}
	mine := materialRecord{ID: m.ID, Created: m.Created, Rotation: m.Rotation, Imported: true, Missing: true}
	all := r.Materials
	if r.Pending != nil {
		all = append(slices.Clone(all), *r.Pending)
	}
	for _, o := range all {
		if o.ID == m.ID {
			mine.Missing, mine.ValidTo, mine.Description = o.Missing, o.ValidTo, o.Description
		}
	}
	return mine
}

// awaitsImport reports whether the material that is pending rotation was not imported in each Region yet.
func (s *Service) awaitsImport(k *key, now time.Time) (bool, error) {
	if !k.MultiRegion || k.Pending == nil {
		return false, nil
	}
	all, err := s.members(k.ID, now)
	return slices.ContainsFunc(all, func(m member) bool { return m.k.Pending == nil || m.k.Pending.Missing }), err
}

// lastReplica is the edit that begins the waiting period of a primary key that has waited for its replicas, when the
// replica that leaves the Region of s is the last one.
func (s *Service) lastReplica(id string, now time.Time) []regional {
	var primary *Service
	for _, o := range s.others() {
		k := o.held(id)
		switch {
		case k == nil:
		case k.Replica:
			return nil
		case k.State == kmsapi.KeyStatePendingReplicaDeletion:
			primary = o
		}
	}
	if primary == nil {
		return nil
	}
	r := primary.held(id).record
	r.State, r.Deletion = kmsapi.KeyStatePendingDeletion, now.AddDate(0, 0, int(r.WindowDays))
	return []regional{{primary, edit{keys: []record{r}}}}
}
