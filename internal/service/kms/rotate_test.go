// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

func (w *world) rotations(id string, include *string) []*kmsapi.RotationsListEntry {
	w.t.Helper()
	return must(w.ListKeyRotations(asRoot(), &kmsapi.ListKeyRotationsInput{KeyId: &id, IncludeKeyMaterial: include})).Rotations
}

func TestRotationKeepsOldCiphertextsReadable(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	type sealed struct{ plaintext, blob []byte }
	var all []sealed
	ids := map[string]bool{}
	for i := range 4 {
		if i > 0 {
			w.advance(time.Hour)
			if out := must(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})); *out.KeyId != w.keyARN(id) {
				t.Errorf("KeyId %s", *out.KeyId)
			}
		}
		out := must(w.GenerateDataKey(asRoot(), dataKeyInput(id)))
		all = append(all, sealed{out.Plaintext, out.CiphertextBlob})
		ids[*out.KeyMaterialId] = true
	}
	if len(ids) != 4 {
		t.Errorf("%d materials were used", len(ids))
	}
	w.reopen()
	for _, x := range all {
		if back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: x.blob})); !bytes.Equal(back.Plaintext, x.plaintext) {
			t.Error("an old ciphertext opens to something else")
		}
	}
	list := w.rotations(id, nil)
	if len(list) != 3 || *list[0].RotationType != "ON_DEMAND" || *list[2].KeyMaterialState != "CURRENT" || *list[0].KeyMaterialState != "NON_CURRENT" || list[1].RotationDate.Sub(*list[0].RotationDate) != time.Hour {
		t.Errorf("rotations %+v", list)
	}
	if list := w.rotations(id, ptr("ALL_KEY_MATERIAL")); len(list) != 4 || list[0].RotationDate != nil {
		t.Errorf("materials %+v", list)
	}
}

func TestRotationOnDemandEndsAtTwentyFive(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	for range 25 {
		must(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id}))
	}
	_, err := w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
	expect(t, err, "LimitExceededException", "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: "+w.keyARN(id))
}

func TestAutomaticRotation(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	status := func() *kmsapi.GetKeyRotationStatusOutput {
		return must(w.GetKeyRotationStatus(asRoot(), &kmsapi.GetKeyRotationStatusInput{KeyId: &id}))
	}
	sweep := func(d time.Duration) int {
		t.Helper()
		w.advance(d)
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(w.rotations(id, nil))
	}
	if s := status(); *s.KeyRotationEnabled || s.NextRotationDate != nil || s.RotationPeriodInDays != nil {
		t.Errorf("status %+v", s)
	}
	must(w.EnableKeyRotation(asRoot(), &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: ptr(int64(90))}))
	first := w.now.AddDate(0, 0, 90)
	if s := status(); !*s.KeyRotationEnabled || *s.RotationPeriodInDays != 90 || !s.NextRotationDate.Equal(first) {
		t.Errorf("status %+v", s)
	}
	if n := sweep(90*day - time.Second); n != 0 {
		t.Errorf("%d rotations too early", n)
	}
	_, err := w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
	expect(t, err, "ConflictException", "")
	if n := sweep(time.Second); n != 1 || sweep(0) != 1 {
		t.Errorf("%d rotations", n)
	}
	if list := w.rotations(id, nil); *list[0].RotationType != "AUTOMATIC" || !status().NextRotationDate.Equal(first.AddDate(0, 0, 90)) {
		t.Errorf("rotations %+v", list)
	}
	must(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id}))
	if !status().NextRotationDate.Equal(first.AddDate(0, 0, 90)) {
		t.Error("a rotation on demand moved the schedule")
	}

	must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id}))
	if n := sweep(200 * day); n != 2 {
		t.Errorf("a disabled key was rotated: %d", n)
	}
	must(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id}))
	if n := sweep(0); n != 3 || !status().NextRotationDate.After(w.now) {
		t.Errorf("%d rotations, the missed one should be made up for once", n)
	}
	must(w.DisableKeyRotation(asRoot(), &kmsapi.DisableKeyRotationInput{KeyId: &id}))
	if n := sweep(400 * day); n != 3 || *status().KeyRotationEnabled {
		t.Errorf("%d rotations after it was switched off", n)
	}
}

func TestOnlySymmetricKeysRotate(t *testing.T) {
	w := newWorld(t)
	id := *w.keyOf("HMAC_256", "GENERATE_VERIFY_MAC").KeyId
	for _, err := range []error{
		second(w.EnableKeyRotation(asRoot(), &kmsapi.EnableKeyRotationInput{KeyId: &id})),
		second(w.DisableKeyRotation(asRoot(), &kmsapi.DisableKeyRotationInput{KeyId: &id})),
		second(w.GetKeyRotationStatus(asRoot(), &kmsapi.GetKeyRotationStatusInput{KeyId: &id})),
		second(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})),
		second(w.ListKeyRotations(asRoot(), &kmsapi.ListKeyRotationsInput{KeyId: &id})),
	} {
		expect(t, err, "UnsupportedOperationException", "")
	}
}

func TestWhatHappensByItselfIsTold(t *testing.T) {
	w := newWorld(t)
	var told []string
	w.cfg.Happened = func(_ context.Context, event, keyARN string) { told = append(told, event+" "+keyARN) }
	a, b := w.symmetricKey(), w.symmetricKey()
	must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &a}))
	must(w.EnableKeyRotation(asRoot(), &kmsapi.EnableKeyRotationInput{KeyId: &b}))
	w.advance(365 * day)
	for range 2 {
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"DeleteKey " + w.keyARN(a), "RotateKey " + w.keyARN(b)}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
