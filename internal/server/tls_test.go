// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/rootkey"
)

func testRoot(t *testing.T) *rootkey.File {
	t.Helper()
	root, err := rootkey.CreateFile(filepath.Join(t.TempDir(), "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestAuthorityIsTheSameAfterARestart(t *testing.T) {
	t.Parallel()
	ctx, dir, root, now := context.Background(), t.TempDir(), testRoot(t), time.Now()
	first, err := openAuthority(ctx, serverAuthority(dir), root, now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := openAuthority(ctx, serverAuthority(dir), root, now)
	if err != nil {
		t.Fatal(err)
	}
	if first.fingerprint() != second.fingerprint() || !first.key.Equal(second.key) {
		t.Error("another authority after a restart")
	}
	sealed, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(first.key)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, der[40:60]) {
		t.Error("ca.key lies in the clear")
	}
	if _, err := openAuthority(ctx, serverAuthority(dir), testRoot(t), now); !errors.Is(err, rootkey.ErrWrongKey) {
		t.Errorf("another root key: %v", err)
	}
}

func TestServerCertificateVerifiesForItsNamesAndRenewsItself(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, err := openAuthority(context.Background(), serverAuthority(t.TempDir()), testRoot(t), now)
	if err != nil {
		t.Fatal(err)
	}
	c := &certificates{authority: a, names: certificateNames([]string{"127.0.0.1", "cam.example.org"}), now: func() time.Time { return now }}
	first, err := c.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	for _, name := range []string{"127.0.0.1", "localhost", "cam.example.org"} {
		if _, err := first.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := first.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "other.example.org", CurrentTime: now}); err == nil {
		t.Error("verifies for a name that it does not have")
	}
	if again, _ := c.get(nil); again != first {
		t.Error("a new certificate without need")
	}
	now = now.Add(leafLife - leafRenew + time.Minute)
	if renewed, _ := c.get(nil); renewed == first {
		t.Error("not renewed")
	}
}
