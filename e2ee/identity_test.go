// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func mustIdentity(t testing.TB, r Role, name string) *Identity {
	t.Helper()
	seed := sum("test seed", []byte(name))
	id, err := IdentityFromSeed(r, seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustKEM(t testing.TB, name string) *KEMKey {
	t.Helper()
	seed := sum("test kem", []byte(name))
	k, err := NewKEMKey(seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestFingerprintDependsOnRole(t *testing.T) {
	a, b := mustIdentity(t, RoleOwner, "x"), mustIdentity(t, RoleProducer, "x")
	if a.Fingerprint() == b.Fingerprint() {
		t.Fatal("one key has one fingerprint in two roles")
	}
	if s := a.Fingerprint().String(); len(s) != 39 || strings.ContainsAny(s, "ILOU") || a.Fingerprint().Short() != s[:9] {
		t.Fatalf("fingerprint %q", s)
	}
}

func TestSignatureOfOneKindIsNoneOfAnother(t *testing.T) {
	id := mustIdentity(t, RoleProducer, "cam")
	sig, err := id.sign("statement", []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	if !verify(id.Public(), "statement", sig, []byte("bo"), []byte("dy")) {
		t.Fatal("own signature refused")
	}
	if verify(id.Public(), "fragment", sig, []byte("body")) {
		t.Fatal("a statement's signature passes as a fragment's")
	}
}

func TestWrapOpensForItsRecipientAndPurposeOnly(t *testing.T) {
	k, other := mustKEM(t, "k"), mustKEM(t, "other")
	to := k.Fingerprint()
	w, err := wrap(k.Public(), to, "wrap", []byte("ctx"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := k.unwrap(to, "wrap", []byte("ctx"), w); !ok || string(s) != "secret" {
		t.Fatal("own wrap does not open")
	}
	for name, open := range map[string]func() ([]byte, bool){
		"other key":       func() ([]byte, bool) { return other.unwrap(to, "wrap", []byte("ctx"), w) },
		"other recipient": func() ([]byte, bool) { return k.unwrap(other.Fingerprint(), "wrap", []byte("ctx"), w) },
		"other purpose":   func() ([]byte, bool) { return k.unwrap(to, "grant", []byte("ctx"), w) },
		"other context":   func() ([]byte, bool) { return k.unwrap(to, "wrap", []byte("cty"), w) },
		"cut short":       func() ([]byte, bool) { return k.unwrap(to, "wrap", []byte("ctx"), w[:10]) },
	} {
		if _, ok := open(); ok {
			t.Errorf("%s opens the wrap", name)
		}
	}
}

func TestRecoveryTextSurvivesPaper(t *testing.T) {
	k := mustKEM(t, "kit")
	s := k.RecoveryText()
	if len(strings.Split(s, "-")) != 14 {
		t.Fatalf("recovery text has %d groups", len(strings.Split(s, "-")))
	}
	got, err := ParseRecoveryText(" " + strings.ToLower(strings.ReplaceAll(s, "0", "o")) + "\n")
	if err != nil || !bytes.Equal(got.Public(), k.Public()) {
		t.Fatalf("typed recovery text: %v", err)
	}
	for i := range s {
		if s[i] == '-' {
			continue
		}
		c := byte('7')
		if s[i] == c {
			c = '8'
		}
		if _, err := ParseRecoveryText(s[:i] + string(c) + s[i+1:]); !errors.Is(err, ErrFormat) {
			t.Fatalf("letter %d changed, yet accepted", i)
		}
	}
}
