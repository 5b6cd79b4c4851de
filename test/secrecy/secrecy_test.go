// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

// Package secrecy looks for what must not be there: media in the files of a server, and secrets in anything that
// the server writes or says to people.
package secrecy

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"

	"github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/oidc/oidctest"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

const (
	fragments  = 20
	frames     = 5
	frameBytes = 3000
)

// stream sends fragments to a stream, and watches them.
func stream(t *testing.T, s *rig.Server, name string, hours int32, secrets *needles) {
	t.Helper()
	video := kinesisvideo.NewFromConfig(s.V2(s.Root))
	if _, err := video.CreateStream(t.Context(), &kinesisvideo.CreateStreamInput{StreamName: &name, DataRetentionInHours: &hours}); err != nil {
		t.Fatal(err)
	}
	p, err := s.PutMedia(t.Context(), s.Root, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(rig.Header()); err != nil {
		t.Fatal(err)
	}
	for i := range fragments {
		at := uint64(1000 * (i + 1))
		media := rig.Frames(name, at, frames, frameBytes)
		for _, f := range media {
			secrets.add("a frame of "+name, f)
		}
		if _, err := p.Write(rig.Fragment(at, media)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Await("RECEIVED"); err != nil {
			t.Fatal(err)
		}
	}
	// One that is never completed.
	lost := rig.Frames(name, 1_000_000, frames, frameBytes)
	for _, f := range lost {
		secrets.add("an unfinished frame of "+name, f)
	}
	if _, err := p.Write(rig.Fragment(1_000_000, lost)[:frames*frameBytes-100]); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Await("BUFFERING"); err != nil {
		t.Fatal(err)
	}
	watch(t, s, name)
	p.Cut()
}

func watch(t *testing.T, s *rig.Server, name string) {
	t.Helper()
	out, err := kinesisvideomedia.New(s.V1(s.Root)).GetMediaWithContext(t.Context(), &kinesisvideomedia.GetMediaInput{
		StreamName: &name, StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: aws.String("EARLIEST")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Payload.Close()
	got, err := rig.ReadMedia(out.Payload, fragments)
	if err != nil || len(got) != fragments || !got[0].Equal(rig.Frames(name, 1000, frames, frameBytes)) {
		t.Fatalf("%s: read %d fragments, %v", name, len(got), err)
	}
}

// TestNoMediaOnDisk: no 16 bytes in a row of any frame, or of an object of a mailbox, are in any file under the data directory, while the server
// runs and after it has stopped; with retention or without.
func TestNoMediaOnDisk(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s, stop := rig.Run(t, func(c *server.Config) { c.Data = data })
	secrets := newNeedles()
	for i, hours := range []int32{24, 1, 0} {
		stream(t, s, fmt.Sprint("camera-", i), hours, secrets)
	}
	body := rig.Frames("mailbox", 1, 1, 300<<10)[0]
	secrets.add("an object of a mailbox", body)
	if _, err := s.Mailbox(s.Root).PutObject(t.Context(), &mailbox.PutObjectInput{Box: aws.String("home"), Key: aws.String("roster/1"), Body: body}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		found, read, err := secrets.findIn(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			t.Errorf("%s: %s", when, f)
		}
		if least := int64(2 * fragments * frames * frameBytes); read < least {
			t.Errorf("%s: only %d bytes are there, but %d of media were sent: looking in the wrong place", when, read, least)
		}
	}
	check("while it runs")
	stop()
	check("after it stopped")

	planted := filepath.Join(data, "blob", "planted")
	if err := os.WriteFile(planted, rig.Frames("camera-1", 5000, frames, frameBytes)[2][100:120], 0o600); err != nil {
		t.Fatal(err)
	}
	if found, _, err := secrets.findIn(data); err != nil || len(found) != 1 {
		t.Errorf("control: planted media was not found: %v, %v", found, err)
	}
}

// spellings are the ways in which a secret might be written.
func spellings(secret []byte) []string {
	return []string{string(secret), base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret), hex.EncodeToString(secret)}
}

// hold says which secrets a text holds, in any spelling.
func hold(text string, secrets map[string][]byte) (found []string) {
	lower := strings.ToLower(text)
	for name, secret := range secrets {
		for i, s := range spellings(secret) {
			if strings.Contains(text, s) || i == 3 && strings.Contains(lower, s) {
				found = append(found, name)
				break
			}
		}
	}
	return found
}

// TestNoSecretIsTold: access keys' secrets, session tokens, data keys, the root key and plaintexts are in no log
// line, no audit event, no metric and no error's body.
func TestNoSecretIsTold(t *testing.T) {
	issuer := oidctest.New(t)
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, issuer.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := rig.Start(t, func(c *server.Config) { c.OIDCKeys, c.ExplainDenials = map[string]string{issuer.URL: keys}, true })
	secrets := map[string][]byte{"root's secret access key": []byte(s.Root.SecretAccessKey)}
	ana := s.User(t, "ana", rig.Allow("sts:*", "*"))
	secrets["ana's secret access key"] = []byte(ana.SecretAccessKey)
	secrets["the root key"] = rootKey(t, filepath.Join(s.Data, "root.key"))
	stream(t, s, "camera", 1, newNeedles())
	useKeys(t, s, secrets)
	bringTokens(t, s, issuer, secrets)
	session, err := sts.NewFromConfig(s.V2(ana)).GetFederationToken(t.Context(), &sts.GetFederationTokenInput{Name: aws.String("guest")})
	if err != nil {
		t.Fatal(err)
	}
	secrets["the session's secret"] = []byte(*session.Credentials.SecretAccessKey)
	secrets["the session's token"] = []byte(*session.Credentials.SessionToken)
	guest := sigv4.Credentials{AccessKeyID: *session.Credentials.AccessKeyId, SecretAccessKey: *session.Credentials.SecretAccessKey, SessionToken: *session.Credentials.SessionToken}

	told := map[string]string{"errors": provoke(t, s, guest), "metrics": fetch(t, s, "/metrics"), "audit events": auditEvents(t, s), "log": s.Log.String()}
	for where, text := range told {
		if len(text) < 100 {
			t.Errorf("%s: only %q: looking in the wrong place", where, text)
		}
		for _, name := range hold(text, secrets) {
			t.Errorf("%s hold %s", where, name)
		}
		for name, secret := range secrets {
			for i, spelled := range spellings(secret) {
				if found := hold(text+" key="+spelled+";", secrets); len(found) == 0 {
					t.Errorf("control: %s in spelling %d was not found", name, i)
				}
			}
		}
	}
}

// rootKey reads the key of a file, which holds it in base64 on its last line.
func rootKey(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	key, err := base64.StdEncoding.DecodeString(lines[len(lines)-1])
	if err != nil || len(key) < 32 {
		t.Fatalf("no key in %s: %d bytes, %v", name, len(key), err)
	}
	return key
}

// useKeys makes the KMS hand out plaintext, all of which is a secret.
func useKeys(t *testing.T, s *rig.Server, secrets map[string][]byte) {
	t.Helper()
	c := kms.NewFromConfig(s.V2(s.Root))
	key, err := c.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	id := key.KeyMetadata.KeyId
	data, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: id, KeySpec: types.DataKeySpecAes256})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := c.GenerateDataKeyPair(t.Context(), &kms.GenerateDataKeyPairInput{KeyId: id, KeyPairSpec: types.DataKeyPairSpecEccNistP256})
	if err != nil {
		t.Fatal(err)
	}
	random, err := c.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(32)})
	if err != nil {
		t.Fatal(err)
	}
	plaintext := []byte("the code of the door is 4711")
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: id, Plaintext: plaintext})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}); err != nil {
		t.Fatal(err)
	}
	secrets["a data key"], secrets["a private key"], secrets["random bytes"], secrets["a plaintext"] = data.Plaintext, pair.PrivateKeyPlaintext, random.Plaintext, plaintext
}

