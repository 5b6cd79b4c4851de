// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

// snapshot is all that the API tells of the state.
func snapshot(w *world) map[string]any {
	all := map[string]any{"aliases": must(w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{})).Aliases}
	for _, e := range must(w.ListKeys(asRoot(), &kmsapi.ListKeysInput{})).Keys {
		id := e.KeyId
		all[*id] = []any{
			must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: id})).KeyMetadata,
			must(w.GetKeyPolicy(asRoot(), &kmsapi.GetKeyPolicyInput{KeyId: id})).Policy,
			must(w.ListResourceTags(asRoot(), &kmsapi.ListResourceTagsInput{KeyId: id})).Tags,
			must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: id})).Grants,
			must(w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{KeyId: id})).Aliases,
		}
	}
	return all
}

func TestEverythingIsBackAfterARestart(t *testing.T) {
	w := newWorld(t)
	a := *w.create(&kmsapi.CreateKeyInput{Description: ptr("<a & b>"), Tags: []*kmsapi.Tag{{TagKey: ptr("k"), TagValue: ptr("v")}}}).KeyId
	b, c := w.symmetricKey(), *w.keyOf("ECC_NIST_P256", "SIGN_VERIFY").KeyId
	expect(t, w.alias("alias/a", a), "", "")
	expect(t, w.alias("alias/b", b), "", "")
	w.putPolicy(a, document(delegate, `{"Effect":"Allow","Principal":{"AWS":"`+bobARN+`"},"Action":"kms:Decrypt","Resource":"*"}`))
	in := grantInput(a, aliceARN, "Decrypt")
	in.Name, in.Constraints = ptr("g"), &kmsapi.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "b"}}
	w.grant(in)
	must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &b}))
	must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &c}))
	must(w.GenerateDataKey(through(asRoot(), viaVideo), dataKeyInput("alias/aws/kinesisvideo")))
	context := map[string]string{"a": "b"}
	blob := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &a, Plaintext: []byte("x"), EncryptionContext: context})).CiphertextBlob

	before := snapshot(w)
	w.reopen()
	if diff := cmp.Diff(before, snapshot(w)); diff != "" {
		t.Error(diff)
	}
	for _, user := range []string{aliceARN, bobARN} {
		back, err := w.Decrypt(asUser(user), &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: context})
		if err != nil || string(back.Plaintext) != "x" {
			t.Errorf("%s: %v", user, err)
		}
	}
}

func TestKeyWithAnUnreadablePolicyDeniesAllAndTheOthersGoOn(t *testing.T) {
	w := newWorld(t)
	bad, good := w.symmetricKey(), w.symmetricKey()
	w.grant(grantInput(bad, aliceARN, "GenerateDataKey"))
	r := w.held(bad).record
	r.Policy = "{"
	if err := w.db.Update(t.Context(), func(tx meta.Tx) error { return putJSON(tx, rows{}.key(bad), r) }); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	must(w.GenerateDataKey(asRoot(), dataKeyInput(good)))
	for _, ctx := range []context.Context{asRoot(), asUser(aliceARN)} {
		_, err := w.GenerateDataKey(ctx, dataKeyInput(bad))
		expect(t, err, "AccessDeniedException", "…")
	}
}

// leaving is a store in whose next Update the caller goes away, and during while is called.
type leaving struct {
	meta.DB
	leave context.CancelFunc
	while func()
}

func (l *leaving) Update(ctx context.Context, fn func(meta.Tx) error) error {
	if l.leave != nil {
		l.leave()
		defer l.while()
		l.leave = nil
	}
	return l.DB.Update(ctx, fn)
}

// A caller that goes away is no reason to doubt the rows: else anybody who may change one key could keep all
// others from being used.
func TestCallerThatGoesAwayDisturbsNobody(t *testing.T) {
	w := newWorld(t)
	l := &leaving{DB: w.db}
	w.db = l
	w.reopen()
	id, other := w.symmetricKey(), w.symmetricKey()
	l.while = func() { must(w.GenerateDataKey(asRoot(), dataKeyInput(other))) }

	ctx, leave := context.WithCancel(asRoot())
	l.leave = leave
	if _, err := w.DisableKey(ctx, &kmsapi.DisableKeyInput{KeyId: &id}); err != nil {
		t.Errorf("a change that had begun: %v", err)
	}
	_, err := w.GenerateDataKey(asRoot(), dataKeyInput(id))
	expect(t, err, "DisabledException", "…")

	_, err = w.EnableKey(ctx, &kmsapi.EnableKeyInput{KeyId: &id})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a change whose caller had gone before: %v", err)
	}
	must(w.GenerateDataKey(asRoot(), dataKeyInput(other)))
	_, err = w.GenerateDataKey(asRoot(), dataKeyInput(id))
	expect(t, err, "DisabledException", "…")
}

// flaky is a store whose next Update does its work and then says that it does not
// know, or that cannot be read.
type flaky struct {
	meta.DB
	unknown, unreadable bool
}

var errUnknown = errors.New("connection lost")

func (f *flaky) Update(ctx context.Context, fn func(meta.Tx) error) error {
	err := f.DB.Update(ctx, fn)
	if f.unknown {
		f.unknown = false
		return errUnknown
	}
	return err
}

func (f *flaky) View(ctx context.Context, fn func(meta.Reader) error) error {
	if f.unreadable {
		return errUnknown
	}
	return f.DB.View(ctx, fn)
}

