// SPDX-License-Identifier: Apache-2.0

package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/envelope/envelopetest"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/internal/seal"
)

const (
	alice = "arn:aws:iam::000000000000:user/alice"
	bob   = "arn:aws:iam::000000000000:user/bob"
)

func as(t *testing.T, arn string) context.Context {
	p := access.Principal{Principal: policy.Principal{Kind: policy.User, ARN: arn}}
	return access.NewContext(t.Context(), &access.Call{Principal: p})
}

func scope() envelope.Scope {
	return envelope.Scope{Name: "stream-1", KMSKey: "key-1", Context: map[string]string{"aws:kinesisvideo:stream-arn": "arn"}}
}

// world is a keyring over memory.
type world struct {
	db   meta.DB
	kms  *envelopetest.KMS
	ring *envelope.Keyring
}

func newWorld(t *testing.T) *world {
	w := &world{db: mem.New(), kms: envelopetest.New("key-1", "key-2")}
	w.ring = envelope.New(w.db, w.kms, nil)
	t.Cleanup(w.ring.Close)
	return w
}

func (w *world) sealer(t *testing.T, ctx context.Context) *envelope.Sealer {
	t.Helper()
	s, err := w.ring.Sealer(ctx, scope())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sealed(t *testing.T, s *envelope.Sealer, text string) []byte {
	t.Helper()
	b, err := s.SealRandom(nil, []byte(text), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (w *world) open(ctx context.Context, keyID string, b []byte) (string, error) {
	o, err := w.ring.Reader(scope()).Open(ctx, keyID)
	if err != nil {
		return "", err
	}
	plain, err := o.OpenRandom(nil, b, []byte("aad"))
	return string(plain), err
}

func disabled(err error) bool {
	var e *kmsapi.DisabledException
	return errors.As(err, &e)
}

func denied(err error) bool {
	var e *access.Denied
	return errors.As(err, &e)
}

func TestWhatIsSealedIsOpenedByAnotherKeyring(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(t, as(t, alice))
	b := sealed(t, s, "picture")
	if bytes.Contains(b, []byte("picture")) {
		t.Fatal("plaintext in what was sealed")
	}
	w.ring = envelope.New(w.db, w.kms, nil)
	defer w.ring.Close()
	if got, err := w.open(as(t, bob), s.KeyID(), b); err != nil || got != "picture" {
		t.Fatalf("open: %q, %v", got, err)
	}
}

func TestFrameIsSealedWithItsNonce(t *testing.T) {
	w := newWorld(t)
	ctx := as(t, alice)
	s := w.sealer(t, ctx)
	nonce := seal.FrameNonce(1, 2, [8]byte{3}, 4)
	b, err := s.Seal(nil, &nonce, []byte("frame"), nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := w.ring.Reader(scope()).Opener(ctx, s.KeyID())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := o.Open(nil, &nonce, b, nil); err != nil || string(got) != "frame" {
		t.Fatalf("open: %q, %v", got, err)
	}
	if _, err := o.Open(nil, &nonce, b, []byte("other")); !errors.Is(err, seal.ErrOpen) {
		t.Fatalf("open with other additional data: %v", err)
	}
}

func TestDataKeyIsBoundToItsEncryptionContext(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(t, as(t, alice))
	other := scope()
	other.Context = map[string]string{"aws:kinesisvideo:stream-arn": "other"}
	_, err := w.ring.Reader(other).Open(as(t, bob), s.KeyID())
	var invalid *kmsapi.InvalidCiphertextException
	if !errors.As(err, &invalid) {
		t.Fatalf("open with another context: %v", err)
	}
}

func TestWrappedKeyIsStoredBeforeTheFirstSeal(t *testing.T) {
	w := newWorld(t)
	w.sealer(t, as(t, alice))
	rows := 0
	_ = w.db.View(t.Context(), func(r meta.Reader) error {
		for range r.Scan(nil, nil) {
			rows++
		}
		return nil
	})
	if rows != 1 {
		t.Fatalf("%d rows, want the wrapped key", rows)
	}
}

func TestDisabledKeyStopsWritingWithWarmCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := as(t, alice)
		s := w.sealer(t, ctx)
		w.kms.Disable("key-1")
		if _, err := w.ring.Sealer(ctx, scope()); !disabled(err) {
			t.Fatalf("new fragment: %v", err)
		}
		time.Sleep(envelope.Recheck)
		if _, err := s.SealRandom(nil, nil, nil); !disabled(err) {
			t.Fatalf("fragment under way: %v", err)
		}
		if !disabled(s.Err()) {
			t.Fatalf("Err: %v", s.Err())
		}
		w.kms.Fail("key-1", nil)
		w.sealer(t, ctx)
		w.ring.Close()
	})
}

func TestDeniedCallerStopsReadingWithWarmCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.sealer(t, as(t, alice))
		b := sealed(t, s, "picture")
		o, err := w.ring.Reader(scope()).Open(as(t, bob), s.KeyID())
		if err != nil {
			t.Fatal(err)
		}
		w.kms.Deny("key-1", bob, true)
		if _, err := w.open(as(t, bob), s.KeyID(), b); !denied(err) {
			t.Fatalf("new fragment: %v", err)
		}
		time.Sleep(envelope.Recheck)
		if _, err := o.OpenRandom(nil, b, []byte("aad")); !denied(err) {
			t.Fatalf("fragment under way: %v", err)
		}
		if !denied(o.Err()) {
			t.Fatalf("Err: %v", o.Err())
		}
		if _, err := w.open(as(t, alice), s.KeyID(), b); err != nil {
			t.Fatalf("another caller: %v", err)
		}
		w.kms.Deny("key-1", bob, false)
		if _, err := w.open(as(t, bob), s.KeyID(), b); err != nil {
			t.Fatalf("allowed again: %v", err)
		}
		w.ring.Close()
	})
}

