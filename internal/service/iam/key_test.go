// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

func (a *account) newAccessKey(user *string) *iamapi.AccessKey {
	a.t.Helper()
	out, err := a.CreateAccessKey(a.root(), &iamapi.CreateAccessKeyInput{UserName: user})
	if err != nil {
		a.t.Fatal(err)
	}
	return out.AccessKey
}

func TestAccessKeyRevocationBitesAtOnce(t *testing.T) {
	a := newAccount(t)
	a.user("ana")
	k := a.newAccessKey(new("ana"))
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(*k.AccessKeyId) || len(*k.SecretAccessKey) != 40 {
		t.Errorf("key %s, secret of %d", *k.AccessKeyId, len(*k.SecretAccessKey))
	}
	lookup := func() error {
		c, err := a.LookupAccessKey(t.Context(), *k.AccessKeyId)
		if err == nil && (c.SecretAccessKey != *k.SecretAccessKey || c.Principal.UserName != "ana" || c.Principal.AccessKeyID != *k.AccessKeyId) {
			t.Errorf("credential of %+v", c.Principal)
		}
		return err
	}
	a.ok(nil, lookup())
	set := func(status string) {
		a.ok(a.UpdateAccessKey(a.root(), &iamapi.UpdateAccessKeyInput{UserName: new("ana"), AccessKeyId: k.AccessKeyId, Status: &status}))
	}
	set("Inactive")
	if err := lookup(); !errors.Is(err, ErrUnknownAccessKey) {
		t.Errorf("inactive key: %v", err)
	}
	set("Active")
	a.ok(nil, lookup())
	a.ok(a.DeleteAccessKey(a.root(), &iamapi.DeleteAccessKeyInput{UserName: new("ana"), AccessKeyId: k.AccessKeyId}))
	if err := lookup(); !errors.Is(err, ErrUnknownAccessKey) {
		t.Errorf("deleted key: %v", err)
	}
}

// A call that began before and decides again, as a stream does for every fragment, ends too.
func TestRevocationEndsRunningCalls(t *testing.T) {
	a := newAccount(t)
	a.user("ana", allowAll)
	id, _, _, err := a.EnsureRoot(t.Context())
	a.ok(nil, err)
	k := a.newAccessKey(new("ana"))
	for _, tt := range []struct{ id, user *string }{{k.AccessKeyId, new("ana")}, {&id, nil}} {
		cred, err := a.LookupAccessKey(t.Context(), *tt.id)
		a.ok(cred, err)
		running := as(t.Context(), cred.Principal)
		if !a.may(running, "kinesisvideo:PutMedia", "*") {
			t.Error("denied from the start")
		}
		a.ok(a.UpdateAccessKey(a.root(), &iamapi.UpdateAccessKeyInput{UserName: tt.user, AccessKeyId: tt.id, Status: new("Inactive")}))
		if a.may(running, "kinesisvideo:PutMedia", "*") {
			t.Error("allowed with an inactive key")
		}
	}
}

