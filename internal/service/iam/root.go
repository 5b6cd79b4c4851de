// SPDX-License-Identifier: Apache-2.0

package iam

import "context"

// EnsureRoot makes the root access key of an account that never had one; created says so. Later it returns
// the oldest active root key, or nothing when there is none: an operator who deleted or deactivated root's
// keys meant it, and ResetRoot is the way back.
//
// The secret is the caller's to keep out of every log. It needs no authorisation: it is no operation of the API.
func (s *Service) EnsureRoot(ctx context.Context) (accessKeyID, secret string, created bool, err error) {
	var k *accessKey
	err = s.update(ctx, func(c *change) error {
		k, created = nil, false
		if c.state.RootCreated {
			return nil
		}
		k, created = s.newKey(""), true
		c.state.RootCreated = true
		c.putKey(k)
		return nil
	})
	if err != nil {
		return "", "", false, err
	}
	for _, old := range s.view().keysOf("") {
		if k == nil && old.Active {
			k = old
		}
	}
	if k == nil {
		return "", "", false, nil
	}
	return k.ID, string(k.Secret), created, nil
}

// ResetRoot deletes every root access key and makes a new one: for an operator who lost them.
func (s *Service) ResetRoot(ctx context.Context) (accessKeyID, secret string, err error) {
	var k *accessKey
	err = s.update(ctx, func(c *change) error {
		for _, old := range c.keysOf("") {
			c.deleteKey(old.ID)
		}
		k = s.newKey("")
		c.state.RootCreated = true
		c.putKey(k)
		return nil
	})
	if err != nil {
		return "", "", err
	}
	return k.ID, string(k.Secret), nil
}