func TestUnknownOutcomeIsReadAgainAndNothingIsDecidedBefore(t *testing.T) {
	w := newWorld(t)
	f := &flaky{DB: w.db}
	w.db = f
	w.reopen()
	id := w.symmetricKey()
	must(w.GenerateDataKey(asRoot(), dataKeyInput(id)))

	f.unknown = true
	_, err := w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id})
	expect(t, err, "internal", "…")
	_, err = w.GenerateDataKey(asRoot(), dataKeyInput(id))
	expect(t, err, "DisabledException", "…")

	f.unknown, f.unreadable = true, true
	_, err = w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id})
	expect(t, err, "internal", "…")
	for range 2 {
		_, err = w.GenerateDataKey(asRoot(), dataKeyInput(id))
		expect(t, err, "internal", "…")
		_, err = w.ListKeys(asRoot(), &kmsapi.ListKeysInput{})
		expect(t, err, "internal", "…")
	}
	f.unreadable = false
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(w.GenerateDataKey(asRoot(), dataKeyInput(id)))
}

// Many callers use, disable, re-alias and rotate one key at once. Every ciphertext
// must open, and no use may succeed that began after DisableKey returned.
func TestConcurrentUse(t *testing.T) {
	w := newWorld(t)
	a, b := w.symmetricKey(), w.symmetricKey()
	expect(t, w.alias("alias/x", a), "", "")
	var wg sync.WaitGroup
	run := func(fn func(i int) error) {
		wg.Go(func() {
			for i := range 40 {
				if err := fn(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 3 {
		run(func(int) error {
			out, err := w.GenerateDataKey(asRoot(), dataKeyInput("alias/x"))
			if err != nil {
				return err
			}
			_, err = w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: out.CiphertextBlob})
			return err
		})
	}
	run(func(i int) error {
		return second(w.UpdateAlias(asRoot(), &kmsapi.UpdateAliasInput{AliasName: ptr("alias/x"), TargetKeyId: []*string{&a, &b}[i%2]}))
	})
	run(func(i int) error {
		if i > 20 {
			return nil
		}
		return second(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &a}))
	})
	run(func(i int) error {
		id := w.symmetricKey()
		must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id}))
		if _, err := w.GenerateDataKey(asRoot(), dataKeyInput(id)); err == nil {
			return errors.New("a disabled key was used")
		}
		return nil
	})
	run(func(i int) error {
		g, err := w.CreateGrant(asRoot(), grantInput(b, aliceARN, "Decrypt"))
		if err != nil {
			return err
		}
		return second(w.RevokeGrant(asRoot(), &kmsapi.RevokeGrantInput{KeyId: &b, GrantId: g.GrantId}))
	})
	run(func(int) error {
		return second(w.GenerateDataKey(through(asUser(aliceARN), viaVideo), dataKeyInput("alias/aws/kinesisvideo")))
	})
	run(func(int) error { return w.Sweep(t.Context()) })
	wg.Wait()
	managed := 0
	for id := range w.view.keys.after("") {
		if k := w.held(id); k.ManagedFor != "" {
			managed++
		}
	}
	if grants := must(w.countGrants(t.Context(), b)); managed != 1 || grants != 0 {
		t.Errorf("%d managed keys, %d grants", managed, grants)
	}
	w.reopen()
	if n := len(must(w.ListKeys(asRoot(), &kmsapi.ListKeysInput{Limit: ptr(int64(1000))})).Keys); n != 43 {
		t.Errorf("%d keys", n)
	}
}

// alwaysYes leaves the cost of the service itself.
type alwaysYes struct{}

func (alwaysYes) Authorize(context.Context, access.Request) error { return nil }

func BenchmarkGenerateDataKey(b *testing.B) {
	for name, decide := range map[string]bool{"deciding": true, "allowing all": false} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			id := w.symmetricKey()
			if !decide {
				w.cfg.Access = alwaysYes{}
			}
			in := dataKeyInput(id)
			in.EncryptionContext = map[string]string{"aws:kinesisvideo:arn": "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1700000000000"}
			ctx := asRoot()
			b.ReportAllocs()
			for b.Loop() {
				must(w.GenerateDataKey(ctx, in))
			}
		})
	}
}

func BenchmarkDecrypt(b *testing.B) {
	w := newWorld(b)
	id := w.symmetricKey()
	blob := must(w.GenerateDataKey(asRoot(), dataKeyInput(id))).CiphertextBlob
	ctx := asRoot()
	b.ReportAllocs()
	for b.Loop() {
		must(w.Decrypt(ctx, &kmsapi.DecryptInput{CiphertextBlob: blob}))
	}
}

func BenchmarkAuthorizeUse(b *testing.B) {
	w := newWorld(b)
	id, ctx := w.symmetricKey(), asRoot()
	context := map[string]string{"aws:kinesisvideo:arn": "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1700000000000"}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.AuthorizeUse(ctx, "Decrypt", id, context); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCryptoAlone is what GenerateDataKey cannot do without.
func BenchmarkCryptoAlone(b *testing.B) {
	name, material := newKeyName(false), randomBytes(32)
	b.ReportAllocs()
	for b.Loop() {
		sealCiphertext(name, [32]byte{}, material, randomSecret(32), nil)
	}
}
