// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestVerifyBehindARealServer sends signed requests through net/http's client and server, over both versions.
func TestVerifyBehindARealServer(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err == nil {
				err = verifyAs(r, Body(body))
			}
			if err == nil && (r.ProtoMajor == 2) != h2 {
				err = http.ErrNotSupported
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
			}
		}))
		srv.EnableHTTP2 = h2
		srv.StartTLS()
		t.Cleanup(srv.Close)
		for _, s := range signers {
			for _, target := range []string{"/", "/a%20b%2Fc/~x?b=2&a=x%20y%2Bz&c", "/p?X-Id=1"} {
				for _, body := range []string{"", `{"a":"b"}`} {
					r := newRequest(t, "POST", srv.URL+target, body, "Content-Type", "application/x-amz-json-1.1", "X-Amzn-Stream-Name", "cam")
					s.sign(t, r, body, "kinesisvideo", testToken)
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
					res, err := srv.Client().Do(r)
					if err != nil {
						t.Fatal(err)
					}
					text, _ := io.ReadAll(res.Body)
					res.Body.Close()
					if res.StatusCode != http.StatusOK {
						t.Errorf("%s, %s %q, HTTP/2 %v: %s", s.name, target, body, h2, text)
					}
				}
			}
		}
	}
}
