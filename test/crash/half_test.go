// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/test/rig"
)

// TestHalfARequestKeepsItsConnectionForAMinute on every listener that strangers reach, and no longer: nobody needs a
// key to send one.
func TestHalfARequestKeepsItsConnectionForAMinute(t *testing.T) {
	if !rig.Full() {
		t.Skip("it waits for a minute")
	}
	t.Parallel()
	p := rig.StartProcess(t, filepath.Join(t.TempDir(), "data"), "--free-space", "-1")
	cut := make(chan error)
	listeners := []string{p.API, p.Media, p.Device}
	for _, to := range listeners {
		go func() { cut <- halfARequest(p, to) }()
	}
	for range listeners {
		if err := <-cut; err != nil {
			t.Error(err)
		}
	}
}

// half is a request of which the body does not come. Any listener reads on.
const half = "POST /enrolment HTTP/1.1\r\nHost: obscura\r\nX-Amz-Target: TrentService.CreateKey\r\nContent-Length: 1000\r\n\r\n" + `{"Description":`

// dial connects to a listener for HTTP/1.1.
func dial(p *rig.Process, to string) (*tls.Conn, error) {
	config := p.HTTP.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	return tls.Dial("tcp", strings.TrimPrefix(to, "https://"), config)
}

// halfARequest sends one, and returns when the server has ended the connection.
func halfARequest(p *rig.Process, to string) error {
	conn, err := dial(p, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err = io.WriteString(conn, half); err == nil {
		err = conn.SetReadDeadline(time.Now().Add(90 * time.Second)) // the server has 60
	}
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New(to + ": the connection is there still")
	}
	return nil
}
