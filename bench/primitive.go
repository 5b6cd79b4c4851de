// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/seal"
)

// sealedBytes is how long a plaintext of Encrypt and Decrypt is.
const sealedBytes = 1024

// primitives are what each operation is for, without all else, under keys of their own. Signing has the name of its algorithm.
func primitives() (map[string]func() error, error) {
	material := make([]byte, seal.KeySize)
	rand.Read(material) // never fails
	key, err := seal.NewKey(material)
	if err != nil {
		return nil, err
	}
	open, openErr := openOnce(key, sealedBytes)
	ecdsaSign, ecdsaErr := ecdsaOnce()
	rsaSign, rsaErr := rsaOnce()
	plain := make([]byte, sealedBytes)
	return map[string]func() error{
		"GenerateDataKey": func() error { return generateOnce(key) },
		"Encrypt":         func() error { return sealOnce(key, plain) },
		"Decrypt":         open,

		kmsapi.SigningAlgorithmSpecEcdsaSha256:          ecdsaSign,
		kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha256: rsaSign,
	}, errors.Join(openErr, ecdsaErr, rsaErr)
}

func generateOnce(key *seal.Key) error {
	var plain [32]byte
	rand.Read(plain[:]) // never fails
	return sealOnce(key, plain[:])
}

func sealOnce(key *seal.Key, plain []byte) error {
	var nonce [seal.NonceSize]byte
	rand.Read(nonce[:]) // never fails
	_, err := key.Seal(nil, &nonce, plain, nil)
	return err
}

func openOnce(key *seal.Key, n int) (func() error, error) {
	var nonce [seal.NonceSize]byte
	sealed, err := key.Seal(nil, &nonce, make([]byte, n), nil)
	return func() error { _, err := key.Open(nil, &nonce, sealed, nil); return err }, err
}

func ecdsaOnce() (func() error, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	digest := make([]byte, 32)
	return func() error { _, err := ecdsa.SignASN1(rand.Reader, key, digest); return err }, err
}

func rsaOnce() (func() error, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	digest := make([]byte, 32)
	return func() error { _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest); return err }, err
}
