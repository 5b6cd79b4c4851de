// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"context"
	"iter"
	"testing"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

// slowDB holds up whoever reads all keys.
type slowDB struct {
	meta.DB
	keys []byte        // the prefix of their rows
	gate chan struct{} // until it is closed
}

func (d *slowDB) View(ctx context.Context, fn func(meta.Reader) error) error {
	return d.DB.View(ctx, func(r meta.Reader) error { return fn(&slowReader{r, d}) })
}

type slowReader struct {
	meta.Reader
	db *slowDB
}

func (r *slowReader) Scan(from, to []byte) iter.Seq2[meta.KV, error] {
	if bytes.Equal(from, r.db.keys) {
		<-r.db.gate
	}
	return r.Reader.Scan(from, to)
}

// Keys are used while a large store is still being loaded, by the policies and in the states that they have; changes
// and lists wait, and nothing is missing afterwards.
func TestKeysAreUsedWhileTheyAreLoaded(t *testing.T) {
	w := newWorld(t)
	id, disabled := w.symmetricKey(), w.symmetricKey()
	w.grant(grantInput(id, aliceARN, "GenerateDataKey"))
	if err := w.alias("alias/one", id); err != nil {
		t.Fatal(err)
	}
	must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &disabled}))
	slow := &slowDB{DB: w.db, keys: w.rows.of("k"), gate: make(chan struct{})}
	w.db = slow
	w.reopen()

	blob := must(w.GenerateDataKey(asUser(aliceARN), dataKeyInput(id))).CiphertextBlob
	must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: dataKeyInput(id).EncryptionContext}))
	must(w.GenerateDataKey(asRoot(), dataKeyInput("alias/one")))
	expect(t, second(w.GenerateDataKey(asUser(bobARN), dataKeyInput(id))), "AccessDeniedException", "…")
	expect(t, second(w.GenerateDataKey(asRoot(), dataKeyInput(disabled))), "DisabledException", "…")
	expect(t, second(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: ptr(unknownID)})), "NotFoundException", "…")
	done := make(chan string, 3)
	go func() {
		must(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &disabled}))
		done <- "a change"
	}()
	go func() {
		if n := len(must(w.ListKeys(asRoot(), &kmsapi.ListKeysInput{})).Keys); n != 2 {
			t.Errorf("%d keys were listed", n)
		}
		done <- "a list of keys"
	}()
	go func() {
		if n := len(must(w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{})).Aliases); n != 1+len(w.cfg.ManagedFor) {
			t.Errorf("%d aliases were listed", n)
		}
		done <- "a list of aliases"
	}()
	select {
	case what := <-done:
		t.Errorf("%s did not wait", what)
	case <-time.After(50 * time.Millisecond):
	}
	close(slow.gate)
	for range cap(done) {
		<-done
	}
	must(w.GenerateDataKey(asRoot(), dataKeyInput(disabled)))
	w.Close()
}

// A Service that is closed in the middle of loading ends it.
func TestCloseEndsLoading(t *testing.T) {
	w := newWorld(t)
	w.symmetricKey()
	slow := &slowDB{DB: w.db, keys: w.rows.of("k"), gate: make(chan struct{})}
	w.db = slow
	w.reopen()
	time.AfterFunc(20*time.Millisecond, func() { close(slow.gate) })
	w.Close()
	select {
	case <-slow.gate:
	default:
		t.Error("Close did not wait for the loading")
	}
}
