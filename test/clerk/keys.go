// SPDX-License-Identifier: Apache-2.0

package clerk

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/rig"
)

// keyWork is what both trades in keys have in common.
type keyWork struct {
	*kms.Client
	mu    sync.Mutex
	known map[string]string // key id → description when it was made
}

func newKeyWork(s *rig.Server) *keyWork {
	return &keyWork{Client: kms.NewFromConfig(s.V2(s.Root)), known: map[string]string{}}
}

// keyTrade makes two keys, names and grants and rotates and shares the first, and has both deleted.
func keyTrade(s *rig.Server) Trade {
	w := newKeyWork(s)
	key := func(it *Item) *string { return aws.String(it.Notes["a"]) }
	alias := func(it *Item) *string { return aws.String("alias/" + it.Name) }
	policy := func(it *Item) string { return keyPolicy("kms:*", it.Name) }
	return Trade{
		Name: "key", Observe: func(ctx context.Context, it *Item) (Facts, error) { return w.observe(ctx, it, "a", "b") },
		Steps: []Step{
			{Event: "CreateKey", Do: w.create("a", types.OriginTypeAwsKms), Then: is("a", "Enabled", "a/made", "whole", "a/materials", "1", "a/rotation", "off")},
			{Event: "CreateKey", Do: w.create("b", types.OriginTypeAwsKms), Then: is("b", "Enabled", "b/made", "whole", "b/materials", "1", "b/rotation", "off")},
			{Event: "CreateAlias", Do: does(option(w.CreateAlias), func(it *Item) *kms.CreateAliasInput {
				return &kms.CreateAliasInput{AliasName: alias(it), TargetKeyId: key(it)}
			}), Then: is("a/alias", "1")},
			{Event: "Encrypt", Do: w.encrypt, Then: is("opens", "yes"), Possible: func(it *Item) bool { return it.Notes["a"] != "" }},
			{Event: "CreateGrant", Do: does(option(w.CreateGrant), func(it *Item) *kms.CreateGrantInput {
				return &kms.CreateGrantInput{
					KeyId: key(it), Name: &it.Name, GranteePrincipal: aws.String(account + "user/" + it.Name),
					RetiringPrincipal: aws.String(account + "role/" + it.Name), Operations: []types.GrantOperation{types.GrantOperationDecrypt},
				}
			}), Then: is("a/grants", "1", "retirable", "1")},
			{Event: "TagResource", Do: does(option(w.TagResource), func(it *Item) *kms.TagResourceInput {
				return &kms.TagResourceInput{KeyId: key(it), Tags: []types.Tag{
					{TagKey: aws.String("one"), TagValue: aws.String("1")}, {TagKey: aws.String("two"), TagValue: aws.String("2")},
				}}
			}), Then: is("a/tag/one", "1", "a/tag/two", "2")},
			{Event: "UntagResource", Do: does(option(w.UntagResource), func(it *Item) *kms.UntagResourceInput {
				return &kms.UntagResourceInput{KeyId: key(it), TagKeys: []string{"one", "two"}}
			}), Then: ends("a/tag/")},
			{Event: "PutKeyPolicy", Do: does(option(w.PutKeyPolicy), func(it *Item) *kms.PutKeyPolicyInput {
				return &kms.PutKeyPolicyInput{KeyId: key(it), Policy: aws.String(policy(it))}
			}), Then: is("a/policy", "own")},
			{Event: "UpdateKeyDescription", Do: does(option(w.UpdateKeyDescription), func(it *Item) *kms.UpdateKeyDescriptionInput {
				return &kms.UpdateKeyDescriptionInput{KeyId: key(it), Description: aws.String("renamed")}
			}), Then: is("a/description", "renamed")},
			{Event: "EnableKeyRotation", Do: does(option(w.EnableKeyRotation), func(it *Item) *kms.EnableKeyRotationInput {
				return &kms.EnableKeyRotationInput{KeyId: key(it), RotationPeriodInDays: aws.Int32(90)}
			}), Then: is("a/rotation", "90")},
			{Event: "RotateKeyOnDemand", Do: does(option(w.RotateKeyOnDemand), func(it *Item) *kms.RotateKeyOnDemandInput {
				return &kms.RotateKeyOnDemandInput{KeyId: key(it)}
			}), Then: is("a/materials", "2")},
			{Event: "DisableKeyRotation", Do: does(option(w.DisableKeyRotation), func(it *Item) *kms.DisableKeyRotationInput {
				return &kms.DisableKeyRotationInput{KeyId: key(it)}
			}), Then: is("a/rotation", "off")},
			{Event: "UpdateAlias", Do: does(option(w.UpdateAlias), func(it *Item) *kms.UpdateAliasInput {
				return &kms.UpdateAliasInput{AliasName: alias(it), TargetKeyId: aws.String(it.Notes["b"])}
			}), Then: both(ends("a/alias"), is("b/alias", "1"))},
			{Event: "RevokeGrant", Do: w.revoke, Then: ends("a/grants", "retirable")},
			{Event: "DisableKey", Do: does(option(w.DisableKey), func(it *Item) *kms.DisableKeyInput {
				return &kms.DisableKeyInput{KeyId: key(it)}
			}), Then: both(is("a", "Disabled"), ends("opens"))},
			{Event: "EnableKey", Do: does(option(w.EnableKey), func(it *Item) *kms.EnableKeyInput {
				return &kms.EnableKeyInput{KeyId: key(it)}
			}), Then: is("a", "Enabled", "opens", "yes")},
			w.schedule("a"),
			{Event: "CancelKeyDeletion", Do: does(option(w.CancelKeyDeletion), func(it *Item) *kms.CancelKeyDeletionInput {
				return &kms.CancelKeyDeletionInput{KeyId: key(it)}
			}), Then: is("a", "Disabled", "a/rotation", "off", "a/materials", "2")},
			w.schedule("a"),
			{Event: "DeleteAlias", Do: does(option(w.DeleteAlias), func(it *Item) *kms.DeleteAliasInput {
				return &kms.DeleteAliasInput{AliasName: alias(it)}
			}), Then: ends("b/alias")},
			w.schedule("b"),
		},
	}
}

