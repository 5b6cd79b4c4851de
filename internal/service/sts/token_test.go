// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

func (w *world) credentials(change ...func(*stsapi.AssumeRoleInput)) (id, token string) {
	w.t.Helper()
	if _, ok := w.roles[roleARN]; !ok {
		w.role(trustAna, allow("kms:*", "*"))
	}
	out, err := w.assume(w.ana(), change...)
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.Credentials.AccessKeyId, *out.Credentials.SessionToken
}

func TestTokenAlteredAnywhereIsInvalid(t *testing.T) {
	w := newWorld(t)
	for _, policy := range []*string{nil, new(allow("kms:Decrypt", "*"))} {
		id, token := w.credentials(func(in *stsapi.AssumeRoleInput) { in.Policy = policy })
		for i := range token {
			for _, c := range []byte{token[i] ^ 1, '\n', 'A', '='} {
				altered := token[:i] + string(c) + token[i+1:]
				if altered == token {
					continue
				}
				if _, err := w.Resolve(t.Context(), id, altered); !errors.Is(err, ErrInvalidToken) {
					t.Fatalf("byte %d as %q: %v", i, c, err)
				}
			}
		}
		for _, other := range []string{"", token[:len(token)-4], token + "\n", token + "AAAA", " " + token, token[1:] + token, strings.Repeat("A", maxTokenBytes+4)} {
			if _, err := w.Resolve(t.Context(), id, other); !errors.Is(err, ErrInvalidToken) {
				t.Errorf("token of %d bytes: %v", len(other), err)
			}
		}
		if _, err := w.Resolve(t.Context(), id, token); err != nil {
			t.Errorf("the token itself: %v", err)
		}
	}
}

func FuzzResolve(f *testing.F) {
	w := &world{}
	f.Add("ASIAAAAAAAAAAAAAAAAA", base64.StdEncoding.EncodeToString(make([]byte, 60)))
	f.Add("", "AQ==")
	f.Fuzz(func(t *testing.T, id, token string) {
		if w.Service == nil {
			w = newWorld(t)
		}
		if _, err := w.Resolve(t.Context(), id, token); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%q with %q: %v", token, id, err)
		}
	})
}

func TestTokenBelongsToItsAccessKey(t *testing.T) {
	w := newWorld(t)
	id, token := w.credentials()
	other, _ := w.credentials()
	for _, k := range []string{other, "AKIAana", "", strings.ToLower(id)} {
		if _, err := w.Resolve(t.Context(), k, token); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("with %s: %v", k, err)
		}
	}
}

func TestTokenEndsWithItsTime(t *testing.T) {
	w := newWorld(t)
	id, token := w.credentials(func(in *stsapi.AssumeRoleInput) { in.DurationSeconds = new(int64(900)) })
	w.now = start.Add(899 * time.Second)
	if _, err := w.Resolve(t.Context(), id, token); err != nil {
		t.Errorf("a second before: %v", err)
	}
	w.now = start.Add(900 * time.Second)
	if _, err := w.Resolve(t.Context(), id, token); !errors.Is(err, ErrExpiredToken) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestTokenEndsWithItsRole(t *testing.T) {
	w := newWorld(t)
	id, token := w.credentials()
	role := w.roles[roleARN]
	resolve := func() error { _, err := w.Resolve(t.Context(), id, token); return err }
	if err := resolve(); err != nil {
		t.Fatal(err)
	}
	delete(w.roles, roleARN)
	if err := resolve(); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("role deleted: %v", err)
	}
	again := role
	again.ID = "AROAOTHER"
	w.roles[roleARN] = again
	if err := resolve(); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("another role of that name: %v", err)
	}
}

func TestTokensSurviveRestartButNotAnotherStore(t *testing.T) {
	db := mem.New()
	w := openWorld(t, db)
	id, token := w.credentials(func(in *stsapi.AssumeRoleInput) { in.Policy = new(allow("kms:Decrypt", "*")) })
	again := openWorld(t, db)
	again.role(trustAna, allow("kms:*", "*"))
	cred, err := again.Resolve(t.Context(), id, token)
	if err != nil || !again.may(again.as(cred.Principal), "kms:Decrypt", "*") || again.may(again.as(cred.Principal), "kms:Encrypt", "*") {
		t.Errorf("after a restart: %v", err)
	}
	other := newWorld(t)
	other.role(trustAna)
	if _, err := other.Resolve(t.Context(), id, token); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("another server's token: %v", err)
	}
}

func TestTokensAreBounded(t *testing.T) {
	w := newWorld(t)
	_, small := w.credentials()
	_, big := w.credentials(func(in *stsapi.AssumeRoleInput) {
		in.Policy = new(allow("kms:Decrypt", "arn:aws:kms:*:*:key/"+strings.Repeat("k", 1900)))
	}, tagged("a", strings.Repeat("x", 256)))
	if len(small) > 400 || len(big) > 4096 {
		t.Errorf("tokens of %d and %d bytes", len(small), len(big))
	}
}

func TestOpenedSessionsAreBounded(t *testing.T) {
	w := newWorld(t)
	for range maxOpened {
		w.opened[fingerprint{byte(len(w.opened)), byte(len(w.opened) >> 8)}] = &session{}
	}
	id, token := w.credentials()
	if _, err := w.Resolve(t.Context(), id, token); err != nil || len(w.opened) != 1 {
		t.Errorf("%d sessions, %v", len(w.opened), err)
	}
}
