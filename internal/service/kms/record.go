// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/policy"
)

// space is the first part of every row's key.
const space = "kms"

// recordVersion is the version of the rows below; a row of a later one is refused.
const recordVersion = 1

// record is the row of a key. Times are UTC.
type record struct {
	Version     int               `json:"v"`
	ID          string            `json:"id"`
	Created     time.Time         `json:"created"`
	Description string            `json:"description,omitempty"`
	Spec        string            `json:"spec"`
	Usage       string            `json:"usage"`
	State       string            `json:"state"`                // kmsapi.KeyState…
	ManagedFor  string            `json:"managedFor,omitempty"` // service of an AWS managed key
	MultiRegion bool              `json:"multiRegion,omitempty"`
	Replica     bool              `json:"replica,omitempty"`  // of a multi-Region key; the primary is in another Region
	External    bool              `json:"external,omitempty"` // its material is imported
	Policy      string            `json:"policy"`
	Tags        map[string]string `json:"tags,omitempty"`
	Deletion    time.Time         `json:"deletion,omitzero"` // deadline when State is PendingDeletion
	WindowDays  int64             `json:"windowDays,omitempty"`
	Materials   []materialRecord  `json:"materials"` // oldest first; the last one is current
	// Pending is imported material that is pending rotation.
	Pending *materialRecord `json:"pending,omitempty"`
	// RotationDays is the period of automatic rotation; 0 means that it is off.
	RotationDays int64     `json:"rotationDays,omitempty"`
	NextRotation time.Time `json:"nextRotation,omitzero"`
}

// materialRecord describes one key material; its bytes are in a row of their own.
type materialRecord struct {
	ID      string    `json:"id"` // 64 hex digits
	Created time.Time `json:"created"`
	// Rotation is how it became current: kmsapi.RotationType…, "" for the first.
	Rotation string `json:"rotation,omitempty"`
	// The rest is of imported material. Missing says that it was deleted or has expired; its row is gone.
	Imported    bool      `json:"imported,omitempty"`
	Missing     bool      `json:"missing,omitempty"`
	ValidTo     time.Time `json:"validTo,omitzero"` // zero: it does not expire
	Description string    `json:"description,omitempty"`
}

// aliasRecord is the row of an alias.
type aliasRecord struct {
	Version int       `json:"v"`
	Name    string    `json:"name"` // "alias/…"
	KeyID   string    `json:"keyId"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// key is a record made ready for use. It never changes: a mutation shows a new one.
type key struct {
	record
	arn     string
	name    keyName
	policy  *policy.Document
	aliases []string // names, sorted
	// conditions are the condition keys that follow from the key alone.
	conditions map[string][]string
	current    [32]byte // id of the current material
	shared     *traits
	// unborn marks an AWS managed key that has yet to be written.
	unborn bool
}

// compile makes a key of its row.
func (s *Service) compile(r record, aliases []string) (*key, error) {
	if r.Version != recordVersion {
		return nil, fmt.Errorf("kms: row of key %s has version %d, this is %d", r.ID, r.Version, recordVersion)
	}
	k := &key{record: r, arn: s.keyARN(r.ID), aliases: aliases}
	var ok bool
	if k.name, ok = parseKeyName(r.ID); !ok {
		return nil, fmt.Errorf("kms: row of a key with id %q", r.ID)
	}
	if len(r.Materials) > 0 {
		if n, err := hex.Decode(k.current[:], []byte(k.material().ID)); err != nil || n != 32 {
			return nil, fmt.Errorf("kms: key %s has material id %q", r.ID, k.material().ID)
		}
	}
	k.shared = s.estate.common.traitsOf(&k.record)
	k.policy = s.estate.common.policyOf(k.Policy)
	k.conditions = s.estate.common.conditionsOf(k)
	return k, nil
}

// pack returns k as it rests in memory.
func (k *key) pack() packedKey { return packedKey{k.shared, packOwn(&k.record, k.aliases)} }

// unpack makes a key of what pack returned.
func (s *Service) unpack(name keyName, p packedKey) (*key, error) {
	r := p.shared.record()
	r.ID = name.String()
	aliases, err := unpackOwn(p.own, &r)
	if err != nil {
		return nil, err
	}
	return s.compile(r, aliases)
}

// keyConditions returns the condition keys that describe the key itself.
//
// Source: KMS Developer Guide, "Condition keys for AWS KMS".
func keyConditions(k *key) map[string][]string {
	c := map[string][]string{
		"kms:keyspec":     {k.Spec},
		"kms:keyusage":    {k.Usage},
		"kms:keyorigin":   {k.origin()},
		"kms:multiregion": {boolText(k.MultiRegion)},
	}
	if len(k.aliases) > 0 {
		c["kms:resourcealiases"] = k.aliases
	}
	if k.MultiRegion {
		c["kms:multiregionkeytype"] = []string{k.multiRegionType()}
	}
	for tag, value := range k.Tags {
		policy.Map(c).Add("aws:resourcetag/"+tag, value)
	}
	return c
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// material returns the current key material.
func (k *key) material() materialRecord { return k.Materials[len(k.Materials)-1] }

// origin is where the key's material comes from.
func (r *record) origin() string {
	if r.External {
		return kmsapi.OriginTypeExternal
	}
	return kmsapi.OriginTypeAwsKms
}

func (k *key) hasMaterial(id string) bool {
	return slices.ContainsFunc(k.Materials, func(m materialRecord) bool { return m.ID == id })
}

func (k *key) symmetric() bool { return k.Spec == kmsapi.KeySpecSymmetricDefault }

// gone says that the key's deletion is due: whether or not Sweep has been here,
// the key is no more.
func (k *key) gone(now time.Time) bool {
	return k.State == kmsapi.KeyStatePendingDeletion && !now.Before(k.Deletion)
}
