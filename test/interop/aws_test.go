// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"

	"github.com/obscura-video/obscura/internal/oidc/oidctest"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/test/rig"
)

// environment is what AWS's tools written in Python need; nothing else of the caller's AWS configuration counts.
func environment(s *rig.Server) (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "REQUESTS_CA_BUNDLE") {
			env = append(env, kv)
		}
	}
	return append(env, "AWS_CA_BUNDLE="+s.CAFile, "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(s.Data, "credentials"),
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_DEFAULT_REGION="+s.Region, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=")
}

// cli is the aws command, against one server.
type cli struct {
	t   *testing.T
	s   *rig.Server
	v1  bool
	env []string // beside environment
}

func newCLI(t *testing.T, s *rig.Server) *cli {
	out, err := exec.Command("aws", "--version").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", bytes.TrimSpace(out))
	return &cli{t: t, s: s, v1: bytes.HasPrefix(out, []byte("aws-cli/1."))}
}

// run runs a command and returns its answer; fails says whether it must be refused, with this code.
func (c *cli) run(fails string, args ...string) map[string]any {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "aws", append([]string{"--endpoint-url", c.s.API, "--output", "json"}, args...)...)
	cmd.Env = append(environment(c.s), c.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if fails != "" {
		if err == nil || !strings.Contains(stderr.String(), "("+fails+")") {
			c.t.Errorf("aws %s: want %s, got %v\n%s", strings.Join(args, " "), fails, err, &stderr)
		}
		return nil
	}
	if err != nil {
		c.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	answer := map[string]any{}
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
			c.t.Fatalf("aws %s: %v: %s", strings.Join(args, " "), err, &stdout)
		}
	}
	return answer
}

// path takes a member out of an answer, as aws's --query does.
func path(answer map[string]any, names ...string) string {
	var v any = answer
	for _, name := range names {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[name]
	}
	s, _ := v.(string)
	return s
}

