// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// The echo is what a bare JSON server in Go costs: net/http, TLS and encoding/json, of the shapes that KMS requests and
// answers have.

// echoIn has the members that the measured requests have.
type echoIn struct {
	KeyId, KeySpec, MessageType, SigningAlgorithm string
	CiphertextBlob, Plaintext, Message            []byte
	EncryptionContext                             map[string]string
}

// echoOut has the members of the answers.
type echoOut struct {
	CiphertextBlob      []byte `json:",omitempty"`
	EncryptionAlgorithm string `json:",omitempty"`
	KeyId               string
	KeyMaterialId       string `json:",omitempty"`
	Plaintext           []byte `json:",omitempty"`
	Signature           []byte `json:",omitempty"`
	SigningAlgorithm    string `json:",omitempty"`
}

// workPath is where an echo runs the primitive, too.
const workPath = "/work"

// echo reads a KMS request and answers in the shape and size of its response, without a look at who asks. Below workPath
// it runs the primitive first, the outcome of which nobody sees: the least that any server which does so has to do.
type echo struct {
	primitives map[string]func() error
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var in echoIn
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	target := r.Header.Get("X-Amz-Target")
	if strings.HasPrefix(r.URL.Path, workPath) {
		if err := e.work(target, &in); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	out, err := json.Marshal(echoed(target, &in))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = w.Write(out) // the client sees it
}

func (e *echo) work(target string, in *echoIn) error {
	name := strings.TrimPrefix(target, "TrentService.")
	if name == "Sign" {
		name = in.SigningAlgorithm
	}
	primitive, ok := e.primitives[name]
	if !ok {
		return fmt.Errorf("no primitive of %s", name)
	}
	return primitive()
}

func echoed(target string, in *echoIn) *echoOut {
	const symmetric = "SYMMETRIC_DEFAULT"
	switch target {
	case "TrentService.Decrypt":
		return &echoOut{EncryptionAlgorithm: symmetric, KeyId: echoARN, KeyMaterialId: echoMaterial, Plaintext: in.CiphertextBlob[:min(1024, len(in.CiphertextBlob))]}
	case "TrentService.Encrypt":
		return &echoOut{EncryptionAlgorithm: symmetric, KeyId: echoARN, CiphertextBlob: make([]byte, len(in.Plaintext)+overheadBytes)}
	case "TrentService.Sign":
		signature := make([]byte, 71)
		if in.SigningAlgorithm != kmsapi.SigningAlgorithmSpecEcdsaSha256 {
			signature = make([]byte, 256)
		}
		return &echoOut{KeyId: echoARN, Signature: signature, SigningAlgorithm: in.SigningAlgorithm}
	}
	return &echoOut{CiphertextBlob: make([]byte, 32+overheadBytes), KeyId: echoARN, Plaintext: make([]byte, 32), KeyMaterialId: echoMaterial}
}

const (
	echoARN      = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000"
	echoMaterial = "0000000000000000000000000000000000000000000000000000000000000000"
	// overheadBytes is how much longer a ciphertext blob is than its plaintext, docs/formats/ciphertext-blob.md.
	overheadBytes = 100
)
