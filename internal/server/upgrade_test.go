// SPDX-License-Identifier: Apache-2.0

package server

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/policy"
)

// What lies in testdata/store-v1.tar.gz: a data directory that the server of 28 November 2026 wrote, at commit
// 3ccd258, before grants had an index, keys Regions, the audit log digests. It was killed while it ran. What names a place or
// is written anew (credentials, endpoints.json, the control socket) was left out.
const (
	oldKey    = "f5ae1039-a7f9-4147-8259-f4ab2db3aa4f" // alias/one, rotated once
	oldMulti  = "mrk-9b7cc42c8889cf038a7720613704e944"
	oldUser   = "AKIAKOGMF7JQVL2UDCQ6" // of ana, who has a grant on both
	oldGrant  = "f62a95f5b6e497d81fd34c17c365938f841b7491e79222cc134921ea31e86063"
	oldDevice = "7116f7cec86405b443721c4b2c21b70e68e445ffa03190ebd7e94ed65e581ff4"
	// "hello" under alias/one, room=hall, before and after the rotation.
	oldCiphertext = "T0sBAPWuEDmn+UFHgln0qy2zqk/3zu/X9wqjpLy59qA9U7EDOx6TIlMNzyI4uHLM51WpfVfOAQDxcPWAOHwQlureHDbqgjfTYEWQ+Ah8eYCF+wWm4ss0pR7znT0mSzYWJnk3RWDh5RBO"
	newCiphertext = "T0sBAPWuEDmn+UFHgln0qy2zqk+UjChl9xOHJNv6Q/GEbXPQCYgmWYeSqByU0Q/x8jj5AEXVMx9xp/Rp3jTrv1Uu4dcB3zn0E96Jpj2Dqf9rVVk+r2todQkK78bqTxZbzJZIxBW5WN2O"
)

// oldStore unpacks the store.
func oldStore(t *testing.T) (data string) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "store-v1.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data = filepath.Join(t.TempDir(), "data")
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return data
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(data, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			var body []byte
			if body, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, body, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// upgraded is an old store under this server, on the day after it was written.
type upgraded struct {
	*services
	t *testing.T
}

func (u *upgraded) as(p access.Principal, service, operation string) context.Context {
	return access.NewContext(u.t.Context(), &access.Call{Principal: p, Service: service, Operation: operation, RequestID: requestID(), SecureTransport: true})
}

func theRoot() access.Principal {
	return access.Principal{Principal: policy.Principal{Kind: policy.Root, ARN: "arn:aws:iam::" + DefaultAccount + ":root", Account: DefaultAccount}}
}

func TestStoreOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	data := oldStore(t)
	f, err := Fsck(t.Context(), FsckConfig{Data: data})
	clean(t, f, err) // before anything was upgraded: so is a backup of it
	wantFormat(t, data, olderFormat)
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	for range 2 { // as it was, and as the first start has left it
		s, err := Open(t.Context(), Config{
			Data: data, KMSRegions: []string{"eu-west-1"}, API: Listener{Listen: "127.0.0.1:0"}, Media: Listener{Listen: "127.0.0.1:0"},
			Device: Listener{Listen: "127.0.0.1:0"}, Admin: Listener{Listen: Off}, Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		wantFormat(t, data, formatVersion)
		u := &upgraded{s.services, t}
		u.keys()
		u.footage()
		if !s.services.iot.InForce(oldDevice) {
			t.Error("the device's certificate is not in force")
		}
		if _, err := s.services.digests.Make(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Hour)
	}
	f, err = Fsck(t.Context(), FsckConfig{Data: data})
	clean(t, f, err)
	if f.Fragments != 1 || f.Frames != 13 || f.AuditEvents < 30 {
		t.Errorf("%+v", f)
	}
	if r := verified(t, data, AuditKept{}); !r.Clean() || r.Digests == 0 {
		t.Errorf("%+v", r)
	}
}

// wantFormat looks at what tells another version whether it may open the store: the older one may not, once this one has.
func wantFormat(t *testing.T, data, want string) {
	t.Helper()
	if text, err := os.ReadFile(filepath.Join(data, formatFile)); err != nil || string(text) != want+"\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// keys uses keys, grants and users.
func (u *upgraded) keys() {
	u.t.Helper()
	cred, err := u.iam.LookupAccessKey(u.t.Context(), oldUser)
	if err != nil {
		u.t.Fatal(err)
	}
	ana := cred.Principal
	for _, text := range []string{oldCiphertext, newCiphertext} {
		blob, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			u.t.Fatal(err)
		}
		for _, who := range []access.Principal{theRoot(), ana} {
			out, err := u.kms.Decrypt(u.as(who, "kms", "Decrypt"), &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"room": "hall"}})
			if err != nil || string(out.Plaintext) != "hello" {
				u.t.Errorf("%s: %+v, %v", who.ARN, out, err)
			}
		}
	}
	if _, err := u.kms.GenerateDataKey(u.as(ana, "kms", "GenerateDataKey"), &kmsapi.GenerateDataKeyInput{KeyId: ptr(oldMulti), KeySpec: ptr("AES_256")}); err != nil {
		u.t.Error(err)
	}
	_, err = u.kms.GenerateDataKey(u.as(ana, "kms", "GenerateDataKey"), &kmsapi.GenerateDataKeyInput{KeyId: ptr(oldKey), KeySpec: ptr("AES_256")})
	if !errors.As(err, new(*access.Denied)) {
		u.t.Errorf("a grant allows what it does not say: %v", err)
	}
	list, err := u.kms.ListRetirableGrants(u.as(theRoot(), "kms", "ListRetirableGrants"), &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: &ana.ARN})
	if err != nil || len(list.Grants) != 1 || *list.Grants[0].GrantId != oldGrant {
		u.t.Errorf("%+v, %v", list, err)
	}
	roles, err := u.iam.ListRoles(u.as(theRoot(), "iam", "ListRoles"), &iamapi.ListRolesInput{})
	if err != nil || len(roles.Roles) != 2 {
		u.t.Errorf("%+v, %v", roles, err)
	}
	u.replicate()
}

// replicate takes a multi-Region key, which was one by its name alone, to another Region; the second time it is there.
func (u *upgraded) replicate() {
	u.t.Helper()
	_, err := u.kms.ReplicateKey(u.as(theRoot(), "kms", "ReplicateKey"), &kmsapi.ReplicateKeyInput{KeyId: ptr(oldMulti), ReplicaRegion: ptr("eu-west-1")})
	if err != nil && !errors.As(err, new(*kmsapi.AlreadyExistsException)) {
		u.t.Error(err)
	}
}

func (u *upgraded) footage() {
	u.t.Helper()
	out, err := u.video.ListFragments(u.as(theRoot(), "kinesisvideo", "ListFragments"), &archiveapi.ListFragmentsInput{StreamName: ptr("door")})
	if err != nil || len(out.Fragments) != 1 {
		u.t.Errorf("%+v, %v", out, err)
	}
}
