// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestEndlessAnswerIsCutOff: what a server sends as an answer takes only so much memory.
func TestEndlessAnswerIsCutOff(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat(" ", 1<<16))
		for sent := 0; sent < 32<<20 && r.Context().Err() == nil; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	box := NewMailbox(Server{
		Endpoint: server.URL, HTTPClient: server.Client(),
		Credentials: func(context.Context) (Credentials, error) {
			return Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		},
	}, "home")
	for name, ask := range map[string]func() error{
		"an object":  func() error { _, err := box.Get(t.Context(), "roster/0000000001", 0); return err },
		"a listing":  func() error { _, err := box.List(t.Context(), "roster/", "", 0); return err },
		"an own one": func() error { return box.Put(t.Context(), "certificate/x", []byte("x"), 0) },
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "more than 2097152 bytes") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
