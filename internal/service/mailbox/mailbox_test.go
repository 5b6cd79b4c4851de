// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/meta"
)

const (
	notFound = "ObjectNotFoundException"
	taken    = "ObjectExistsException"
	full     = "QuotaExceededException"
)

func TestObjectIsReadAsItWasPut(t *testing.T) {
	w := newWorld(t)
	for _, size := range []int{0, 1, chunkBytes, chunkBytes + 1, 520 << 10} {
		key, body := fmt.Sprintf("roster/%d", size), strings.Repeat("x", size)
		w.want(w.put("home", key, body), "")
		out, err := w.GetObject(w.ctx(), &api.GetObjectInput{Box: new("home"), Key: &key})
		if err != nil || string(out.Body) != body || out.Body == nil || *out.Key != key || *out.Writer != ana || out.Expires != nil {
			t.Fatalf("%d bytes: %v, %v", size, out, err)
		}
		if age := time.Since(*out.Created); age < 0 || age > time.Minute {
			t.Errorf("created %v ago", age)
		}
	}
	_, err := w.get("home", "roster/2")
	w.want(err, notFound)
	_, err = w.get("other", "roster/0")
	w.want(err, notFound)
}

func TestAnObjectNeverChanges(t *testing.T) {
	w := newWorld(t)
	w.want(w.putFor("home", "roster/1", "first", 60), "")
	w.want(w.put("home", "roster/1", "other"), taken)
	w.want(w.put("home", "roster/1", "first"), "") // repeated, as after an answer that was lost
	out, err := w.GetObject(w.ctx(), &api.GetObjectInput{Box: new("home"), Key: new("roster/1")})
	w.want(err, "")
	w.equal(string(out.Body), "first")
	w.equal(out.Expires.Sub(*out.Created), time.Minute)
}

func TestKeyIsFreeAfterDeletion(t *testing.T) {
	w := newWorld(t)
	w.want(w.putFor("home", "a", strings.Repeat("1", 200<<10), 60), "")
	w.want(w.put("home", "b", "1"), "")
	w.want(w.remove("home", "a"), "")
	w.want(w.remove("home", "a"), "") // again, as after an answer that was lost
	_, err := w.get("home", "a")
	w.want(err, notFound)
	w.want(w.put("home", "a", "2"), "")
	w.want(w.remove("home", "a"), "")
	w.want(w.remove("home", "b"), "")
	w.equal(w.rows(), 0)
}

func TestExpiredObjectIsNeverSeen(t *testing.T) {
	w := newWorld(t)
	w.want(w.putFor("home", "a", "1", 60), "")
	w.want(w.put("home", "b", "1"), "")
	w.later = 59 * time.Second
	w.equal(w.keys(api.ListObjectsInput{Box: new("home")}), "a b")
	w.later = time.Minute
	_, err := w.get("home", "a")
	w.want(err, notFound)
	w.equal(w.keys(api.ListObjectsInput{Box: new("home")}), "b")
	w.want(w.put("home", "a", "2"), "")
	got, err := w.get("home", "a")
	w.want(err, "")
	w.equal(got, "2")
}

func TestSweepDeletesWhatHasExpiredAndNothingElse(t *testing.T) {
	w := newWorld(t)
	const many = sweepAtOnce + 10
	for i := range many {
		w.want(w.putFor("home", fmt.Sprintf("p/%d", i), "x", 60), "")
	}
	w.want(w.putFor("yard", "a", strings.Repeat("x", 200<<10), 60), "")
	w.want(w.putFor("home", "again", "1", 60), "")
	w.want(w.remove("home", "again"), "")
	w.want(w.putFor("home", "again", "2", 120), "")
	w.want(w.put("home", "kept", "1"), "")
	w.want(w.Sweep(t.Context()), "")
	w.equal(w.rows(), 3*(many+1)+5+2+2) // object, body, due; three chunks in yard; no due for kept; the boxes
	w.later = time.Minute
	w.want(w.Sweep(t.Context()), "")
	w.equal(w.keys(api.ListObjectsInput{Box: new("home")}), "again kept")
	w.equal(w.rows(), 1+3+2)
	w.later = 2 * time.Minute
	w.want(w.Sweep(t.Context()), "")
	w.want(w.remove("home", "kept"), "")
	w.equal(w.rows(), 0)
}

func TestBoxTakesNoMoreThanItsBounds(t *testing.T) {
	w := newWorld(t, 10, 3)
	w.want(w.putFor("home", "a", "12345", 60), "")
	w.want(w.put("home", "b", "123456"), full)
	w.want(w.put("home", "b", "12345"), "")
	w.want(w.put("home", "b", "12345"), "") // is there already
	w.want(w.put("home", "c", ""), "")
	w.want(w.put("home", "d", ""), full)
	w.want(w.put("yard", "a", "12345"), "") // each box has its own
	w.want(w.remove("home", "c"), "")
	w.want(w.put("home", "d", ""), "")
	w.later = time.Minute
	w.want(w.put("home", "a", "1234"), "") // in the place of the one that expired
	w.want(w.put("home", "e", "1"), full)
}

