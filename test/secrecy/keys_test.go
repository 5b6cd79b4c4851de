// SPDX-License-Identifier: Apache-2.0

package secrecy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// addPrivate takes what is secret of a private key in PKCS #8 (the rest of it is public), or else all of the bytes.
func (x *run) addPrivate(name string, der []byte) {
	x.t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		x.add(name, der)
		return
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		x.add(name+" (RSA, exponent)", key.D.Bytes())
		x.add(name+" (RSA, prime)", key.Primes[0].Bytes())
	case *ecdsa.PrivateKey:
		scalar, err := key.Bytes()
		x.ok(err)
		x.add(name+" (ECC)", scalar)
	case ed25519.PrivateKey:
		x.add(name+" (Ed25519)", key.Seed())
	default:
		x.add(name, der)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

func (x *run) newKey(c *kms.Client, spec types.KeySpec, usage types.KeyUsageType, origin types.OriginType) *string {
	x.t.Helper()
	out, err := c.CreateKey(x.ctx(), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage, Origin: origin})
	x.ok(err)
	return out.KeyMetadata.KeyId
}

// useKeys does every operation of the KMS that takes or hands out plaintext, with keys of every kind.
func (x *run) useKeys() {
	x.t.Helper()
	c := kms.NewFromConfig(x.V2(x.Root))
	id := x.newKey(c, types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt, types.OriginTypeAwsKms)
	x.seal(c, id)
	x.dataKeys(c, id)
	x.mac(c)
	x.signAndAgree(c)
	_, err := c.RotateKeyOnDemand(x.ctx(), &kms.RotateKeyOnDemandInput{KeyId: id})
	x.ok(err)
	_, err = c.ScheduleKeyDeletion(x.ctx(), &kms.ScheduleKeyDeletionInput{KeyId: id})
	x.ok(err)
}

