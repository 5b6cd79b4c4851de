// SPDX-License-Identifier: Apache-2.0

package rootkey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fast are parameters that make the passphrase's derivation quick; only for tests.
func fast(words string) Options {
	return Options{
		Provider: "passphrase",
		Params:   map[string]string{paramMemory: "8192", paramPasses: "1", paramLanes: "1"},
		Ask:      func(string, bool) ([]byte, error) { return []byte(words), nil },
	}
}

func TestPassphraseProtectsTheRootKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	made, err := Create(t.Context(), path, fast("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, made.Secret()) || strings.Contains(string(text), "horse") {
		t.Error("a secret is in the file")
	}
	again, err := Open(t.Context(), path, Options{Ask: fast("correct horse").Ask})
	if err != nil || again.ID() != made.ID() || !bytes.Equal(again.Secret(), made.Secret()) {
		t.Fatalf("open: %v", err)
	}
	if d, err := Describe(path); err != nil || d.Provider != "passphrase" || d.ID != made.ID() || d.Params[paramSalt] == "" {
		t.Errorf("describe: %+v, %v", d, err)
	}
	for name, o := range map[string]Options{
		"wrong":    {Ask: fast("incorrect horse").Ask},
		"empty":    {Ask: fast("").Ask},
		"unasked":  {},
		"failed":   {Ask: func(string, bool) ([]byte, error) { return nil, errors.New("no terminal") }},
		"two salt": {Ask: fast("correct horse").Ask, Params: map[string]string{paramSalt: "AAAAAAAAAAAAAAAAAAAAAA=="}},
	} {
		if _, err := Open(t.Context(), path, o); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(t.Context(), path, Options{Provider: ProviderFile}); !errors.Is(err, ErrProvider) {
		t.Errorf("other provider: %v", err)
	}
	huge := Options{Ask: fast("x").Ask, Params: map[string]string{paramMemory: "4294967295"}}
	if _, err := Open(t.Context(), path, huge); !errors.Is(err, ErrProvider) {
		t.Errorf("memory without bound: %v", err)
	}
}

func TestEveryByteOfAProtectedFileCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	if _, err := Create(t.Context(), path, fast("words")); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	_, h, _ := parse(text)
	for name, alter := range map[string]func(*header){
		"id":     func(h *header) { h.ID = strings.Repeat("0", 16) },
		"sealed": func(h *header) { h.Sealed[len(h.Sealed)-1] ^= 1 },
		"lanes":  func(h *header) { h.Params[paramLanes] = "2" },
	} {
		_, h2, _ := parse(text)
		alter(h2)
		line, _ := json.Marshal(h2)
		other := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(other, append([]byte(protectedHeader+"\n"), line...), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), other, Options{Ask: fast("words").Ask}); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h.Provider != "passphrase" {
		t.Errorf("provider %s", h.Provider)
	}
}

func TestProvidersThatLackSomethingMakeNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	for name, o := range map[string]Options{
		"unknown":    {Provider: "paper"},
		"no module":  {Provider: "pkcs11"},
		"no key":     {Provider: "transit"},
		"no aws key": {Provider: "aws"},
		"a token":    {Provider: "transit", Params: map[string]string{"key_name": "k", "token": "hvs.x"}},
		"options":    {Provider: ProviderFile, Params: map[string]string{"a": "b"}},
	} {
		if _, err := Create(t.Context(), path, o); !errors.Is(err, ErrProvider) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Fatalf("%s: a file was made", name)
		}
	}
}

