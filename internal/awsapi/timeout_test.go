// SPDX-License-Identifier: Apache-2.0

package awsapi_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// short is the timeouts of the servers here.
const short = 200 * time.Millisecond

// impatient serves with short timeouts, by HTTP/1.1 or HTTP/2.
func impatient(t *testing.T, s *protocol.Service, h2 bool, answer time.Duration) *httptest.Server {
	t.Helper()
	rt := protocol.NewRouter(s)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service, op, err := rt.Match(w, r, "")
		if err == nil {
			err = handle(op, w, r)
		}
		if err != nil {
			service.WriteError(w, "r-1", err)
		}
	}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = short, answer
	server.EnableHTTP2 = h2
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// lasting is a GetMedia that goes on for longer than the timeouts, and ends when its caller seems to have gone.
type lasting struct {
	kinesisvideomedia.Unimplemented
}

func (lasting) GetMedia(ctx context.Context, _ *kinesisvideomedia.GetMediaInput) (*kinesisvideomedia.GetMediaOutput, error) {
	return &kinesisvideomedia.GetMediaOutput{ContentType: new("video/webm"), Payload: func(w protocol.StreamWriter) error {
		for i := range 3 {
			if _, err := fmt.Fprint(w, i); err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
			select {
			case <-time.After(short / 2):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}, nil
}

func TestStreamOutlivesTheServersTimeouts(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		server := impatient(t, kinesisvideomedia.New(lasting{}), h2, short)
		resp, err := server.Client().Post(server.URL+"/getMedia", "application/json", strings.NewReader(`{"StreamName":"cam","StartSelector":{"StartSelectorType":"NOW"}}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if all, err := io.ReadAll(resp.Body); err != nil || string(all) != "012" || resp.ProtoMajor == 2 != h2 {
			t.Errorf("by %s: %q, %v", resp.Proto, all, err)
		}
	}
}

// TestDeadlineEndsAWriteThatWaits for a client that takes nothing any more.
func TestDeadlineEndsAWriteThatWaits(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		ended := make(chan error, 1)
		server := impatient(t, kinesisvideomedia.New(media{stream: func(w protocol.StreamWriter) error {
			time.AfterFunc(short, func() { _ = w.SetWriteDeadline(time.Now()) })
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					ended <- err
					return err
				}
			}
		}}), h2, short)
		resp, err := server.Client().Post(server.URL+"/getMedia", "application/json", strings.NewReader(`{"StreamName":"cam","StartSelector":{"StartSelectorType":"NOW"}}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		select {
		case err := <-ended:
			if !h2 && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("by %s: %v", resp.Proto, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("by %s it waits still", resp.Proto)
		}
	}
}

// TestHalfARequestKeepsNoConnection: who announces a body and does not send it is answered that it is missing, and cut.
func TestHalfARequestKeepsNoConnection(t *testing.T) {
	t.Parallel()
	server := impatient(t, kms.New(keys{}), false, time.Minute)
	conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: obscura\r\nX-Amz-Target: TrentService.DescribeKey\r\nContent-Length: 100\r\n\r\n{\"KeyId\":")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("%q, %v", answer, err)
	}
}
