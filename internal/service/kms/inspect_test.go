// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"testing"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

func TestCustodianOpensWhatTheServiceSealed(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	ec := map[string]string{"stream": "front"}
	out := must(w.GenerateDataKey(asRoot(), &kmsapi.GenerateDataKeyInput{KeyId: &id, EncryptionContext: ec, KeySpec: ptr(kmsapi.DataKeySpecAes256)}))
	must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id})) // a decision, and the Custodian makes none
	c := Custodian{DB: w.db, Root: w.root}

	plain, err := c.Decrypt(t.Context(), out.CiphertextBlob, ec)
	if err != nil || string(plain) != string(out.Plaintext) {
		t.Fatalf("another plaintext, or %v", err)
	}
	if _, err := c.Decrypt(t.Context(), out.CiphertextBlob, nil); err == nil {
		t.Error("opened with another encryption context")
	}
	if _, err := c.Decrypt(t.Context(), []byte("nonsense"), ec); err == nil {
		t.Error("opened nonsense")
	}
	if keys, faults := verify(t, &c); keys != 1 || len(faults) != 0 {
		t.Errorf("%d keys, faults %v", keys, faults)
	}
}

func TestCustodianTellsDeletedKeysFromDamage(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	out := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")}))
	c := Custodian{DB: w.db, Root: w.root}

	drop(t, w.db, meta.Key(space, "m", id))
	if _, err := c.Decrypt(t.Context(), out.CiphertextBlob, nil); err == nil || errors.Is(err, ErrKeyDeleted) {
		t.Errorf("material that is missing: %v", err)
	}
	if _, faults := verify(t, &c); len(faults) != 1 {
		t.Errorf("faults %v", faults)
	}
	drop(t, w.db, rows{}.key(id))
	if _, err := c.Decrypt(t.Context(), out.CiphertextBlob, nil); !errors.Is(err, ErrKeyDeleted) {
		t.Errorf("key that was deleted: %v", err)
	}
	if keys, faults := verify(t, &c); keys != 0 || len(faults) != 0 {
		t.Errorf("%d keys, faults %v", keys, faults)
	}
}

func TestCustodianFindsMaterialOfAnotherKey(t *testing.T) {
	w := newWorld(t)
	a, b := w.symmetricKey(), w.symmetricKey()
	c := Custodian{DB: w.db, Root: w.root}
	swapRows(t, w.db, firstMaterial(t, w.db, a), firstMaterial(t, w.db, b))
	if _, faults := verify(t, &c); len(faults) != 2 {
		t.Errorf("faults %v", faults)
	}
}

func verify(t *testing.T, c *Custodian) (keys int, faults []error) {
	t.Helper()
	keys, err := c.Verify(t.Context(), func(_ string, err error) { faults = append(faults, err) })
	if err != nil {
		t.Fatal(err)
	}
	return keys, faults
}

func drop(t *testing.T, db meta.DB, prefix []byte) {
	t.Helper()
	err := db.Update(context.Background(), func(tx meta.Tx) error {
		tx.DeleteRange(prefix, meta.PrefixEnd(prefix))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func firstMaterial(t *testing.T, db meta.DB, id string) (key []byte) {
	t.Helper()
	prefix := meta.Key(space, "m", id)
	err := db.View(t.Context(), func(r meta.Reader) error {
		for kv, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			key = kv.Key
			return err
		}
		return errors.New("no material")
	})
	if err != nil {
		t.Fatal(err)
	}
	return key
}