// importTrade imports material into a key, deletes it, and imports it again.
func importTrade(s *rig.Server) Trade {
	w := newKeyWork(s)
	again := Step{Event: "ImportKeyMaterial", Do: w.importMaterial, Then: is("a", "Enabled", "a/materials", "1", "opens", "yes")}
	first := again
	first.Then = is("a", "Enabled", "a/materials", "1")
	return Trade{
		Name: "import", Observe: func(ctx context.Context, it *Item) (Facts, error) { return w.observe(ctx, it, "a") },
		Steps: []Step{
			{Event: "CreateKey", Do: w.create("a", types.OriginTypeExternal), Then: is("a", "PendingImport", "a/made", "whole", "a/materials", "0")},
			first,
			{Event: "Encrypt", Do: w.encrypt, Then: is("opens", "yes")},
			{Event: "DeleteImportedKeyMaterial", Do: does(option(w.DeleteImportedKeyMaterial), func(it *Item) *kms.DeleteImportedKeyMaterialInput {
				return &kms.DeleteImportedKeyMaterialInput{KeyId: aws.String(it.Notes["a"])}
			}), Then: both(is("a", "PendingImport", "a/materials", "0"), ends("opens"))},
			again,
			w.schedule("a"),
		},
	}
}

// keyPolicy is one that keeps the account in, and says whose it is.
func keyPolicy(action, id string) string {
	return compact(fmt.Sprintf(`{"Version":"2012-10-17","Id":%q,"Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":%q,"Resource":"*"}]}`,
		id, account+"root", action))
}

// create makes the key that an item calls slot. Its description is how it is found again.
func (w *keyWork) create(slot string, origin types.OriginType) func(context.Context, *Item) error {
	return func(ctx context.Context, it *Item) error {
		out, err := w.CreateKey(ctx, &kms.CreateKeyInput{
			Description: aws.String(it.Name + "/" + slot), Origin: origin, Tags: []types.Tag{{TagKey: aws.String("item"), TagValue: &it.Name}},
		})
		if err == nil {
			it.Notes[slot] = *out.KeyMetadata.KeyId
		}
		return err
	}
}

func (w *keyWork) encrypt(ctx context.Context, it *Item) error {
	out, err := w.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String(it.Notes["a"]), Plaintext: []byte(it.Name)})
	if err == nil {
		it.Notes["ciphertext"] = string(out.CiphertextBlob)
	}
	return err
}

func (w *keyWork) revoke(ctx context.Context, it *Item) error {
	list, err := w.ListGrants(ctx, &kms.ListGrantsInput{KeyId: aws.String(it.Notes["a"])})
	if err != nil {
		return err
	}
	_, err = w.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: aws.String(it.Notes["a"]), GrantId: list.Grants[0].GrantId})
	return err
}

func (w *keyWork) schedule(slot string) Step {
	return Step{Event: "ScheduleKeyDeletion", Do: does(option(w.ScheduleKeyDeletion), func(it *Item) *kms.ScheduleKeyDeletionInput {
		return &kms.ScheduleKeyDeletionInput{KeyId: aws.String(it.Notes[slot]), PendingWindowInDays: aws.Int32(7)}
	}), Then: both(is(slot, "PendingDeletion"), ends(slot+"/rotation", slot+"/materials", "opens"))}
}

// importMaterial imports what follows from the item's name, so that it is the same again.
func (w *keyWork) importMaterial(ctx context.Context, it *Item) error {
	p, err := w.GetParametersForImport(ctx, &kms.GetParametersForImportInput{
		KeyId: aws.String(it.Notes["a"]), WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	})
	if err != nil {
		return err
	}
	public, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		return err
	}
	material := sha256.Sum256([]byte(it.Name))
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), material[:], nil)
	if err != nil {
		return err
	}
	_, err = w.ImportKeyMaterial(ctx, &kms.ImportKeyMaterialInput{
		KeyId: aws.String(it.Notes["a"]), ImportToken: p.ImportToken, EncryptedKeyMaterial: wrapped, ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	})
	return err
}