// TestAWSCommand goes through what an operator does with the aws command, of version 1 or 2.
func TestAWSCommand(t *testing.T) {
	t.Parallel()
	rig.Need(t, "aws", "--version")
	s := rig.Start(t)
	c := newCLI(t, s)

	if got := path(c.run("", "sts", "get-caller-identity"), "Arn"); got != "arn:aws:iam::000000000000:root" {
		t.Errorf("caller is %q", got)
	}
	key := path(c.run("", "kms", "create-key", "--description", "door"), "KeyMetadata", "KeyId")
	// Version 1 takes a blob as it is, version 2 in base64; both take a file's bytes. Both answer in base64.
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("what nobody is to read"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString([]byte("hello"))
	if c.v1 {
		text = "hello"
	}
	c.run("", "kms", "encrypt", "--key-id", key, "--plaintext", text)
	blob := path(c.run("", "kms", "encrypt", "--key-id", key, "--plaintext", "fileb://"+plain, "--encryption-context", "camera=door"), "CiphertextBlob")
	sealed, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sealed")
	if err := os.WriteFile(file, sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := path(c.run("", "kms", "decrypt", "--ciphertext-blob", "fileb://"+file, "--encryption-context", "camera=door"), "Plaintext")
	if got, _ := base64.StdEncoding.DecodeString(opened); string(got) != "what nobody is to read" {
		t.Errorf("decrypted %q", got)
	}
	c.run("InvalidCiphertextException", "kms", "decrypt", "--ciphertext-blob", "fileb://"+file, "--encryption-context", "camera=hall")

	if !rig.Full() {
		t.Log("the rest is run where OBSCURA_TEST_REQUIRE says so: each command takes seconds to start")
		return
	}

	c.run("", "iam", "create-user", "--user-name", "ana")
	c.run("EntityAlreadyExists", "iam", "create-user", "--user-name", "ana")
	c.run("", "iam", "put-user-policy", "--user-name", "ana", "--policy-name", "p", "--policy-document", rig.Allow("kms:ListKeys", "*"))

	arn := path(c.run("", "kinesisvideo", "create-stream", "--stream-name", "door", "--data-retention-in-hours", "1", "--kms-key-id", key), "StreamARN")
	if got := path(c.run("", "kinesisvideo", "describe-stream", "--stream-name", "door"), "StreamInfo", "StreamARN"); got != arn || arn == "" {
		t.Errorf("described %q, made %q", got, arn)
	}
	if got := path(c.run("", "kinesisvideo", "get-data-endpoint", "--stream-name", "door", "--api-name", "GET_MEDIA"), "DataEndpoint"); got != s.Media {
		t.Errorf("endpoint is %q", got)
	}
	put(t, s, "door")
	fragments, _ := c.run("", "kinesis-video-archived-media", "list-fragments", "--stream-name", "door")["Fragments"].([]any)
	if len(fragments) != 2 {
		t.Errorf("listed %v", fragments)
	}
	c.getMedia("door")
	events, _ := c.run("", "cloudtrail", "lookup-events", "--lookup-attributes", "AttributeKey=EventName,AttributeValue=CreateStream")["Events"].([]any)
	if len(events) != 1 {
		t.Errorf("audit knows %d of one CreateStream", len(events))
	}
	c.run("", "kinesisvideo", "delete-stream", "--stream-arn", arn)
	c.run("ResourceNotFoundException", "kinesisvideo", "describe-stream", "--stream-name", "door")
}

// put sends two fragments.
func put(t *testing.T, s *rig.Server, stream string) {
	t.Helper()
	p, err := s.PutMedia(t.Context(), s.Root, stream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(rig.Header()); err != nil {
		t.Fatal(err)
	}
	for _, at := range []uint64{1000, 2000} {
		if _, err := p.Send(rig.Fragment(at, rig.Frames(stream, at, 3, frameBytes))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.End(); err != nil {
		t.Fatal(err)
	}
}

// frameBytes makes a fragment larger than what the aws command reads at a time, which is a megabyte.
const frameBytes = 700_000

// getMedia watches a stream until the first fragment is there. The command itself goes on for as long as the
// stream does, so it is ended.
func (c *cli) getMedia(stream string) {
	c.t.Helper()
	out := filepath.Join(c.t.TempDir(), "out.mkv")
	cmd := exec.Command("aws", "--endpoint-url", c.s.Media, "kinesis-video-media", "get-media", "--stream-name", stream,
		"--start-selector", "StartSelectorType=EARLIEST", out)
	cmd.Env = environment(c.s)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	want := rig.Frames(stream, 1000, 3, frameBytes)[2][:1000]
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if media, err := os.ReadFile(out); err == nil && bytes.Contains(media, want) {
			return
		}
	}
	media, _ := os.ReadFile(out)
	c.t.Errorf("aws get-media wrote %d bytes without the first fragment's last frame\n%s", len(media), &stderr)
}

const boto = `
import boto3, sys
from botocore.exceptions import ClientError
endpoint = sys.argv[1]
c = lambda name: boto3.client(name, endpoint_url=endpoint)
kms, video = c("kms"), c("kinesisvideo")
key = kms.create_key()["KeyMetadata"]["KeyId"]
blob = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext={"a": "b"})["CiphertextBlob"]
assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"] == b"secret"
try:
    kms.decrypt(CiphertextBlob=blob)
    raise SystemExit("decrypted without its context")
except kms.exceptions.InvalidCiphertextException:
    pass
try:
    video.describe_stream(StreamName="absent")
    raise SystemExit("described what is not there")
except video.exceptions.ResourceNotFoundException:
    pass
media = boto3.client("kinesis-video-media", endpoint_url=video.get_data_endpoint(StreamName="door", APIName="GET_MEDIA")["DataEndpoint"])
body = media.get_media(StreamName="door", StartSelector={"StartSelectorType": "EARLIEST"})["Payload"]
seen = b""
while len(seen) < 4200000:
    seen += body.read(100000)
assert seen.count(b"AWS_KINESISVIDEO_FRAGMENT_NUMBER") == 2
archive = c("kinesis-video-archived-media")
numbers = [f["FragmentNumber"] for f in archive.list_fragments(StreamName="door")["Fragments"]]
assert len(numbers) == 2, numbers
stored = archive.get_media_for_fragment_list(StreamName="door", Fragments=numbers)["Payload"].read()
assert stored.count(b"AWS_KINESISVIDEO_FRAGMENT_NUMBER") == 2
role = c("iam").create_role(RoleName="watcher", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}]}')
assert role["Role"]["RoleName"] == "watcher"
assert c("sts").get_caller_identity()["Account"] == "000000000000"
assert any(e["EventName"] == "CreateRole" for e in c("cloudtrail").lookup_events()["Events"])
print("ok")
`

// TestBoto3 does the same with the SDK for Python, which types the errors by itself.
func TestBoto3(t *testing.T) {
	t.Parallel()
	if exec.Command("python3", "-c", "import boto3").Run() != nil {
		t.Skip("python3 has no boto3")
	}
	s := rig.Start(t)
	hours, name := int32(1), "door"
	in := &kinesisvideo.CreateStreamInput{StreamName: &name, DataRetentionInHours: &hours}
	if _, err := kinesisvideo.NewFromConfig(s.V2(s.Root)).CreateStream(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	put(t, s, "door")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", "-c", boto, s.API)
	cmd.Env = environment(s)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "ok\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAWSCommandWithAToken: the aws command obtains a role for the token in a file, as it does in a container.
func TestAWSCommandWithAToken(t *testing.T) {
	t.Parallel()
	if !rig.Full() {
		t.Skip("run where OBSCURA_TEST_REQUIRE says so: each command takes seconds to start")
	}
	rig.Need(t, "aws", "--version")
	issuer := oidctest.New(t)
	keys := filepath.Join(t.TempDir(), "keys.json")
	token := filepath.Join(t.TempDir(), "token")
	for name, content := range map[string][]byte{keys: issuer.JWKS(), token: []byte(issuer.Token(time.Now(), nil))} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := rig.Start(t, func(c *server.Config) { c.OIDCKeys = map[string]string{issuer.URL: keys} })
	c := newCLI(t, s)
	arn := path(c.run("", "iam", "create-open-id-connect-provider", "--url", issuer.URL, "--client-id-list", "app"), "OpenIDConnectProviderArn")
	c.run("", "iam", "create-role", "--role-name", "web", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"`+arn+`"},"Action":"sts:AssumeRoleWithWebIdentity"}}`)
	session := rand.Text() // of its own: aws keeps a role's credentials under the user's home, by this name, and would use those of an earlier server
	c.env = []string{
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_ROLE_ARN=arn:aws:iam::000000000000:role/web",
		"AWS_WEB_IDENTITY_TOKEN_FILE=" + token, "AWS_ROLE_SESSION_NAME=" + session, "AWS_ENDPOINT_URL_STS=" + s.API, "AWS_ENDPOINT_URL=" + s.API,
	}
	if got := path(c.run("", "sts", "get-caller-identity"), "Arn"); got != "arn:aws:sts::000000000000:assumed-role/web/"+session {
		t.Errorf("caller is %q", got)
	}
}