func TestAccessKeyErrors(t *testing.T) {
	a := newAccount(t)
	a.user("ana")
	a.user("bob")
	k := a.newAccessKey(new("ana"))
	a.newAccessKey(new("ana"))
	a.want("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")(a.CreateAccessKey(a.root(), &iamapi.CreateAccessKeyInput{UserName: new("ana")}))
	missing := "The Access Key with id " + *k.AccessKeyId + " cannot be found."
	a.want("NoSuchEntity", missing)(a.DeleteAccessKey(a.root(), &iamapi.DeleteAccessKeyInput{UserName: new("bob"), AccessKeyId: k.AccessKeyId}))
	a.want("NoSuchEntity", missing)(a.UpdateAccessKey(a.root(), &iamapi.UpdateAccessKeyInput{AccessKeyId: k.AccessKeyId, Status: new("Inactive")}))
	a.want("NoSuchEntity", "")(a.GetAccessKeyLastUsed(a.root(), &iamapi.GetAccessKeyLastUsedInput{AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA")}))
	out, err := a.ListAccessKeys(a.root(), &iamapi.ListAccessKeysInput{UserName: new("ana"), MaxItems: new(int64(1))})
	if err != nil || len(out.AccessKeyMetadata) != 1 || !*out.IsTruncated || *out.AccessKeyMetadata[0].UserName != "ana" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestUsersManageTheirOwnKeysAlone(t *testing.T) {
	a := newAccount(t)
	a.user("bob")
	ana := a.user("ana", allow("iam:*AccessKey*", "arn:aws:iam::*:user/${aws:username}"))
	a.ok(a.CreateAccessKey(ana, &iamapi.CreateAccessKeyInput{}))
	a.ok(a.ListAccessKeys(ana, &iamapi.ListAccessKeysInput{UserName: new("ana")}))
	a.want("Denied", "")(a.CreateAccessKey(ana, &iamapi.CreateAccessKeyInput{UserName: new("bob")}))
	a.want("Denied", "")(a.CreateAccessKey(ana, &iamapi.CreateAccessKeyInput{UserName: new("absent")}))
}

func TestRootKeyIsMadeOnce(t *testing.T) {
	db := mem.New()
	a := openAccount(t, db)
	id, secret, created, err := a.EnsureRoot(t.Context())
	if err != nil || !created || len(secret) != 40 {
		t.Fatalf("%s %v %v", id, created, err)
	}
	cred, err := a.LookupAccessKey(t.Context(), id)
	if err != nil || cred.Principal.ARN != "arn:aws:iam::000000000000:root" {
		t.Fatalf("%+v, %v", cred.Principal, err)
	}
	b := openAccount(t, db)
	again, sameSecret, created, err := b.EnsureRoot(t.Context())
	if err != nil || created || again != id || sameSecret != secret {
		t.Errorf("second start: %s %v %v", again, created, err)
	}
	b.ok(b.DeleteAccessKey(b.root(), &iamapi.DeleteAccessKeyInput{AccessKeyId: &id}))
	if id, _, created, err := openAccount(t, db).EnsureRoot(t.Context()); err != nil || created || id != "" {
		t.Errorf("a root key that was deleted came back: %s %v %v", id, created, err)
	}
	fresh, _, err := b.ResetRoot(t.Context())
	if _, lookup := b.LookupAccessKey(t.Context(), fresh); err != nil || lookup != nil {
		t.Errorf("reset: %v %v", err, lookup)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	a := newAccount(t)
	a.user("ana")
	a.newAccessKey(new("ana"))
	for _, k := range a.view().keys {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if s := fmt.Sprintf(verb, *k); strings.Contains(s, string(k.Secret)) {
				t.Errorf("%s shows the secret", verb)
			}
		}
	}
}

func TestLastUseIsWrittenInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := mem.New()
		a := openAccount(t, db)
		a.user("ana")
		k := a.newAccessKey(new("ana"))
		last := func(a *account) *iamapi.AccessKeyLastUsed {
			out, err := a.GetAccessKeyLastUsed(a.root(), &iamapi.GetAccessKeyLastUsedInput{AccessKeyId: k.AccessKeyId})
			if err != nil || *out.UserName != "ana" {
				t.Fatalf("%+v %v", out, err)
			}
			return out.AccessKeyLastUsed
		}
		if u := last(a); u.LastUsedDate != nil || *u.ServiceName != "N/A" {
			t.Errorf("never used: %+v", u)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { a.Run(ctx); close(done) }()
		cred, err := a.LookupAccessKey(t.Context(), *k.AccessKeyId)
		a.ok(cred, err)
		a.MarkUsed(&cred.Principal, "kms", "us-east-1")
		if u := last(a); *u.ServiceName != "kms" || !u.LastUsedDate.Equal(start) {
			t.Errorf("not written yet: %+v", u)
		}
		if u := last(openAccount(t, db)); u.LastUsedDate != nil {
			t.Error("a use was written at once")
		}
		time.Sleep(usageInterval + time.Second)
		synctest.Wait()
		if u := last(openAccount(t, db)); u.LastUsedDate == nil {
			t.Error("a use was not written after a minute")
		}
		role := &access.Principal{Session: &access.Session{RoleID: "AROAGONE"}, AccessKeyID: "ASIA"}
		a.MarkUsed(role, "kms", "us-east-1")
		a.MarkUsed(&access.Principal{}, "kms", "us-east-1")
		cancel()
		<-done
	})
}
