// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"slices"
	"strings"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// maxAliases is the quota of aliases on one key.
const maxAliases = 50

// CreateAlias names a key. It needs kms:CreateAlias on the alias and on the key.
//
// Errors: AlreadyExistsException; InvalidAliasNameException for names of AWS's
// own ("alias/aws/…") and the empty one; ValidationException without "alias/";
// LimitExceededException; NotFoundException; KMSInvalidStateException.
func (s *Service) CreateAlias(ctx context.Context, in *kmsapi.CreateAliasInput) (*kmsapi.CreateAliasOutput, error) {
	name := *in.AliasName
	if err := s.decidePlain(ctx, "CreateAlias", s.aliasARN(name), nil); err != nil {
		return nil, err
	}
	if err := checkAliasName(name); err != nil {
		return nil, err
	}
	if name == aliasPrefix || strings.HasPrefix(name, managedAliasPrefix) {
		return nil, &kmsapi.InvalidAliasNameException{}
	}
	k, err := s.aliasTargetFor(ctx, *in.TargetKeyId, "CreateAlias")
	if err != nil {
		return nil, err
	}
	err = s.mutate(ctx, func(now time.Time) (edit, error) {
		if _, exists := s.view.aliasTarget(name); exists {
			return edit{}, &kmsapi.AlreadyExistsException{Message: "An alias with the name " + s.aliasARN(name) + " already exists"}
		}
		if err := s.roomForAlias(k.ID, now); err != nil {
			return edit{}, err
		}
		return edit{aliases: []aliasRecord{{Version: recordVersion, Name: name, KeyID: k.ID, Created: now, Updated: now}}}, nil
	})
	return &kmsapi.CreateAliasOutput{}, err
}