// find looks for a key whose id was never told, by the description that it was made with.
func (w *keyWork) find(ctx context.Context, it *Item, slot string) error {
	pages := kms.NewListKeysPaginator(w, &kms.ListKeysInput{Limit: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, k := range page.Keys {
			description, err := w.description(ctx, *k.KeyId)
			if err != nil {
				return err
			}
			if description == it.Name+"/"+slot {
				it.Notes[slot] = *k.KeyId
				return nil
			}
		}
	}
	return nil
}

func (w *keyWork) description(ctx context.Context, id string) (string, error) {
	w.mu.Lock()
	known, ok := w.known[id]
	w.mu.Unlock()
	if ok {
		return known, nil
	}
	out, err := w.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[id] = value(out.KeyMetadata.Description)
	return w.known[id], nil
}

func (w *keyWork) observe(ctx context.Context, it *Item, slots ...string) (Facts, error) {
	f := Facts{}
	for _, slot := range slots {
		if it.Notes[slot] == "" {
			if err := w.find(ctx, it, slot); err != nil {
				return nil, err
			}
		}
		if it.Notes[slot] == "" {
			continue
		}
		if err := w.observeKey(ctx, it, slot, f); err != nil {
			return nil, err
		}
	}
	return f, w.observeRetirable(ctx, it, f)
}

func (w *keyWork) observeRetirable(ctx context.Context, it *Item, f Facts) error {
	out, err := w.ListRetirableGrants(ctx, &kms.ListRetirableGrantsInput{RetiringPrincipal: aws.String(account + "role/" + it.Name)})
	if err == nil && len(out.Grants) > 0 {
		f["retirable"] = fmt.Sprint(len(out.Grants))
	}
	return err
}

func (w *keyWork) observeKey(ctx context.Context, it *Item, slot string, f Facts) error {
	id := aws.String(it.Notes[slot])
	key, err := w.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: id})
	if err != nil {
		return err
	}
	m := key.KeyMetadata
	f[slot] = string(m.KeyState)
	if d := value(m.Description); d != it.Name+"/"+slot {
		f[slot+"/description"] = d
	}
	if err := w.observeTags(ctx, it, slot, f); err != nil {
		return err
	}
	policy, err := w.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: id})
	if err != nil {
		return err
	}
	if strings.Contains(*policy.Policy, it.Name) {
		f[slot+"/policy"] = "own"
	}
	aliases, err := w.ListAliases(ctx, &kms.ListAliasesInput{KeyId: id})
	if err != nil {
		return err
	}
	if n := len(aliases.Aliases); n > 0 {
		f[slot+"/alias"] = fmt.Sprint(n)
	}
	grants, err := w.ListGrants(ctx, &kms.ListGrantsInput{KeyId: id})
	if err != nil {
		return err
	}
	if n := len(grants.Grants); n > 0 {
		f[slot+"/grants"] = fmt.Sprint(n)
	}
	if m.KeyState == types.KeyStatePendingDeletion {
		return nil
	}
	return w.observeMaterial(ctx, it, slot, m, f)
}

func (w *keyWork) observeTags(ctx context.Context, it *Item, slot string, f Facts) error {
	tags, err := w.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: aws.String(it.Notes[slot])})
	if err != nil {
		return err
	}
	for _, t := range tags.Tags {
		if *t.TagKey == "item" && *t.TagValue == it.Name {
			f[slot+"/made"] = "whole"
		} else {
			f[slot+"/tag/"+*t.TagKey] = *t.TagValue
		}
	}
	return nil
}

func (w *keyWork) observeMaterial(ctx context.Context, it *Item, slot string, m *types.KeyMetadata, f Facts) error {
	materials, err := w.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: m.KeyId, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial})
	if err != nil {
		return err
	}
	there := 0
	for _, r := range materials.Rotations {
		if r.ImportState != types.ImportStatePendingImport {
			there++
		}
	}
	f[slot+"/materials"] = fmt.Sprint(there)
	if m.Origin == types.OriginTypeAwsKms {
		rotation, err := w.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: m.KeyId})
		if err != nil {
			return err
		}
		f[slot+"/rotation"] = "off"
		if rotation.KeyRotationEnabled {
			f[slot+"/rotation"] = fmt.Sprint(value(rotation.RotationPeriodInDays))
		}
	}
	if m.KeyState != types.KeyStateEnabled || slot != "a" || it.Notes["ciphertext"] == "" {
		return nil
	}
	out, err := w.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: []byte(it.Notes["ciphertext"])})
	if err == nil && string(out.Plaintext) == it.Name {
		f["opens"] = "yes"
	}
	return err
}
