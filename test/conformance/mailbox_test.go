// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/test/rig"
)

// largest is the largest body that there can be.
func largest() []byte { return bytes.Repeat([]byte("sealed. "), 520<<10/8) }

func (c *clients) putObject(box, key, body string) error {
	_, err := c.boxes.PutObject(c.ctx, &mailbox.PutObjectInput{Box: &box, Key: &key, Body: []byte(body)})
	return err
}

func (c *clients) getObject(ctx context.Context, box, key string, wait int64) (string, error) {
	out, err := c.boxes.GetObject(ctx, &mailbox.GetObjectInput{Box: &box, Key: &key, WaitSeconds: &wait})
	if err != nil {
		return "", err
	}
	return string(out.Body), nil
}

func TestMailbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantCode(t, w.root.putObject("home", "roster/0000000001", string(largest())), "")
	body, err := w.root.getObject(t.Context(), "home", "roster/0000000001", 0)
	if err != nil || body != string(largest()) {
		t.Errorf("%d bytes came back: %v", len(body), err)
	}
	wantCode(t, w.root.putObject("home", "large", string(largest())+"x"), "ValidationException")
	for _, box := range []string{"", "-home", "Home", "home/a", strings.Repeat("a", 64)} {
		wantCode(t, w.root.putObject(box, "a", "1"), "ValidationException")
	}
	for _, key := range []string{"", "/a", "a/", "a//b", "..", "a/../b", "A", "a/b/c/d/e/f", strings.Repeat("a", 81), "a\n"} {
		wantCode(t, w.root.putObject("home", key, "1"), "ValidationException")
	}
	events := w.events(t, "PutObject")
	if all := strings.Join(events, ""); strings.Contains(all, "sealed. ") || strings.Contains(all, "c2VhbGVk") || !strings.Contains(all, `"key":"roster/0000000001"`) {
		t.Errorf("%d events, which hold the body or not the key", len(events))
	}
}

// TestMailboxOfADevice: a policy with the caller's own variables gives each device its own part of a box.
func TestMailboxOfADevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const home = "arn:aws:mailbox:us-east-1:000000000000:box/home"
	_, err := w.root.iam.TagUser(t.Context(), &iam.TagUserInput{UserName: aws.String("worker"), Tags: []types.Tag{{Key: aws.String("device"), Value: aws.String("door")}}})
	if err != nil {
		t.Fatal(err)
	}
	w.Permit(t, "worker", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"mailbox:GetObject","Resource":"`+home+`/roster/*"},
		{"Effect":"Allow","Action":["mailbox:GetObject","mailbox:PutObject"],"Resource":"`+home+`/certificate/${aws:PrincipalTag/device}/*"},
		{"Effect":"Allow","Action":"mailbox:ListObjects","Resource":"`+home+`","Condition":{"StringLike":{"mailbox:prefix":"grant/${aws:PrincipalTag/device}/*"}}}]}`)
	c := w.worker
	if err := c.putObject("home", "certificate/door/1", "own"); err != nil {
		t.Error(err)
	}
	if _, err := c.getObject(t.Context(), "home", "roster/1", 0); err == nil {
		t.Error("found what was never put")
	} else {
		wantCode(t, err, "ObjectNotFoundException")
	}
	const text = "is not authorized to perform: mailbox:"
	wantDenied(t, c.putObject("home", "certificate/gate/1", "another's"), text)
	wantDenied(t, c.putObject("home", "roster/1", "forged"), text)
	wantDenied(t, c.putObject("yard", "certificate/door/1", "elsewhere"), text)
	for prefix, allowed := range map[string]bool{"grant/door/": true, "grant/door/1": true, "grant/": false, "": false} {
		_, err := c.boxes.ListObjects(c.ctx, &mailbox.ListObjectsInput{Box: aws.String("home"), Prefix: &prefix})
		if allowed != (err == nil) {
			t.Errorf("list of %q: %v", prefix, err)
		}
	}
}

// later runs a call and tells how it ended.
func later(call func() (string, error)) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := call()
		done <- err
	}()
	return done
}

func (w *world) waitingCalls(t *testing.T, n string) {
	t.Helper()
	eventually(t, n+" calls waiting", func() bool { return strings.Contains(w.figures(t), "obscura_mailbox_waiting_calls "+n+"\n") })
}

// figures is what the admin listener tells Prometheus.
func (w *world) figures(t *testing.T) string {
	t.Helper()
	resp, err := w.HTTP.Get(w.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body) // what is missing fails the search
	return b.String()
}

// TestMailboxWaits: calls wait on the wire; they end with the object, with the caller's leave, with a decision that
// was withdrawn, and with the server.
func TestMailboxWaits(t *testing.T) {
	t.Parallel()
	s, stop := rig.Run(t)
	w := worldOf(t, s)
	t.Cleanup(stop)
	w.Permit(t, "worker", rig.Allow("mailbox:GetObject", "*"))
	wait := func(ctx context.Context, key string) <-chan error {
		return later(func() (string, error) { return w.worker.getObject(ctx, "home", key, 20) })
	}
	ctx, leave := context.WithCancel(t.Context())
	came, left := wait(t.Context(), "roster/1"), wait(ctx, "roster/2")
	w.waitingCalls(t, "2")
	if err := w.root.putObject("home", "roster/1", "new"); err != nil {
		t.Fatal(err)
	}
	if err := <-came; err != nil {
		t.Error(err)
	}
	leave()
	<-left
	w.waitingCalls(t, "0")
	withdrawn := wait(t.Context(), "roster/3")
	w.waitingCalls(t, "1")
	w.Permit(t, "worker", rig.Allow("mailbox:ListObjects", "*"))
	if err := w.root.putObject("home", "roster/3", "secret"); err != nil {
		t.Fatal(err)
	}
	wantDenied(t, <-withdrawn, "is not authorized to perform: mailbox:GetObject")
	stopped := later(func() (string, error) { return w.root.getObject(t.Context(), "home", "roster/4", 20) })
	w.waitingCalls(t, "1")
	began := time.Now()
	stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the server stopped after %v", took)
	}
	wantCode(t, <-stopped, "ObjectNotFoundException")
}

// TestMailboxOutlivesTheServer: what was answered is there when the server is back.
func TestMailboxOutlivesTheServer(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	in := func(c *server.Config) { c.Data = data; c.MailboxObjects = 1 }
	s, stop := rig.Run(t, in)
	w := worldOf(t, s)
	t.Cleanup(stop)
	if err := w.root.putObject("home", "roster/1", string(largest())); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.root.putObject("home", "roster/2", "x"), "QuotaExceededException")
	stop()
	c := newClients(t, rig.Start(t, in), s.Root)
	if got, err := c.getObject(t.Context(), "home", "roster/1", 0); err != nil || got != string(largest()) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
