// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

func TestReopeningBringsEverythingBack(t *testing.T) {
	db := mem.New()
	a := openAccount(t, db)
	p := a.policy("p", allow("kms:Decrypt", "*"))
	a.ok(a.CreatePolicyVersion(a.root(), &iamapi.CreatePolicyVersionInput{PolicyArn: &p, PolicyDocument: new(allow("kms:Encrypt", "*")), SetAsDefault: new(true)}))
	a.user("ana", allow("iam:GetUser", "*"))
	k := a.newAccessKey(new("ana"))
	a.ok(a.CreateGroup(a.root(), &iamapi.CreateGroupInput{GroupName: new("g")}))
	a.ok(a.AddUserToGroup(a.root(), &iamapi.AddUserToGroupInput{GroupName: new("g"), UserName: new("ana")}))
	a.ok(a.AttachGroupPolicy(a.root(), &iamapi.AttachGroupPolicyInput{GroupName: new("g"), PolicyArn: &p}))
	a.ok(a.CreateRole(a.root(), &iamapi.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(trusting("arn:aws:iam::000000000000:user/ana"))}))
	a.ok(a.CreateAccountAlias(a.root(), &iamapi.CreateAccountAliasInput{AccountAlias: new("dark-room")}))
	a.ok(a.CreateOpenIDConnectProvider(a.root(), &iamapi.CreateOpenIDConnectProviderInput{Url: new("https://idp.example/a"), ClientIDList: []string{"app"}}))
	a.user("gone")
	a.ok(a.DeleteUser(a.root(), &iamapi.DeleteUserInput{UserName: new("gone")}))

	b := openAccount(t, db)
	if w, r := dump(t, a.view()), dump(t, b.view()); w != r {
		t.Errorf("written:\n%s\nread:\n%s", w, r)
	}
	cred, err := b.LookupAccessKey(t.Context(), *k.AccessKeyId)
	if err != nil || cred.SecretAccessKey != *k.SecretAccessKey {
		t.Fatalf("key: %v", err)
	}
	ana := as(t.Context(), cred.Principal)
	if !b.may(ana, "kms:Encrypt", "*") || b.may(ana, "kms:Decrypt", "*") || !b.may(ana, "iam:GetUser", "*") {
		t.Error("policies differ")
	}
	if out, err := b.ListAccountAliases(b.root(), &iamapi.ListAccountAliasesInput{}); err != nil || out.AccountAliases[0] != "dark-room" {
		t.Errorf("%+v, %v", out, err)
	}
}

// dump shows all that a view holds.
func dump(t *testing.T, v *view) string {
	t.Helper()
	versions := map[string][]*policyVersion{}
	for arn, p := range v.policies {
		versions[arn] = p.versions
	}
	b, err := json.Marshal([]any{v.state, v.entities, v.names, v.policies, versions, v.policyNames, v.keys, v.providers})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTwoNodesOnOneStore(t *testing.T) {
	db := mem.New()
	a, b := openAccount(t, db), openAccount(t, db)
	a.user("ana")
	b.want("EntityAlreadyExists", "")(b.CreateUser(b.root(), &iamapi.CreateUserInput{UserName: new("ANA")}))
	k := b.newAccessKey(new("ana"))
	if _, err := a.LookupAccessKey(t.Context(), *k.AccessKeyId); err == nil {
		t.Fatal("the other node's key is known already: the test proves nothing")
	}
	a.ok(nil, a.Refresh(t.Context()))
	a.ok(a.LookupAccessKey(t.Context(), *k.AccessKeyId))
	before := a.view()
	a.ok(nil, a.Refresh(t.Context()))
	if a.view() != before {
		t.Error("read anew although nothing changed")
	}
}

// A failing store.
type failing struct {
	meta.DB
	err error
}

func (f *failing) Update(ctx context.Context, fn func(meta.Tx) error) error {
	if f.err != nil {
		return f.err
	}
	return f.DB.Update(ctx, fn)
}

func TestWhatIsNotDurableIsNotVisible(t *testing.T) {
	db := &failing{DB: mem.New()}
	a := openAccount(t, db)
	ana := a.user("ana")
	db.err = errors.New("disk on fire")
	_, err := a.PutUserPolicy(a.root(), &iamapi.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("p"), PolicyDocument: new(allowAll)})
	if !errors.Is(err, db.err) || a.may(ana, "kms:Decrypt", "*") {
		t.Errorf("got %v", err)
	}
	db.err = nil
	a.ok(a.PutUserPolicy(a.root(), &iamapi.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("p"), PolicyDocument: new(allowAll)}))
}

