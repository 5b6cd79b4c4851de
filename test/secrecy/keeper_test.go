// SPDX-License-Identifier: Apache-2.0

package secrecy

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// keeper keeps every secret that a run made, so that they can be looked for.
type keeper struct {
	t       *testing.T
	secrets map[string][]byte
	needles *needles
}

func newKeeper(t *testing.T) *keeper {
	return &keeper{t: t, secrets: map[string][]byte{}, needles: newNeedles()}
}

// add takes a secret. The same name again stands for another of its kind.
func (k *keeper) add(name string, secret []byte) {
	k.t.Helper()
	if len(secret) < window {
		k.t.Fatalf("%s has only %d bytes: no search for it proves anything", name, len(secret))
	}
	for n := 2; k.secrets[name] != nil; n++ {
		name = fmt.Sprintf("%s %d", strings.TrimRight(name, "0123456789 "), n)
	}
	k.secrets[name] = bytes.Clone(secret)
	for _, s := range ways(secret) {
		k.needles.add(name, s)
	}
}

func (k *keeper) addText(name string, secret *string) {
	k.t.Helper()
	k.add(name, []byte(*secret))
}

// ways are the forms in which a secret might be written: as it is, in hexadecimal, in base64 of both alphabets and
// at each place in a longer text, in base32, as Go prints bytes, escaped for a URL, and all of them backwards.
func ways(secret []byte) (all [][]byte) {
	all = append(all, secret, []byte(hex.EncodeToString(secret)), []byte(strings.ToUpper(hex.EncodeToString(secret))),
		[]byte(base32.StdEncoding.EncodeToString(secret)), []byte(strings.Trim(fmt.Sprint(secret), "[]")), []byte(url.QueryEscape(string(secret))))
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := alphabet.EncodeToString(append(make([]byte, before), secret...))
			all = append(all, []byte(text[(before*8+5)/6:len(text)-1])) // the ends depend on the neighbours
		}
	}
	for _, s := range slices.Clone(all) {
		back := bytes.Clone(s)
		slices.Reverse(back)
		all = append(all, back)
	}
	return all
}

// judgeText says which secret a text holds, and shows that it would have been found.
func (k *keeper) judgeText(where, text string) {
	k.t.Helper()
	if len(text) < 50 {
		k.t.Errorf("%s: only %q: looking in the wrong place", where, text)
	}
	if name, at := k.needles.find([]byte(text)); at >= 0 {
		k.t.Errorf("%s hold %s: …%.60q…", where, name, text[max(0, at-30):])
	}
	for _, name := range k.names() {
		if found, at := k.needles.find([]byte(text + string(k.secrets[name]) + text)); at != len(text) {
			k.t.Errorf("control: in %s %s was not found at %d, but %q at %d", where, name, len(text), found, at)
		}
	}
}

func (k *keeper) names() []string { return slices.Sorted(maps.Keys(k.secrets)) }

// judgeFiles says which secrets lie in the files of a folder. allowed names, by the path below it, the files whose
// purpose it is to hold a secret.
func (k *keeper) judgeFiles(dir string, allowed ...string) {
	k.t.Helper()
	for _, found := range k.filesWith(dir, allowed...) {
		k.t.Error(found)
	}
	name := k.names()[0]
	planted := filepath.Join(dir, "planted")
	if err := os.WriteFile(planted, append(make([]byte, 4095), ways(k.secrets[name])[2]...), 0o600); err != nil {
		k.t.Fatal(err)
	}
	if found := k.filesWith(dir, allowed...); len(found) != 1 || !strings.Contains(found[0], name) {
		k.t.Errorf("control: what was planted was not found: %v", found)
	}
	if err := os.Remove(planted); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeper) filesWith(dir string, allowed ...string) (bad []string) {
	k.t.Helper()
	found, read, err := k.needles.findIn(dir)
	if err != nil || read == 0 {
		k.t.Fatalf("%s: read %d bytes, %v", dir, read, err)
	}
	for _, f := range found {
		path, _, _ := strings.Cut(f, ":")
		below, err := filepath.Rel(dir, path)
		if err != nil {
			k.t.Fatal(err)
		}
		if !slices.Contains(allowed, below) {
			bad = append(bad, f)
		}
	}
	return bad
}

// TestKeeperFindsEveryWay is the control of the search: any sixteen bytes of a secret in any of its ways are found.
func TestKeeperFindsEveryWay(t *testing.T) {
	k := newKeeper(t)
	secret := make([]byte, 48)
	for i := range secret {
		secret[i] = byte(i*71 + 13)
	}
	k.add("secret", secret)
	for i, way := range ways(secret) {
		for _, part := range [][]byte{way, way[:len(way)/2+window], way[len(way)/2-window:]} {
			if name, _ := k.needles.find(slices.Concat([]byte("a line of text: "), part, []byte("\n"))); name != "secret" {
				t.Errorf("way %d was not found: %q", i, part)
			}
		}
	}
	if name, _ := k.needles.find([]byte(strings.Repeat("an innocent line of text 0123456789abcdef\n", 100))); name != "" {
		t.Errorf("found %q in what is none", name)
	}
}
