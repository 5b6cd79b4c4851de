// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

const ana = "arn:aws:iam::000000000000:user/ana"

// A world is a service whose caller may do what allow says.
type world struct {
	*Service
	t     *testing.T
	db    meta.DB
	later time.Duration // that the clock is ahead

	mu    sync.Mutex
	allow func(r access.Request) bool
	asked []access.Request
}

func newWorld(t *testing.T, bounds ...int64) *world {
	w := &world{t: t, db: mem.New(), allow: func(access.Request) bool { return true }}
	c := Config{
		DB: w.db, Account: "000000000000", Region: "us-east-1", Authorizer: w,
		Now: func() time.Time { return time.Now().Add(w.later) },
	}
	if len(bounds) == 2 {
		c.MaxBytes, c.MaxObjects = bounds[0], bounds[1]
	}
	w.Service = New(c)
	return w
}

// Authorize implements access.Authorizer.
func (w *world) Authorize(ctx context.Context, r access.Request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	access.Exempt(ctx)
	w.asked = append(w.asked, r)
	if w.allow(r) {
		return nil
	}
	return &access.Denied{Message: "denied " + r.Action}
}

func (w *world) withdraw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allow = func(access.Request) bool { return false }
}

func (w *world) ctx() context.Context {
	c := &access.Call{Service: "mailbox"}
	c.Principal.ARN = ana
	return access.NewContext(w.t.Context(), c)
}

func (w *world) put(box, key, body string) error {
	_, err := w.PutObject(w.ctx(), &api.PutObjectInput{Box: &box, Key: &key, Body: []byte(body)})
	return err
}

func (w *world) putFor(box, key, body string, seconds int64) error {
	_, err := w.PutObject(w.ctx(), &api.PutObjectInput{Box: &box, Key: &key, Body: []byte(body), ExpiresInSeconds: &seconds})
	return err
}

func (w *world) get(box, key string) (string, error) { return w.wait(w.ctx(), box, key, 0) }

func (w *world) wait(ctx context.Context, box, key string, seconds int64) (string, error) {
	out, err := w.GetObject(ctx, &api.GetObjectInput{Box: &box, Key: &key, WaitSeconds: &seconds})
	if err != nil {
		return "", err
	}
	return string(out.Body), nil
}

func (w *world) remove(box, key string) error {
	_, err := w.DeleteObject(w.ctx(), &api.DeleteObjectInput{Box: &box, Key: &key})
	return err
}

// keys lists a page, its keys joined by blanks and a + when there is a token.
func (w *world) keys(in api.ListObjectsInput) string {
	w.t.Helper()
	out, err := w.ListObjects(w.ctx(), &in)
	if err != nil {
		return codeOf(err)
	}
	var all []string
	for _, o := range out.Objects {
		all = append(all, *o.Key)
	}
	if out.NextToken != nil {
		all = append(all, "+")
	}
	return strings.Join(all, " ")
}

// want checks an error's code; "" is success, "Denied" a decision.
func (w *world) want(err error, code string) {
	w.t.Helper()
	if got := codeOf(err); got != code {
		w.t.Errorf("got %q (%v), want %q", got, err, code)
	}
}

func (w *world) equal(got, want any) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("got %v, want %v", got, want)
	}
}

func codeOf(err error) string {
	switch e, ok := errors.AsType[protocol.APIError](err); {
	case err == nil:
		return ""
	case errors.As(err, new(*access.Denied)):
		return "Denied"
	case ok:
		return e.ErrorCode()
	}
	return "other"
}

// rows counts the rows of the space.
func (w *world) rows() (n int) {
	w.t.Helper()
	err := w.db.View(w.t.Context(), func(r meta.Reader) error {
		n = 0
		for _, err := range r.Scan([]byte(space+"/"), meta.PrefixEnd([]byte(space+"/"))) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}