func TestDecisionIsMadeAtMostEvery200ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.sealer(t, as(t, alice))
		for range 100 { // four seconds at 25 frames a second
			time.Sleep(40 * time.Millisecond)
			sealed(t, s, "frame")
		}
		if n := w.kms.Calls("Authorize"); n != 20 {
			t.Fatalf("%d decisions in 4 s, want 20", n)
		}
		w.ring.Close()
	})
}

func TestEachPrincipalsFirstUseIsItsOwn(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(t, as(t, alice))
	b := sealed(t, s, "picture")
	for _, who := range []string{alice, bob, alice, bob} {
		if _, err := w.open(as(t, who), s.KeyID(), b); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.kms.Calls("Decrypt"); n != 2 {
		t.Fatalf("%d calls of Decrypt for two principals", n)
	}
	first := s.KeyID()
	if second := w.sealer(t, as(t, bob)).KeyID(); second == first {
		t.Fatal("a principal seals under the data key that another one had made")
	}
}

func TestPlaintextKeyLivesFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := as(t, alice)
		s := w.sealer(t, ctx)
		b := sealed(t, s, "picture")
		o, err := w.ring.Reader(scope()).Open(ctx, s.KeyID())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(envelope.RotateAfter - time.Second)
		if w.sealer(t, ctx).KeyID() != s.KeyID() {
			t.Fatal("data key changed too early")
		}
		time.Sleep(time.Second)
		if w.sealer(t, ctx).KeyID() == s.KeyID() {
			t.Fatal("data key did not change")
		}
		time.Sleep(envelope.MaxPlaintext - envelope.RotateAfter)
		synctest.Wait()
		if _, err := s.SealRandom(nil, nil, nil); !errors.Is(err, seal.ErrDestroyed) {
			t.Fatalf("seal with an old key: %v", err)
		}
		calls := w.kms.Calls("Decrypt")
		if got, err := o.OpenRandom(nil, b, []byte("aad")); err != nil || string(got) != "picture" {
			t.Fatalf("a slow reader: %q, %v", got, err)
		}
		if w.kms.Calls("Decrypt") != calls+1 {
			t.Fatal("an old plaintext was used")
		}
		w.ring.Close()
	})
}

