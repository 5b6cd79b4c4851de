// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// importSteps bring key material, use it and take it away again, and ask for what is not offered.
func importSteps() []step {
	const unsupported = "UnsupportedOperationException"
	steps := []step{
		{action: "kms:GetParametersForImport", call: func(w *world, c *clients) error {
			in := &kms.GetParametersForImportInput{
				KeyId: w.s("empty"), WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
			}
			return run(c, c.kms.GetParametersForImport, in, func(o *kms.GetParametersForImportOutput) {
				w.blob["token"], w.blob["material"] = o.ImportToken, w.wrapMaterial(o.PublicKey)
			})
		}},
		{action: "kms:ImportKeyMaterial", call: func(w *world, c *clients) error {
			return run(c, c.kms.ImportKeyMaterial, &kms.ImportKeyMaterialInput{
				KeyId: w.s("empty"), ImportToken: w.blob["token"], EncryptedKeyMaterial: w.blob["material"],
				ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
			})
		}},
		{action: "kms:GetKeyLastUsage", call: func(w *world, c *clients) error {
			return run(c, c.kms.GetKeyLastUsage, &kms.GetKeyLastUsageInput{KeyId: w.s("empty")})
		}},
		{action: "kms:DeleteImportedKeyMaterial", call: func(w *world, c *clients) error {
			return run(c, c.kms.DeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialInput{KeyId: w.s("empty")})
		}},
		{action: "kms:CreateCustomKeyStore", want: unsupported, call: func(w *world, c *clients) error {
			return run(c, c.kms.CreateCustomKeyStore, &kms.CreateCustomKeyStoreInput{CustomKeyStoreName: aws.String("store")})
		}},
		{action: "kms:ConnectCustomKeyStore", want: unsupported, call: func(w *world, c *clients) error {
			return run(c, c.kms.ConnectCustomKeyStore, &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: aws.String("cks-1")})
		}},
		{action: "kms:DisconnectCustomKeyStore", want: unsupported, call: func(w *world, c *clients) error {
			return run(c, c.kms.DisconnectCustomKeyStore, &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: aws.String("cks-1")})
		}},
		{action: "kms:UpdateCustomKeyStore", want: unsupported, call: func(w *world, c *clients) error {
			return run(c, c.kms.UpdateCustomKeyStore, &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: aws.String("cks-1")})
		}},
		{action: "kms:DeleteCustomKeyStore", want: unsupported, call: func(w *world, c *clients) error {
			return run(c, c.kms.DeleteCustomKeyStore, &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: aws.String("cks-1")})
		}},
	}
	return steps
}

// wrapMaterial makes a key's bytes and wraps them for import.
func (w *world) wrapMaterial(publicKey []byte) []byte {
	w.t.Helper()
	parsed, err := x509.ParsePKIXPublicKey(publicKey)
	public, ok := parsed.(*rsa.PublicKey)
	if !ok {
		w.t.Fatal(errors.Join(errors.New("the wrapping key is no RSA key"), err))
	}
	material := make([]byte, 32)
	rand.Read(material)
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, material, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return wrapped
}
