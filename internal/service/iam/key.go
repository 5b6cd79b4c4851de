// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"crypto/rand"
	"encoding/base64"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

const maxAccessKeys = 2 // AccessKeysPerUser

// newKey makes an access key: an ID of 80 random bits and a secret of 240.
func (s *Service) newKey(owner string) *accessKey {
	var b [30]byte
	rand.Read(b[:])
	return &accessKey{
		ID:      "AKIA" + rand.Text()[:16],
		Secret:  secret(base64.StdEncoding.EncodeToString(b[:])),
		Owner:   owner,
		Active:  true,
		Created: s.date(),
	}
}

// keyOwner authorises an operation on access keys and returns whose they are: a user's ID, or "" for root.
func (s *Service) keyOwner(ctx context.Context, v *view, operation string, userName *string) (owner, name string, err error) {
	name, root, err := s.nameOf(ctx, v, userName)
	if err != nil {
		return "", "", s.first(ctx, operation, err)
	}
	if root {
		return "", "root", s.allow(ctx, operation, s.rootARN(), conditions{})
	}
	u, err := s.allowOn(ctx, v, operation, userKind, name, nil)
	if err != nil {
		return "", "", err
	}
	return u.ID, u.Name, nil
}

// CreateAccessKey makes an access key of a user, or of the caller when no name is given. This is the
// only answer that holds the secret.
//
// Errors: NoSuchEntityException; LimitExceededException at two keys.
func (s *Service) CreateAccessKey(ctx context.Context, in *iamapi.CreateAccessKeyInput) (*iamapi.CreateAccessKeyOutput, error) {
	var k *accessKey
	var user string
	err := s.update(ctx, func(c *change) error {
		owner, name, err := s.keyOwner(ctx, c.view, "CreateAccessKey", in.UserName)
		if err != nil {
			return err
		}
		if len(c.keysOf(owner)) >= maxAccessKeys {
			return overQuota("AccessKeysPerUser", maxAccessKeys)
		}
		k, user = s.newKey(owner), name
		c.putKey(k)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.CreateAccessKeyOutput{AccessKey: &iamapi.AccessKey{
		AccessKeyId:     &k.ID,
		CreateDate:      &k.Created,
		SecretAccessKey: new(string(k.Secret)),
		Status:          new(status(k)),
		UserName:        &user,
	}}, nil
}

func status(k *accessKey) string {
	if k.Active {
		return iamapi.StatusTypeActive
	}
	return iamapi.StatusTypeInactive
}

// ListAccessKeys lists the keys of a user, or of the caller, without their secrets, oldest first.
//
// Errors: NoSuchEntityException.
func (s *Service) ListAccessKeys(ctx context.Context, in *iamapi.ListAccessKeysInput) (*iamapi.ListAccessKeysOutput, error) {
	v := s.view()
	owner, name, err := s.keyOwner(ctx, v, "ListAccessKeys", in.UserName)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListAccessKeysOutput{}
	order := func(k *accessKey) string { return k.Created.Format("20060102150405") + k.ID }
	keys, truncated, next, err := page(v.keysOf(owner), order, in.Marker, in.MaxItems)
	out.IsTruncated, out.Marker = truncated, next
	out.AccessKeyMetadata = each(keys, func(k *accessKey) *iamapi.AccessKeyMetadata {
		return &iamapi.AccessKeyMetadata{
			AccessKeyId: new(k.ID), CreateDate: new(k.Created), Status: new(status(k)), UserName: new(name),
		}
	})
	return out, err
}

// UpdateAccessKey activates or deactivates a key; a deactivated one is refused from the next call on.
//
// Errors: NoSuchEntityException.
func (s *Service) UpdateAccessKey(ctx context.Context, in *iamapi.UpdateAccessKeyInput) (*iamapi.UpdateAccessKeyOutput, error) {
	err := s.update(ctx, func(c *change) error {
		k, err := s.ownKey(ctx, c.view, "UpdateAccessKey", in.UserName, *in.AccessKeyId)
		if err != nil {
			return err
		}
		changed := *k
		changed.Active = *in.Status == iamapi.StatusTypeActive
		c.putKey(&changed)
		return nil
	})
	return &iamapi.UpdateAccessKeyOutput{}, err
}

// DeleteAccessKey deletes a key for good.
//
// Errors: NoSuchEntityException.
func (s *Service) DeleteAccessKey(ctx context.Context, in *iamapi.DeleteAccessKeyInput) (*iamapi.DeleteAccessKeyOutput, error) {
	err := s.update(ctx, func(c *change) error {
		k, err := s.ownKey(ctx, c.view, "DeleteAccessKey", in.UserName, *in.AccessKeyId)
		if err != nil {
			return err
		}
		c.deleteKey(k.ID)
		return nil
	})
	return &iamapi.DeleteAccessKeyOutput{}, err
}

// ownKey authorises and returns a key, which must belong to the user named or implied.
func (s *Service) ownKey(ctx context.Context, v *view, operation string, userName *string, id string) (*accessKey, error) {
	owner, _, err := s.keyOwner(ctx, v, operation, userName)
	if err != nil {
		return nil, err
	}
	k := v.keys[id]
	if k == nil || k.Owner != owner {
		return nil, noSuchKey(id)
	}
	return k, nil
}

// GetAccessKeyLastUsed says when and for what a key was last used; "N/A" when it never was.
//
// Errors: NoSuchEntityException.
func (s *Service) GetAccessKeyLastUsed(ctx context.Context, in *iamapi.GetAccessKeyLastUsedInput) (*iamapi.GetAccessKeyLastUsedOutput, error) {
	v := s.view()
	k := v.keys[*in.AccessKeyId]
	resource, name, cond := "*", "root", conditions{}
	if k != nil {
		resource = s.rootARN()
		if u := v.entities[k.Owner]; u != nil {
			resource, name = u.arn(s.account), u.Name
			cond.of(u)
		}
	}
	if err := s.allow(ctx, "GetAccessKeyLastUsed", resource, cond); err != nil {
		return nil, err
	}
	if k == nil {
		return nil, noSuchKey(*in.AccessKeyId)
	}
	last := &iamapi.AccessKeyLastUsed{ServiceName: new("N/A"), Region: new("N/A")}
	use, ok, err := s.lastUse(ctx, k.ID)
	if err != nil {
		return nil, err
	}
	if ok {
		last = &iamapi.AccessKeyLastUsed{LastUsedDate: &use.Time, ServiceName: &use.Service, Region: &use.Region}
	}
	return &iamapi.GetAccessKeyLastUsedOutput{AccessKeyLastUsed: last, UserName: &name}, nil
}