// bringTokens obtains a role by the token of an identity provider, and is refused with others.
func bringTokens(t *testing.T, s *rig.Server, issuer *oidctest.Issuer, secrets map[string][]byte) {
	t.Helper()
	admin := iam.NewFromConfig(s.V2(s.Root))
	provider, err := admin.CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: &issuer.URL, ClientIDList: []string{"app"}})
	if err != nil {
		t.Fatal(err)
	}
	trust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"` + *provider.OpenIDConnectProviderArn + `"},"Action":"sts:AssumeRoleWithWebIdentity"}}`
	role, err := admin.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("web"), AssumeRolePolicyDocument: &trust})
	if err != nil {
		t.Fatal(err)
	}
	anonymous := s.V2(sigv4.Credentials{})
	anonymous.Credentials = aws.AnonymousCredentials{}
	for what, change := range map[string]map[string]any{"a token": nil, "a refused token": {"aud": "another"}, "an expired token": {"exp": 1}} {
		token := issuer.Token(time.Now(), change)
		_, _, signature := oidctest.Parts(token)
		secrets[what], secrets[what+"'s signature"] = []byte(token), []byte(signature)
		out, err := sts.NewFromConfig(anonymous).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: role.Role.Arn, RoleSessionName: aws.String("night"), WebIdentityToken: &token,
		})
		if (err == nil) != (change == nil) {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil {
			secrets["the web session's secret"] = []byte(*out.Credentials.SecretAccessKey)
			secrets["the web session's token"] = []byte(*out.Credentials.SessionToken)
		}
	}
}

// provoke collects the bodies of errors of requests that carry secrets: signed by a wrong key, for a wrong time,
// with a plaintext too large, with a body that is none.
func provoke(t *testing.T, s *rig.Server, guest sigv4.Credentials) string {
	t.Helper()
	var all strings.Builder
	send := func(target, body string, change func(*http.Request), c sigv4.Credentials) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.API+"/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", target)
		sigv4.Sign(r, sigv4.HashBody([]byte(body)), c, s.Region, "kms", time.Now())
		change(r)
		resp, err := s.HTTP.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s was not refused", target)
		}
		if err := resp.Header.Write(&all); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	same := func(*http.Request) {}
	secret := base64.StdEncoding.EncodeToString([]byte("the code of the door is 4711"))
	send("TrentService.Encrypt", `{"KeyId":"alias/absent","Plaintext":"`+secret+`"}`, same, s.Root)
	send("TrentService.Encrypt", `{"KeyId":"alias/absent","Plaintext":"`+secret+`"}`, same, guest)
	send("TrentService.Encrypt", `{"KeyId":1,"Plaintext":"`+secret+`"}`, same, s.Root)
	send("TrentService.Encrypt", `{"Plaintext":"`+secret+`",`, same, s.Root)
	send("TrentService.Encrypt", `{"KeyId":"k","Plaintext":"`+strings.Repeat("AAAA", 2000)+secret+`"}`, same, s.Root)
	send("TrentService.ListKeys", `{}`, func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.ListAliases") }, guest)
	send("TrentService.ListKeys", `{}`, func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", guest.SessionToken[1:]) }, guest)
	return all.String()
}

func fetch(t *testing.T, s *rig.Server, path string) string {
	t.Helper()
	resp, err := s.HTTP.Get(s.Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func auditEvents(t *testing.T, s *rig.Server) string {
	t.Helper()
	var all strings.Builder
	pages := cloudtrail.NewLookupEventsPaginator(cloudtrail.NewFromConfig(s.V2(s.Root)), &cloudtrail.LookupEventsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			all.WriteString(*e.CloudTrailEvent)
		}
	}
	return all.String()
}