func TestShredMakesDataUnreadable(t *testing.T) {
	w := newWorld(t)
	ctx := as(t, alice)
	s := w.sealer(t, ctx)
	b := sealed(t, s, "picture")
	o, err := w.ring.Reader(scope()).Open(ctx, s.KeyID())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.ring.Shred(ctx, scope().Name); err != nil {
		t.Fatal(err)
	}
	if _, err := w.open(ctx, s.KeyID(), b); !errors.Is(err, envelope.ErrShredded) {
		t.Fatalf("open: %v", err)
	}
	if _, err := o.OpenRandom(nil, b, []byte("aad")); !errors.Is(err, envelope.ErrShredded) {
		t.Fatalf("an opener from before: %v", err)
	}
	_ = w.db.View(ctx, func(r meta.Reader) error {
		for kv := range r.Scan(nil, nil) {
			t.Fatalf("row left: %q", kv.Key)
		}
		return nil
	})
}

func TestRetireKeepsWhatIsReferred(t *testing.T) {
	w := newWorld(t)
	ids := []string{}
	sealedText := [][]byte{}
	for _, who := range []string{alice, bob, alice, bob} {
		s := w.sealer(t, as(t, who))
		ids = append(ids, s.KeyID())
		sealedText = append(sealedText, sealed(t, s, "picture"))
	}
	readable := func(i int) bool {
		_, err := w.open(as(t, "arn:aws:iam::000000000000:user/"+t.Name()), ids[i], sealedText[i])
		return err == nil
	}
	for _, step := range []struct {
		oldest string
		want   [4]bool
	}{
		{ids[0], [4]bool{true, true, true, true}},
		{ids[2], [4]bool{false, false, true, true}},
		{"", [4]bool{false, false, false, true}},
		{"", [4]bool{false, false, false, true}},
	} {
		if err := w.ring.Retire(t.Context(), scope().Name, step.oldest); err != nil {
			t.Fatal(err)
		}
		w.ring.Close()
		w.ring = envelope.New(w.db, w.kms, nil)
		for i, want := range step.want {
			if got := readable(i); got != want {
				t.Errorf("after Retire(%q): key %s readable: %v", step.oldest, ids[i], got)
			}
		}
	}
	w.ring.Close()
}

func TestClosedKeyringRefuses(t *testing.T) {
	w := newWorld(t)
	ctx := as(t, alice)
	s := w.sealer(t, ctx)
	w.ring.Close()
	if _, err := s.SealRandom(nil, nil, nil); !errors.Is(err, seal.ErrDestroyed) {
		t.Errorf("seal: %v", err)
	}
	if _, err := w.ring.Sealer(ctx, scope()); !errors.Is(err, envelope.ErrClosed) {
		t.Errorf("new sealer: %v", err)
	}
	if _, err := w.open(ctx, s.KeyID(), nil); !errors.Is(err, envelope.ErrClosed) {
		t.Errorf("open: %v", err)
	}
}

func FuzzRow(f *testing.F) {
	f.Add([]byte(`{"v":1,"kmsKey":"arn","wrapped":"AAAA","created":1}`), "1")
	f.Add([]byte(`{"v":2}`), "-1")
	f.Fuzz(func(t *testing.T, value []byte, id string) {
		db := mem.New()
		_ = db.Update(t.Context(), func(tx meta.Tx) error {
			tx.Put(meta.Key("dk", "stream-1", uint64(1)), value)
			return nil
		})
		ring := envelope.New(db, envelopetest.New("key-1"), nil)
		defer ring.Close()
		if _, err := ring.Reader(scope()).Open(t.Context(), id); err == nil {
			t.Fatal("a row that no KMS wrapped was opened")
		}
	})
}