// TestFullDiskTakesNoObject: below the floor that is kept free, what was put is answered, read and deleted, and nothing new taken.
func TestFullDiskTakesNoObject(t *testing.T) {
	w := newWorld(t)
	w.want(w.put("home", "a", "12345"), "")
	w.room = func(n int64) error {
		if n == 1 {
			return nil
		}
		return errors.New("the disk is full")
	}
	w.want(w.put("home", "b", "12345"), full)
	w.want(w.put("home", "b", "1"), "")
	w.want(w.put("home", "a", "12345"), "") // is there already
	w.want(w.remove("home", "a"), "")
}

func TestListIsInOrderAndGoesOnWhereItEnded(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"a", "a-b/1", "a/1", "a/10", "a/2", "ab", "b"} {
		w.want(w.put("home", key, "x"), "")
	}
	w.want(w.put("home-2", "c", "x"), "")
	list := func(prefix, after, token string, most int64) string {
		in := api.ListObjectsInput{Box: new("home"), Prefix: &prefix, StartAfter: &after}
		if token != "" {
			in.NextToken = &token
		}
		if most != 0 {
			in.MaxResults = &most
		}
		return w.keys(in)
	}
	w.equal(list("", "", "", 0), "a a-b/1 a/1 a/10 a/2 ab b")
	w.equal(list("a/", "", "", 0), "a/1 a/10 a/2")
	w.equal(list("a/", "a/1", "", 0), "a/10 a/2")
	w.equal(list("a/", "a/2", "", 0), "")
	w.equal(list("a/", "b", "", 0), "")
	w.equal(list("b", "a", "", 0), "b")
	w.equal(list("", "", "", 7), "a a-b/1 a/1 a/10 a/2 ab b")
	w.equal(list("", "", "", 2), "a a-b/1 +")
	w.equal(list("", "", "!", 2), "InvalidNextTokenException")
	out, err := w.ListObjects(w.ctx(), &api.ListObjectsInput{Box: new("home"), MaxResults: new(int64(2))})
	w.want(err, "")
	w.equal(*out.Objects[1].Size, int64(1))
	w.equal(*out.Objects[1].Writer, ana)
	w.equal(list("", "", *out.NextToken, 3), "a/1 a/10 a/2 +")
	w.equal(w.keys(api.ListObjectsInput{Box: new("nowhere")}), "")
}

func TestEachOperationIsDecidedOnItsObject(t *testing.T) {
	const home = "arn:aws:mailbox:us-east-1:000000000000:box/home"
	for _, c := range []struct {
		action, resource string
		call             func(w *world) error
	}{
		{"mailbox:PutObject", home + "/roster/1", func(w *world) error { return w.put("home", "roster/1", "x") }},
		{"mailbox:GetObject", home + "/roster/1", func(w *world) error { _, err := w.get("home", "roster/1"); return err }},
		{"mailbox:DeleteObject", home + "/roster/1", func(w *world) error { return w.remove("home", "roster/1") }},
		{"mailbox:ListObjects", home, func(w *world) error {
			_, err := w.ListObjects(w.ctx(), &api.ListObjectsInput{Box: new("home"), Prefix: new("roster/")})
			return err
		}},
	} {
		t.Run(c.action, func(t *testing.T) {
			w := newWorld(t)
			w.want(w.put("home", "roster/1", "x"), "")
			w.asked = nil
			w.want(c.call(w), "")
			if len(w.asked) != 1 || w.asked[0].Action != c.action || w.asked[0].Resource != c.resource {
				t.Errorf("asked %+v", w.asked)
			}
			if p := w.asked[0].Context["mailbox:prefix"]; c.resource == home && (len(p) != 1 || p[0] != "roster/") {
				t.Errorf("prefix %q", p)
			}
			rows := w.rows()
			w.withdraw()
			w.want(c.call(w), "Denied")
			w.equal(w.rows(), rows)
		})
	}
}

// TestDenialDoesNotTellWhatIsThere: who may not use a key hears the same of one that is there and of one that is not.
func TestDenialDoesNotTellWhatIsThere(t *testing.T) {
	w := newWorld(t)
	w.want(w.put("home", "there", "x"), "")
	w.withdraw()
	for _, key := range []string{"there", "absent"} {
		_, err := w.wait(w.ctx(), "home", key, 20)
		w.want(err, "Denied")
		w.want(w.put("home", key, "other"), "Denied")
	}
}

func TestEventNamesTheObject(t *testing.T) {
	w := newWorld(t)
	call := &access.Call{}
	ctx := access.NewContext(t.Context(), call)
	_, err := w.PutObject(ctx, &api.PutObjectInput{Box: new("home"), Key: new("a/b"), Body: []byte("x")})
	w.want(err, "")
	if r := call.Resources(); len(r) != 1 || !strings.HasSuffix(r[0].ARN, ":box/home/a/b") || r[0].Type != "Obscura::Mailbox::Object" {
		t.Errorf("resources %v", r)
	}
}

// TestNothingIsAnsweredThatIsNotDurable: a store that fails to write fails the call, and the object is not there.
func TestNothingIsAnsweredThatIsNotDurable(t *testing.T) {
	w := newWorld(t)
	w.db = failing{w.db}
	w.Service.db = w.db
	w.want(w.put("home", "a", "x"), "other")
	_, err := w.get("home", "a")
	w.want(err, notFound)
}

// failing is a store that takes nothing.
type failing struct{ meta.DB }

func (f failing) Update(ctx context.Context, fn func(meta.Tx) error) error {
	return f.DB.Update(ctx, func(tx meta.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return fmt.Errorf("disk gone")
	})
}
