// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/policy"
)

// resourceType is CloudFormation's name of a key, for audit events.
const resourceType = "AWS::KMS::Key"

// use is one use of a key that is to be decided.
type use struct {
	operation string // the action without "kms:"
	need      need
	byID      bool // aliases do not name the key
	// context is the encryption context; it also chooses among grants.
	context map[string]string
	tokens  []string // grant tokens
	// extra are condition keys of the request, names in lower case.
	extra map[string][]string
	// entitled replaces the search for a grant that allows the operation, where
	// more counts than operation and context. It gets the caller's names, and the resource that the call is made for.
	entitled func(k *key, caller []string, source string) (bool, error)
}

// keyFor finds the key that keyID names and decides whether the caller may use
// it as u says, in this order: what does not exist, or not here, is told only
// to those whose own policies allow the action; then the decision; then the
// key's state. The key stays valid for this request alone.
func (s *Service) keyFor(ctx context.Context, keyID string, u use) (*key, error) {
	r := parseReference(keyID)
	k, err := s.find(r, u.byID)
	if err != nil {
		return nil, s.absent(ctx, r, u, err)
	}
	if err := s.decide(ctx, k, r.alias, u); err != nil {
		return nil, err
	}
	if k.unborn {
		if k, err = s.bear(ctx, k); err != nil {
			return nil, err
		}
		access.AddResource(ctx, k.arn, resourceType)
	}
	return k, k.check(u.need)
}

// decide asks whether the caller may use k; requestAlias is "" when no alias named it.
func (s *Service) decide(ctx context.Context, k *key, requestAlias string, u use) error {
	if !k.unborn {
		access.AddResource(ctx, k.arn, resourceType)
	}
	clash := ambiguous(u.context)
	err := s.cfg.Access.Authorize(ctx, access.Request{
		Action:   "kms:" + u.operation,
		Resource: k.arn,
		More:     func() map[string][]string { return requestConditions(k, requestAlias, u, clash) },
		Policy:   k.policy,
		Mode:     policy.KeyPolicyMode,
		Granted:  func() (bool, error) { return s.grantAllows(ctx, k, u) },
	})
	if err != nil {
		return err
	}
	if clash {
		return invalid("The encryption context has keys that differ only in case.")
	}
	return s.checkTokens(ctx, u.tokens)
}

// requestConditions joins the key's condition keys with those of the request.
// A context whose keys clash shows no condition key at all: it is refused.
func requestConditions(k *key, requestAlias string, u use, clash bool) map[string][]string {
	c := make(map[string][]string, len(k.conditions)+len(u.extra)+len(u.context)+2)
	for name, values := range k.conditions {
		c[name] = values
	}
	for name, values := range u.extra {
		c[name] = values
	}
	if requestAlias != "" {
		c["kms:requestalias"] = []string{requestAlias}
	}
	if len(u.context) > 0 && !clash {
		c["kms:encryptioncontextkeys"] = contextKeys(u.context)
		for name, value := range u.context {
			policy.Map(c).Set("kms:EncryptionContext:"+name, value)
		}
	}
	return c
}

// find resolves a reference. Errors: NotFoundException, InvalidArnException,
// errForeign for what belongs to another account.
func (s *Service) find(r reference, byID bool) (*key, error) {
	switch {
	case r.broken:
		return nil, &kmsapi.InvalidArnException{Message: "Invalid arn " + r.given}
	case r.isARN && r.region != s.cfg.Region:
		return nil, notFound("Invalid arn " + r.region)
	case r.isARN && r.account != s.cfg.Account:
		return nil, errForeign
	case r.alias != "" && byID && r.isARN:
		return nil, &kmsapi.InvalidArnException{Message: "Invalid arn " + r.given}
	case r.alias != "" && byID:
		return nil, invalidKeyID(r.given)
	case r.alias != "":
		return s.findAlias(r.alias)
	}
	if _, ok := parseKeyName(r.keyID); !ok {
		return nil, invalidKeyID(r.keyID)
	}
	k, ok, err := s.key(r.keyID, s.cfg.Now())
	if err == nil && !ok {
		err = notFoundKey(s.keyARN(r.keyID))
	}
	return k, err
}

// findAlias resolves an alias; that of an AWS managed key which does not exist
// yet gives the key as it would be.
func (s *Service) findAlias(name string) (*key, error) {
	if id, ok := s.view.aliasTarget(name); ok {
		if k, ok, err := s.key(id, s.cfg.Now()); ok || err != nil {
			return k, err
		}
	} else if service, ok := s.managedService(name); ok {
		return s.unbornKey(service)
	}
	return nil, notFoundAlias(s.aliasARN(name))
}

// errForeign marks a reference into another account.
var errForeign = errors.New("kms: key of another account")

// absent answers for a key that is not to be found: with why to a caller whose
// own policies allow the action on such a key, with a denial to all others.
// Across accounts it is always the denial that an existing key would give.
func (s *Service) absent(ctx context.Context, r reference, u use, why error) error {
	ask := access.Request{Action: "kms:" + u.operation, Resource: s.keyARN(r.keyID), Context: u.extra}
	switch {
	case r.isARN:
		ask.Resource = r.given
	case r.alias != "":
		ask.Resource = s.keyARN("*") // which key is not known; only a policy for all of them speaks of it
	}
	if errors.Is(why, errForeign) {
		ask.ResourceAccount = r.account
	}
	call, ok := access.FromContext(ctx)
	foreign := errors.Is(why, errForeign) || ok && call.Principal.Account != s.cfg.Account
	if foreign {
		ask.Mode = policy.KeyPolicyMode
	}
	if err := s.cfg.Access.Authorize(ctx, ask); err != nil {
		return err
	}
	if foreign {
		return &access.Denied{Message: "User is not authorized to perform: " + ask.Action + " on resource: " + ask.Resource}
	}
	return why
}

// decidePlain decides an action that no key policy speaks of.
func (s *Service) decidePlain(ctx context.Context, action, resource string, conditions map[string][]string) error {
	return s.cfg.Access.Authorize(ctx, access.Request{
		Action: "kms:" + action, Resource: resource, Context: conditions,
	})
}

// AuthorizeUse decides whether the caller in ctx may perform operation ("Decrypt",
// "GenerateDataKey" …) with a key and encryption context now, without doing it and
// without touching key material: what a holder of a cached data key asks before each
// use of it. keyID is any form of KeyId.
//
// Errors: as the operation's: *access.Denied, NotFoundException, DisabledException,
// KMSInvalidStateException, InvalidKeyUsageException.
func (s *Service) AuthorizeUse(ctx context.Context, operation, keyID string, encryptionContext map[string]string) error {
	k, err := s.keyFor(ctx, keyID, use{
		operation: operation, need: enabled, context: encryptionContext, extra: symmetricConditions,
	})
	if err != nil {
		return err
	}
	return k.mustSeal(operation)
}
