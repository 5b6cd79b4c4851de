// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// external makes a key without material.
func external(w *kit.World) *key {
	w.T.Helper()
	return newKey(w, &kms.CreateKeyInput{Origin: types.OriginTypeExternal})
}

func parameters(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.GetParametersForImport, parametersInput(id))
}

func parametersInput(id string) *kms.GetParametersForImportInput {
	return &kms.GetParametersForImportInput{
		KeyId: &id, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	}
}

// material wraps fresh material for the key, ready to be imported.
func (k *key) material() *kms.ImportKeyMaterialInput {
	k.w.T.Helper()
	p, err := k.w.Admin.KMS.GetParametersForImport(k.w.Admin.Ctx, parametersInput(k.ID))
	k.w.Must(err)
	parsed, err := x509.ParsePKIXPublicKey(p.PublicKey)
	k.w.Must(err)
	public, ok := parsed.(*rsa.PublicKey)
	k.w.Must(kit.True("the wrapping key is an RSA key", ok))
	secret := make([]byte, 32)
	rand.Read(secret)
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, secret, nil)
	k.w.Must(err)
	return &kms.ImportKeyMaterialInput{
		KeyId: &k.ID, ImportToken: p.ImportToken, EncryptedKeyMaterial: wrapped, ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	}
}

// filled is a key with imported material.
func filled(w *kit.World) *key {
	w.T.Helper()
	k := external(w)
	w.Must(importMaterial(w.Admin, k.material()))
	return k
}

func importMaterial(c *kit.Clients, in *kms.ImportKeyMaterialInput) error {
	return kit.Run(c, c.KMS.ImportKeyMaterial, in)
}

func deleteMaterial(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.DeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialInput{KeyId: &id})
}

// importAnything is an import that does not come to look at the token.
func importAnything(c *kit.Clients, id string) error {
	return importMaterial(c, &kms.ImportKeyMaterialInput{
		KeyId: &id, ImportToken: []byte("none"), EncryptedKeyMaterial: []byte("none"), ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	})
}

func importCases() []kit.Case {
	return []kit.Case{
		{
			Op: "GetParametersForImport",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, empty)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.GetParametersForImport, parametersInput(k.ID), func(o *kms.GetParametersForImportOutput) error {
						if _, err := x509.ParsePKIXPublicKey(o.PublicKey); err != nil {
							return err
						}
						return kit.True("a token for this key, for a time", *o.KeyId == k.ARN && len(o.ImportToken) > 0 && o.ParametersValidTo != nil)
					})
				}}
			},
			Errors: flawed(parameters, missing, unheardOf, pendingDeletion, ofKind(sealing)),
		},
		{
			Op: "ImportKeyMaterial",
			Good: func(w *kit.World) kit.Call {
				k := external(w)
				in := k.material()
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.state, Do: func(c *kit.Clients) error { return importMaterial(c, in) }}
			},
			Errors: kit.Merge(flawed(importAnything, missing, unheardOf, pendingDeletion, ofKind(sealing)), kit.Errors{
				"InvalidImportTokenException": func(w *kit.World) error {
					in := external(w).material()
					in.KeyId = &shared(w, empty).ID
					return importMaterial(w.Admin, in)
				},
				"InvalidCiphertextException": func(w *kit.World) error {
					in := external(w).material()
					in.EncryptedKeyMaterial[7]++
					return importMaterial(w.Admin, in)
				},
				"IncorrectKeyMaterialException": func(w *kit.World) error { return importMaterial(w.Admin, filled(w).material()) },
			}),
			Others: kit.Errors{
				"ValidationException": func(w *kit.World) error {
					in := external(w).material()
					in.ExpirationModel = types.ExpirationModelTypeKeyMaterialExpires
					return kit.Saying(importMaterial(w.Admin, in), "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
				},
			},
			Never: map[string]string{"ExpiredImportTokenException": "a token is good for 24 hours"},
		},
		{
			Op: "DeleteImportedKeyMaterial",
			Good: func(w *kit.World) kit.Call {
				k := filled(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.state, Do: func(c *kit.Clients) error { return deleteMaterial(c, k.ID) }}
			},
			Errors: flawed(deleteMaterial, missing, unheardOf, ofKind(sealing)),
			Never:  map[string]string{"KMSInvalidStateException": anyState},
		},
	}
}