func TestWhileRotatedEitherKeyOpensEverything(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	make := func(name string) *File {
		f, err := CreateFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a, b, c := make("a"), make("b"), make("c")
	first, _ := a.Wrap(ctx, []byte("x"), nil)
	a.Join(b)
	both, _ := a.Wrap(ctx, []byte("x"), nil)
	opens := func(k *File, wrapped []byte, want bool) {
		t.Helper()
		if _, err := k.Unwrap(ctx, wrapped, nil); (err == nil) != want {
			t.Errorf("opens: %v", err)
		}
	}
	alone, err := FromSecret(a.Secret())
	if err != nil {
		t.Fatal(err)
	}
	opens(alone, both, true)
	opens(b, both, true)
	opens(c, both, false)
	opens(a, first, true)
	opens(b, first, false)
	if ids := WrappedBy(both); len(ids) != 2 || ids[0] != a.ID() || ids[1] != b.ID() {
		t.Errorf("wrapped by %v", ids)
	}
	a.Keep(b.ID())
	last, _ := a.Wrap(ctx, []byte("x"), nil)
	if ids := WrappedBy(last); len(ids) != 1 || a.ID() != b.ID() {
		t.Errorf("wrapped by %v, id %s", ids, a.ID())
	}
	opens(alone, last, false)
	opens(a, first, false)
}

func FuzzUnwrap(f *testing.F) {
	k, err := FromSecret(bytes.Repeat([]byte{1}, keyBytes))
	if err != nil {
		f.Fatal(err)
	}
	good, _ := k.Wrap(context.Background(), []byte("x"), nil)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte("OR\x01\x02"))
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		plain, err := k.Unwrap(t.Context(), wrapped, nil)
		if err == nil && !bytes.Equal(plain, []byte("x")) {
			t.Error("opened what was never wrapped")
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(plainHeader + "\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Add([]byte(protectedHeader + "\n" + `{"id":"0123456789abcdef","provider":"passphrase","sealed":"AAAA"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if raw, h, ok := parse(text); ok && (raw == nil) == (h == nil) {
			t.Error("a file is of one kind")
		}
	})
}

// TestTokenProtectsTheRootKey runs against SoftHSM2.
func TestTokenProtectsTheRootKey(t *testing.T) {
	module := softHSM(t)
	o := Options{
		Provider: "pkcs11",
		Params:   map[string]string{"module": module, "token": "obscura-test"},
		Ask:      func(string, bool) ([]byte, error) { return []byte("1234"), nil },
	}
	path := filepath.Join(t.TempDir(), "root.key")
	made, err := Create(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), path, Options{Ask: o.Ask})
	if err != nil || again.ID() != made.ID() {
		t.Fatalf("open: %v", err)
	}
	second, err := Create(t.Context(), path+"2", o)
	if err != nil || second.ID() == made.ID() {
		t.Fatalf("second root key under the token's same key: %v", err)
	}
	wrong := func(string, bool) ([]byte, error) { return []byte("4321"), nil }
	if _, err := Open(t.Context(), path, Options{Ask: wrong}); !errors.Is(err, ErrLocked) {
		t.Errorf("wrong PIN: %v", err)
	}
	absent := map[string]string{"token": "another"}
	if _, err := Open(t.Context(), path, Options{Ask: o.Ask, Params: absent}); !errors.Is(err, ErrLocked) {
		t.Errorf("absent token: %v", err)
	}
	otherKey := map[string]string{"key": "another"}
	if _, err := Open(t.Context(), path, Options{Ask: o.Ask, Params: otherKey}); !errors.Is(err, ErrLocked) {
		t.Errorf("absent key: %v", err)
	}
}

// softHSM makes a token and returns the library's path.
func softHSM(t *testing.T) string {
	t.Helper()
	var module string
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			module = path
		}
	}
	util, err := exec.LookPath("softhsm2-util")
	if module == "" || err != nil {
		if strings.Contains(os.Getenv("OBSCURA_TEST_REQUIRE"), "softhsm") {
			t.Fatal("SoftHSM2 is required and not there")
		}
		t.Skip("SoftHSM2 is not installed (Debian: softhsm2)")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	tokens := filepath.Join(dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	out, err := exec.Command(util, "--init-token", "--free", "--label", "obscura-test", "--pin", "1234", "--so-pin", "12345678").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return module
}