func checkAliasName(name string) error {
	if strings.HasPrefix(name, aliasPrefix) {
		return nil
	}
	return invalid(`Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
}

// aliasTargetFor decides about the key that an alias is to name.
func (s *Service) aliasTargetFor(ctx context.Context, target, operation string) (*key, error) {
	k, err := s.keyFor(ctx, target, use{operation: operation, byID: true, need: notPending})
	if r := parseReference(target); r.alias != "" && err != nil && !denied(err) {
		return nil, invalid("Aliases must refer to keys. Not aliases")
	}
	return k, err
}

// roomForAlias checks the target once more, within mutate.
func (s *Service) roomForAlias(keyID string, now time.Time) error {
	k, err := s.again(keyID, notPending, now)
	if err == nil && len(k.aliases) >= maxAliases {
		err = &kmsapi.LimitExceededException{}
	}
	return err
}

// UpdateAlias lets an alias name another key of the same type and usage. It needs
// kms:UpdateAlias on the alias, on the key it leaves and on the one it goes to;
// only the first may be pending deletion. Errors: as CreateAlias.
func (s *Service) UpdateAlias(ctx context.Context, in *kmsapi.UpdateAliasInput) (*kmsapi.UpdateAliasOutput, error) {
	old, err := s.aliasedKey(ctx, *in.AliasName, "UpdateAlias")
	if err != nil {
		return nil, err
	}
	k, err := s.aliasTargetFor(ctx, *in.TargetKeyId, "UpdateAlias")
	if err != nil {
		return nil, err
	}
	if old.Usage != k.Usage || old.symmetric() != k.symmetric() {
		return nil, invalid("The current and the new key of an alias must have the same type and usage.")
	}
	err = s.mutate(ctx, func(now time.Time) (edit, error) {
		a, err := s.presentAlias(*in.AliasName, old.ID)
		if err != nil || k.ID == old.ID {
			return edit{}, err
		}
		if err := s.roomForAlias(k.ID, now); err != nil {
			return edit{}, err
		}
		a.KeyID, a.Updated = k.ID, now
		return edit{aliases: []aliasRecord{a}}, nil
	})
	return &kmsapi.UpdateAliasOutput{}, err
}

// DeleteAlias removes an alias and leaves its key alone. It needs
// kms:DeleteAlias on both. Errors: NotFoundException, ValidationException.
func (s *Service) DeleteAlias(ctx context.Context, in *kmsapi.DeleteAliasInput) (*kmsapi.DeleteAliasOutput, error) {
	k, err := s.aliasedKey(ctx, *in.AliasName, "DeleteAlias")
	if err != nil {
		return nil, err
	}
	err = s.mutate(ctx, func(time.Time) (edit, error) {
		if _, err := s.presentAlias(*in.AliasName, k.ID); err != nil {
			return edit{}, err
		}
		return edit{dropAliases: []string{*in.AliasName}}, nil
	})
	return &kmsapi.DeleteAliasOutput{}, err
}

// aliasedKey decides about an existing alias and then about the key it names.
func (s *Service) aliasedKey(ctx context.Context, name, operation string) (*key, error) {
	if err := s.decidePlain(ctx, operation, s.aliasARN(name), nil); err != nil {
		return nil, err
	}
	if err := checkAliasName(name); err != nil {
		return nil, err
	}
	id, ok := s.view.aliasTarget(name)
	if !ok {
		return nil, notFoundAlias(s.aliasARN(name))
	}
	k, ok, err := s.key(id, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFoundAlias(s.aliasARN(name))
	}
	return k, s.decide(ctx, k, "", use{operation: operation})
}

// presentAlias returns an alias if it still names the key that was decided about.
func (s *Service) presentAlias(name, keyID string) (aliasRecord, error) {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	a, ok := s.view.aliases[name]
	if !ok || a.KeyID != keyID {
		return aliasRecord{}, notFoundAlias(s.aliasARN(name))
	}
	return a, nil
}

// ListAliases lists all aliases by name, or those of one key. AWS's own are listed
// before they have a key. Errors: InvalidMarkerException, NotFoundException, InvalidArnException.
func (s *Service) ListAliases(ctx context.Context, in *kmsapi.ListAliasesInput) (*kmsapi.ListAliasesOutput, error) {
	if err := s.decidePlain(ctx, "ListAliases", "*", nil); err != nil {
		return nil, err
	}
	list, names := "ListAliases", []string(nil)
	if in.KeyId == nil {
		names = s.allAliases()
	} else {
		k, err := s.find(parseReference(*in.KeyId), true)
		if err == errForeign {
			err = notFound("Invalid arn " + *in.KeyId)
		}
		if err != nil {
			return nil, err
		}
		list, names = list+k.ID, k.aliases
	}
	p, err := turn(list, names, in.Marker, in.Limit, defaultPageFew)
	if err != nil {
		return nil, err
	}
	return &kmsapi.ListAliasesOutput{Aliases: s.aliasEntries(p.names), NextMarker: p.next, Truncated: p.truncated}, nil
}

// allAliases returns the names of all aliases whose key exists, and of AWS's own.
func (s *Service) allAliases() []string {
	now := s.cfg.Now()
	v := &s.view
	v.await()
	v.mu.RLock()
	names := slices.DeleteFunc(slices.Clone(v.aliasNames), func(name string) bool {
		id := v.aliases[name].KeyID
		return !v.keys.has(id) || v.keys.gone(id, now)
	})
	v.mu.RUnlock()
	for _, service := range s.cfg.ManagedFor {
		names = with(names, managedAliasPrefix+service)
	}
	return names
}

func (s *Service) aliasEntries(names []string) []*kmsapi.AliasListEntry {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	entries := []*kmsapi.AliasListEntry{}
	for _, name := range names {
		e := &kmsapi.AliasListEntry{AliasName: text(name), AliasArn: text(s.aliasARN(name))}
		if a, ok := s.view.aliases[name]; ok {
			e.TargetKeyId, e.CreationDate, e.LastUpdatedDate = &a.KeyID, &a.Created, &a.Updated
		}
		entries = append(entries, e)
	}
	return entries
}
