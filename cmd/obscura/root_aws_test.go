// SPDX-License-Identifier: Apache-2.0

//go:build cloudkms

package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/kms"

	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/server"
)

// TestKMSOfOneServerProtectsTheRootKeyOfAnother runs the provider "aws" against the KMS of this program.
func TestKMSOfOneServerProtectsTheRootKeyOfAnother(t *testing.T) {
	data := filepath.Join(t.TempDir(), "kms")
	s, err := server.Open(t.Context(), server.Config{
		Data: data, API: server.Listener{Listen: "127.0.0.1:0"}, Media: server.Listener{Listen: server.Off},
		Device: server.Listener{Listen: server.Off}, Admin: server.Listener{Listen: server.Off},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); <-done }()
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(data, "credentials"))
	t.Setenv("AWS_CA_BUNDLE", s.Endpoints().CAFile)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")

	o := rootkey.Options{Provider: "aws", Params: map[string]string{
		"kms_key_id": createKey(t, s.Endpoints().API), "region": server.DefaultRegion, "endpoint": s.Endpoints().API,
	}}
	path := filepath.Join(t.TempDir(), "root.key")
	made, err := rootkey.Create(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	again, err := rootkey.Open(t.Context(), path, rootkey.Options{})
	if err != nil || again.ID() != made.ID() {
		t.Fatalf("open: %v", err)
	}
	gone := map[string]string{"endpoint": "https://127.0.0.1:1"}
	if _, err := rootkey.Open(t.Context(), path, rootkey.Options{Params: gone}); !errors.Is(err, rootkey.ErrLocked) {
		t.Errorf("no KMS: %v", err)
	}
}

// createKey makes a KMS key with the root credentials of the environment.
func createKey(t *testing.T, endpoint string) string {
	t.Helper()
	sess, err := session.NewSession(&aws.Config{Region: aws.String(server.DefaultRegion), Endpoint: &endpoint})
	if err != nil {
		t.Fatal(err)
	}
	out, err := kms.New(sess).CreateKey(&kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.KeyMetadata.KeyId
}
