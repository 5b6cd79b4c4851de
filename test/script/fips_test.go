// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/rig"
)

// TestServerInFIPSMode: the real program, told to run in FIPS 140-3 mode, says so and does all that it does otherwise:
// keys of every spec, footage, cameras by certificate, backup and fsck.
func TestServerInFIPSMode(t *testing.T) {
	t.Setenv("GODEBUG", "fips140=on")
	data := filepath.Join(t.TempDir(), "data")
	p := rig.StartProcess(t, data, "--kms-regions", "eu-west-1")
	if !strings.Contains(p.Log.String(), "FIPS  140-3 mode") {
		t.Fatalf("the server does not say that it is in FIPS mode:\n%s", p.Log)
	}
	useKeys(t, p.Server)
	useFootage(t, p.Server)
	dir := filepath.Join(t.TempDir(), "door")
	token := program(t, "", "device", "invite", "door", "--data", data)
	program(t, token, "device", "enroll", "--token-file", "-", "--endpoint", strings.TrimPrefix(p.Device, "https://"), "--dir", dir)
	program(t, "", "camera", "--device", dir, "--input", "demo", "--fast")
	backup := filepath.Join(t.TempDir(), "backup")
	program(t, "", "backup", "--data", data, "--to", backup, "--with-root-key")
	program(t, "", "backup", "check", backup)
	if _, err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	program(t, "", "fsck", "--data", data)
	if out := program(t, "", "version"); !strings.Contains(out, "in FIPS 140-3 mode") {
		t.Errorf("version says %q", out)
	}
}

// program runs the binary, in the environment of the test, and returns its answer.
func program(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(rig.Binary(t), args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("obscura %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return stdout.String()
}

// signing are the algorithms that are tried for keys of a spec.
var signing = map[types.KeySpec]types.SigningAlgorithmSpec{
	types.KeySpecRsa2048: types.SigningAlgorithmSpecRsassaPssSha256, types.KeySpecEccNistP256: types.SigningAlgorithmSpecEcdsaSha256,
	types.KeySpecEccNistP521: types.SigningAlgorithmSpecEcdsaSha512, types.KeySpecEccSecgP256k1: types.SigningAlgorithmSpecEcdsaSha256,
	types.KeySpecEccNistEdwards25519: types.SigningAlgorithmSpecEd25519Sha512, types.KeySpecMlDsa44: types.SigningAlgorithmSpecMlDsaShake256,
}

// useKeys makes a key of each kind, and uses it.
func useKeys(t *testing.T, s *rig.Server) {
	t.Helper()
	c, ctx := kms.NewFromConfig(s.V2(s.Root)), t.Context()
	create := func(spec types.KeySpec, usage types.KeyUsageType) *string {
		out, err := c.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage, MultiRegion: aws.Bool(true)})
		if err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		return out.KeyMetadata.KeyId
	}
	message := []byte("m")
	for spec, algorithm := range signing {
		id := create(spec, types.KeyUsageTypeSignVerify)
		out, err := c.Sign(ctx, &kms.SignInput{KeyId: id, Message: message, SigningAlgorithm: algorithm})
		if err == nil {
			_, err = c.Verify(ctx, &kms.VerifyInput{KeyId: id, Message: message, Signature: out.Signature, SigningAlgorithm: algorithm})
		}
		if err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
	id := create(types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt)
	if _, err := c.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: id, ReplicaRegion: aws.String("eu-west-1")}); err != nil {
		t.Error(err)
	}
	key, err := c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: id, KeySpec: types.DataKeySpecAes256})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: key.CiphertextBlob}); err != nil || !bytes.Equal(out.Plaintext, key.Plaintext) {
		t.Errorf("decrypt: %v", err)
	}
	mac := create(types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac)
	if _, err := c.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: mac, Message: message, MacAlgorithm: types.MacAlgorithmSpecHmacSha256}); err != nil {
		t.Error(err)
	}
	agree := create(types.KeySpecEccNistP384, types.KeyUsageTypeKeyAgreement)
	public, err := c.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: agree})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: agree, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh, PublicKey: public.PublicKey}); err != nil {
		t.Error(err)
	}
}

// useFootage stores a fragment and reads it back.
func useFootage(t *testing.T, s *rig.Server) {
	t.Helper()
	if _, err := kinesisvideo.NewFromConfig(s.V2(s.Root)).CreateStream(t.Context(), &kinesisvideo.CreateStreamInput{StreamName: aws.String("hall"), DataRetentionInHours: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	put, err := s.PutMedia(t.Context(), s.Root, "hall")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put.Write(rig.Header()); err != nil {
		t.Fatal(err)
	}
	if _, err := put.Send(rig.Fragment(1000, rig.Frames("hall", 1000, 3, 100))); err != nil {
		t.Fatal(err)
	}
	if _, err := put.End(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "hall.mkv")
	program(t, "", "view", "--data", s.Data, "--stream", "hall", "--from", "earliest", "--until-idle", "2500ms", "--output", file)
}