func TestEntitiesThatDoNotFitARowAreRefused(t *testing.T) {
	a := newAccount(t)
	a.role("r")
	for i := range 10 {
		text := strings.Replace(padded(1000), ":[", ":"+strings.Repeat("\n", 2900)+"[", 1)
		a.ok(a.PutRolePolicy(a.root(), &iamapi.PutRolePolicyInput{RoleName: new("r"), PolicyName: new(fmt.Sprint(i)), PolicyDocument: &text}))
	}
	in := &iamapi.TagRoleInput{RoleName: new("r")}
	for i := range maxTags {
		in.Tags = append(in.Tags, &iamapi.Tag{Key: new(fmt.Sprint(i)), Value: new(strings.Repeat("語", 256))})
	}
	before := dump(t, a.view())
	a.want("LimitExceeded", "")(a.TagRole(a.root(), in))
	if dump(t, a.view()) != before {
		t.Error("the view changed")
	}
}

func TestManyCallersAtOnce(t *testing.T) {
	a := newAccount(t)
	var wg sync.WaitGroup
	for i := range 20 {
		ctx := a.root()
		wg.Go(func() {
			name := fmt.Sprint("u", i)
			if _, err := a.CreateUser(ctx, &iamapi.CreateUserInput{UserName: &name}); err != nil {
				t.Error(err)
			}
			k, err := a.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: &name})
			if err != nil {
				t.Error(err)
				return
			}
			cred, err := a.LookupAccessKey(t.Context(), *k.AccessKey.AccessKeyId)
			if err != nil {
				t.Error(err)
			}
			a.MarkUsed(&cred.Principal, "iam", "us-east-1")
			if _, err := a.ListUsers(as(t.Context(), cred.Principal), &iamapi.ListUsersInput{}); code(err) != "Denied" {
				t.Error(err)
			}
			a.flushUsed(t.Context())
		})
	}
	wg.Wait()
	if n := len(a.view().all(userKind, "")); n != 20 {
		t.Errorf("%d users", n)
	}
}

func TestRowsOfAnotherFormatAreRefused(t *testing.T) {
	for name, row := range map[string]struct{ key, value []byte }{
		"newer format": {meta.Key(space, rowAccount), []byte(`{"Format":2}`)},
		"no JSON":      {meta.Key(space, rowKey, "AKIA"), []byte(`{"Secret":"s3cr3t`)},
		"bad policy":   {meta.Key(space, rowEntity, "AIDA"), []byte(`{"Kind":"user","Inline":{"p":{"Text":"{}"}}}`)},
	} {
		db := mem.New()
		if err := db.Update(t.Context(), func(tx meta.Tx) error { tx.Put(row.key, row.value); return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), Config{DB: db, Account: testAccount}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestAccountSummaryCounts(t *testing.T) {
	a := newAccount(t)
	a.user("ana")
	a.role("r")
	a.policy("p", allowAll)
	a.ok(nil, func() error { _, _, _, err := a.EnsureRoot(t.Context()); return err }())
	out, err := a.GetAccountSummary(a.root(), &iamapi.GetAccountSummaryInput{})
	a.ok(out, err)
	for name, want := range map[string]int64{"Users": 1, "Roles": 1, "Groups": 0, "Policies": 1, "PolicyVersionsInUse": 1, "AccountAccessKeysPresent": 1, "AccessKeysPerUserQuota": 2} {
		if out.SummaryMap[name] != want {
			t.Errorf("%s is %d, want %d", name, out.SummaryMap[name], want)
		}
	}
	a.want("NoSuchEntity", "")(a.DeleteAccountAlias(a.root(), &iamapi.DeleteAccountAliasInput{AccountAlias: new("none")}))
}