func (x *run) seal(c *kms.Client, id *string) {
	x.t.Helper()
	plain := random(64)
	x.add("a plaintext", plain)
	sealed, err := c.Encrypt(x.ctx(), &kms.EncryptInput{KeyId: id, Plaintext: plain})
	x.ok(err)
	_, err = c.Decrypt(x.ctx(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	x.ok(err)
	_, err = c.ReEncrypt(x.ctx(), &kms.ReEncryptInput{CiphertextBlob: sealed.CiphertextBlob, DestinationKeyId: id, DestinationEncryptionContext: map[string]string{"a": "b"}})
	x.ok(err)
	_, err = c.Decrypt(x.ctx(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: map[string]string{"wrong": "one"}})
	x.refused("Decrypt with another context", err)
	_, err = c.Encrypt(x.ctx(), &kms.EncryptInput{KeyId: aws.String("alias/absent"), Plaintext: plain})
	x.refused("Encrypt with no key", err)

	rsaKey := x.newKey(c, types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt, types.OriginTypeAwsKms)
	other := random(40)
	x.add("a plaintext", other)
	out, err := c.Encrypt(x.ctx(), &kms.EncryptInput{KeyId: rsaKey, Plaintext: other, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
	x.ok(err)
	_, err = c.Decrypt(x.ctx(), &kms.DecryptInput{KeyId: rsaKey, CiphertextBlob: out.CiphertextBlob, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
	x.ok(err)
}

func (x *run) dataKeys(c *kms.Client, id *string) {
	x.t.Helper()
	data, err := c.GenerateDataKey(x.ctx(), &kms.GenerateDataKeyInput{KeyId: id, KeySpec: types.DataKeySpecAes256})
	x.ok(err)
	x.add("a data key", data.Plaintext)
	hidden, err := c.GenerateDataKeyWithoutPlaintext(x.ctx(), &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: id, KeySpec: types.DataKeySpecAes256})
	x.ok(err)
	opened, err := c.Decrypt(x.ctx(), &kms.DecryptInput{CiphertextBlob: hidden.CiphertextBlob})
	x.ok(err)
	x.add("a data key", opened.Plaintext)
	for _, spec := range []types.DataKeyPairSpec{types.DataKeyPairSpecEccNistP256, types.DataKeyPairSpecRsa2048, types.DataKeyPairSpecEccNistEdwards25519} {
		pair, err := c.GenerateDataKeyPair(x.ctx(), &kms.GenerateDataKeyPairInput{KeyId: id, KeyPairSpec: spec})
		x.ok(err)
		x.addPrivate("a data key pair", pair.PrivateKeyPlaintext)
	}
	pair, err := c.GenerateDataKeyPairWithoutPlaintext(x.ctx(), &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: id, KeyPairSpec: types.DataKeyPairSpecEccNistP384})
	x.ok(err)
	opened, err = c.Decrypt(x.ctx(), &kms.DecryptInput{CiphertextBlob: pair.PrivateKeyCiphertextBlob})
	x.ok(err)
	x.addPrivate("a data key pair", opened.Plaintext)
	bytes, err := c.GenerateRandom(x.ctx(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(64)})
	x.ok(err)
	x.add("random bytes", bytes.Plaintext)
}

func (x *run) mac(c *kms.Client) {
	x.t.Helper()
	for spec, algorithm := range map[types.KeySpec]types.MacAlgorithmSpec{
		types.KeySpecHmac256: types.MacAlgorithmSpecHmacSha256, types.KeySpecHmac512: types.MacAlgorithmSpecHmacSha512,
	} {
		id, message := x.newKey(c, spec, types.KeyUsageTypeGenerateVerifyMac, types.OriginTypeAwsKms), random(48)
		x.add("a message", message)
		out, err := c.GenerateMac(x.ctx(), &kms.GenerateMacInput{KeyId: id, MacAlgorithm: algorithm, Message: message})
		x.ok(err)
		x.add("a MAC", out.Mac)
		_, err = c.VerifyMac(x.ctx(), &kms.VerifyMacInput{KeyId: id, MacAlgorithm: algorithm, Message: message, Mac: out.Mac})
		x.ok(err)
		_, err = c.VerifyMac(x.ctx(), &kms.VerifyMacInput{KeyId: id, MacAlgorithm: algorithm, Message: message, Mac: out.Mac[1:]})
		x.refused("VerifyMac of another MAC", err)
	}
}

func (x *run) signAndAgree(c *kms.Client) {
	x.t.Helper()
	for spec, algorithm := range map[types.KeySpec]types.SigningAlgorithmSpec{
		types.KeySpecEccNistP256:         types.SigningAlgorithmSpecEcdsaSha256,
		types.KeySpecEccSecgP256k1:       types.SigningAlgorithmSpecEcdsaSha256,
		types.KeySpecEccNistEdwards25519: types.SigningAlgorithmSpecEd25519Sha512,
		types.KeySpecRsa2048:             types.SigningAlgorithmSpecRsassaPssSha256,
		types.KeySpecMlDsa44:             types.SigningAlgorithmSpecMlDsaShake256,
	} {
		id, message := x.newKey(c, spec, types.KeyUsageTypeSignVerify, types.OriginTypeAwsKms), random(48)
		x.add("a message", message)
		_, err := c.Sign(x.ctx(), &kms.SignInput{KeyId: id, Message: message, MessageType: types.MessageTypeRaw, SigningAlgorithm: algorithm})
		x.ok(err)
		_, err = c.Sign(x.ctx(), &kms.SignInput{KeyId: id, Message: message, MessageType: types.MessageTypeRaw, SigningAlgorithm: "ECDSA_SHA_512"})
		x.refused("Sign with another algorithm", err)
	}
	id := x.newKey(c, types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement, types.OriginTypeAwsKms)
	peer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	x.ok(err)
	public, err := x509.MarshalPKIXPublicKey(&peer.PublicKey)
	x.ok(err)
	out, err := c.DeriveSharedSecret(x.ctx(), &kms.DeriveSharedSecretInput{KeyId: id, PublicKey: public, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh})
	x.ok(err)
	x.add("a shared secret", out.SharedSecret)
}

// importKeys brings material of two kinds, wrong first, and takes one away again.
func (x *run) importKeys() {
	x.t.Helper()
	c := kms.NewFromConfig(x.V2(x.Root))
	for spec, usage := range map[types.KeySpec]types.KeyUsageType{
		types.KeySpecSymmetricDefault: types.KeyUsageTypeEncryptDecrypt, types.KeySpecHmac256: types.KeyUsageTypeGenerateVerifyMac,
	} {
		id, material := x.newKey(c, spec, usage, types.OriginTypeExternal), random(32)
		x.add("imported material", material)
		p, err := c.GetParametersForImport(x.ctx(), &kms.GetParametersForImportInput{
			KeyId: id, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
		})
		x.ok(err)
		public, err := x509.ParsePKIXPublicKey(p.PublicKey)
		x.ok(err)
		wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), material, nil)
		x.ok(err)
		in := &kms.ImportKeyMaterialInput{
			KeyId: id, ImportToken: p.ImportToken, EncryptedKeyMaterial: material, ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
		}
		_, err = c.ImportKeyMaterial(x.ctx(), in) // in clear, by mistake
		x.refused("ImportKeyMaterial of what is not wrapped", err)
		in.EncryptedKeyMaterial = wrapped
		_, err = c.ImportKeyMaterial(x.ctx(), in)
		x.ok(err)
		if spec == types.KeySpecHmac256 {
			_, err = c.DeleteImportedKeyMaterial(x.ctx(), &kms.DeleteImportedKeyMaterialInput{KeyId: id})
			x.ok(err)
		}
	}
}
