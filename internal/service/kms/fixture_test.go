// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/policy"
)

const (
	account    = "000000000000"
	region     = "us-east-1"
	rootARN    = "arn:aws:iam::000000000000:root"
	aliceARN   = "arn:aws:iam::000000000000:user/alice"
	bobARN     = "arn:aws:iam::000000000000:user/bob"
	viaVideo   = "kinesisvideo.us-east-1.amazonaws.com"
	unknownID  = "1234abcd-12ab-34cd-56ef-1234567890ab"
	unknownARN = "arn:aws:kms:us-east-1:000000000000:key/" + unknownID
)

// world is a service with the real authorizer and a clock that tests move.
type world struct {
	t   testing.TB
	db  meta.DB
	ids identities
	*Service
	root    *countingRoot
	further []string // Regions
	told    []string // what happened by itself

	mu  sync.Mutex
	now time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, db: mem.New(), ids: identities{}, root: newRoot(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.reopen()
	return w
}

// reopen starts a new service over the same rows.
func (w *world) reopen() {
	w.t.Helper()
	s, err := New(Config{
		DB: w.db, Root: w.root, Access: access.New(w.ids, account, region, w.clock), Account: account, Region: region, Now: w.clock,
		Further: w.further, Happened: func(_ context.Context, event, keyARN string) { w.told = append(w.told, event+" "+keyARN) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// create makes a key as the root user.
func (w *world) create(in *kmsapi.CreateKeyInput) *kmsapi.KeyMetadata {
	w.t.Helper()
	out, err := w.CreateKey(asRoot(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.KeyMetadata
}

func (w *world) symmetricKey() string {
	w.t.Helper()
	return *w.create(&kmsapi.CreateKeyInput{}).KeyId
}

// allow gives a principal an identity policy.
func (w *world) allow(arn string, statement string) {
	w.t.Helper()
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[`+statement+`]}`), policy.Identity)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ids[arn] = append(w.ids[arn], d)
}

func (w *world) putPolicy(keyID, document string) {
	w.t.Helper()
	_, err := w.PutKeyPolicy(asRoot(), &kmsapi.PutKeyPolicyInput{KeyId: &keyID, Policy: &document})
	if err != nil {
		w.t.Fatal(err)
	}
}

// identities are the policies of principals by ARN.
type identities map[string][]*policy.Document

func (i identities) PoliciesFor(_ context.Context, p *access.Principal) ([]*policy.Document, *policy.Document, error) {
	return i[p.ARN], nil, nil
}

func as(p policy.Principal) context.Context {
	return access.NewContext(context.Background(), &access.Call{Principal: access.Principal{Principal: p}, Service: "kms"})
}

func asRoot() context.Context {
	return as(policy.Principal{Kind: policy.Root, ARN: rootARN, Account: account, UniqueID: account})
}

func asUser(arn string) context.Context {
	return as(policy.Principal{Kind: policy.User, ARN: arn, Account: arn[13:25], UniqueID: "AIDA" + strings.ToUpper(arn[31:])})
}

func through(ctx context.Context, service string) context.Context {
	ctx, _ = access.Via(ctx, service, "kms", "")
	return ctx
}

// countingRoot is a root key that counts and can be told to fail.
type countingRoot struct {
	aead    cipher.AEAD
	mu      sync.Mutex
	unwraps int
}

func newRoot() *countingRoot {
	block, err := aes.NewCipher(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &countingRoot{aead: aead}
}

func (r *countingRoot) Wrap(_ context.Context, plaintext, aad []byte) ([]byte, error) {
	return r.aead.Seal(nil, nil, plaintext, aad), nil
}

func (r *countingRoot) Unwrap(_ context.Context, wrapped, aad []byte) ([]byte, error) {
	r.mu.Lock()
	r.unwraps++
	r.mu.Unlock()
	return r.aead.Open(nil, nil, wrapped, aad)
}

// expect checks code and text of an API error; "" is success. A denial has the code
// AccessDeniedException. A message that ends in "…" is compared up to there.
func expect(t testing.TB, err error, code, message string) {
	t.Helper()
	gotCode, gotMessage := outcome(err)
	short, cut := strings.CutSuffix(message, "…")
	if gotCode != code || gotMessage != message && !(cut && strings.HasPrefix(gotMessage, short)) {
		t.Errorf("got %q %q, want %q %q", gotCode, gotMessage, code, message)
	}
}

func outcome(err error) (code, message string) {
	var denied *access.Denied
	var api protocol.APIError
	switch {
	case err == nil:
		return "", ""
	case errors.As(err, &denied):
		return "AccessDeniedException", denied.Message
	case errors.As(err, &api):
		return api.ErrorCode(), api.ErrorMessage()
	}
	return "internal", err.Error()
}

func must[T any](out T, err error) T {
	if err != nil {
		panic(err)
	}
	return out
}

func ptr[T any](v T) *T { return &v }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

type contextT = context.Context

// dump writes all values of db to out.
func dump(t testing.TB, db meta.DB, out *strings.Builder) {
	t.Helper()
	err := db.View(t.Context(), func(r meta.Reader) error {
		for row, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			out.Write(row.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func swapRows(t testing.TB, db meta.DB, a, b []byte) {
	t.Helper()
	err := db.Update(t.Context(), func(tx meta.Tx) error {
		x, y := must(tx.Get(a)), must(tx.Get(b))
		tx.Put(a, y)
		tx.Put(b, x)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// namesOnly is a key policy that allows one principal some actions, and nobody anything else.
func namesOnly(principal, action string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"` + action + `","Resource":"*"}}`
}
