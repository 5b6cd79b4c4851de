// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/policy"
)

func (w *world) grant(in *kmsapi.CreateGrantInput) *kmsapi.CreateGrantOutput {
	w.t.Helper()
	out, err := w.CreateGrant(asRoot(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func grantInput(id, grantee string, operations ...string) *kmsapi.CreateGrantInput {
	return &kmsapi.CreateGrantInput{KeyId: &id, GranteePrincipal: &grantee, Operations: operations}
}

func TestGrantAllowsUntilItIsRevoked(t *testing.T) {
	w := newWorld(t)
	id, other := w.symmetricKey(), w.symmetricKey()
	generate := func(id string) error { return second(w.GenerateDataKey(asUser(aliceARN), dataKeyInput(id))) }
	expect(t, generate(id), "AccessDeniedException", "…")
	g := w.grant(grantInput(id, aliceARN, "GenerateDataKey"))
	if len(*g.GrantId) != 64 || len(*g.GrantToken) > 8192 {
		t.Errorf("grant %+v", g)
	}
	expect(t, generate(id), "", "")
	expect(t, generate(other), "AccessDeniedException", "…")
	expect(t, w.AuthorizeUse(asUser(aliceARN), "GenerateDataKey", id, nil), "", "")
	expect(t, w.AuthorizeUse(asUser(aliceARN), "Decrypt", id, nil), "AccessDeniedException", "…")
	expect(t, w.AuthorizeUse(asUser(bobARN), "GenerateDataKey", id, nil), "AccessDeniedException", "…")
	must(w.RevokeGrant(asRoot(), &kmsapi.RevokeGrantInput{KeyId: &id, GrantId: g.GrantId}))
	expect(t, generate(id), "AccessDeniedException", "…")
	_, err := w.RevokeGrant(asRoot(), &kmsapi.RevokeGrantInput{KeyId: &id, GrantId: g.GrantId})
	expect(t, err, "NotFoundException", "Grant ID "+*g.GrantId+" not found")
}

func TestDenyWinsOverAGrant(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	w.grant(grantInput(id, aliceARN, "GenerateDataKey"))
	w.allow(aliceARN, `{"Effect":"Deny","Action":"kms:*","Resource":"*"}`)
	_, err := w.GenerateDataKey(asUser(aliceARN), dataKeyInput(id))
	expect(t, err, "AccessDeniedException", deniedText(aliceARN, "kms:GenerateDataKey", w.keyARN(id), "with an explicit deny in an identity-based policy"))
}

func TestGrantToARoleServesItsSessions(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	const role = "arn:aws:iam::000000000000:role/path/camera"
	w.grant(grantInput(id, role, "GenerateDataKey"))
	session := policy.Principal{Kind: policy.AssumedRole, ARN: "arn:aws:sts::000000000000:assumed-role/camera/one", Account: account, RoleARN: role, UniqueID: "AROAX:one"}
	// A role that a grant names still needs nothing of its own.
	expect(t, second(w.GenerateDataKey(as(session), dataKeyInput(id))), "", "")
	session.RoleARN = "arn:aws:iam::000000000000:role/other"
	expect(t, second(w.GenerateDataKey(as(session), dataKeyInput(id))), "AccessDeniedException", "…")
}

func TestGrantConstraints(t *testing.T) {
	pairs := map[string]string{"a": "1", "b": "2"}
	for name, c := range map[string]struct {
		constraints kmsapi.GrantConstraints
		context     map[string]string
		allowed     bool
	}{
		"equal":            {kmsapi.GrantConstraints{EncryptionContextEquals: pairs}, pairs, true},
		"equal, more":      {kmsapi.GrantConstraints{EncryptionContextEquals: pairs}, map[string]string{"a": "1", "b": "2", "c": "3"}, false},
		"equal, less":      {kmsapi.GrantConstraints{EncryptionContextEquals: pairs}, map[string]string{"a": "1"}, false},
		"subset":           {kmsapi.GrantConstraints{EncryptionContextSubset: pairs}, map[string]string{"a": "1", "b": "2", "c": "3"}, true},
		"subset, less":     {kmsapi.GrantConstraints{EncryptionContextSubset: pairs}, map[string]string{"a": "1"}, false},
		"subset, in case":  {kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "x"}}, map[string]string{"a": "X"}, false},
		"subset, key case": {kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "x"}}, map[string]string{"A": "x"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.symmetricKey()
			in := grantInput(id, aliceARN, "GenerateDataKey", "DescribeKey")
			in.Constraints = &c.constraints
			w.grant(in)
			err := w.AuthorizeUse(asUser(aliceARN), "GenerateDataKey", id, c.context)
			if c.allowed != (err == nil) {
				t.Errorf("got %v", err)
			}
			must(w.DescribeKey(asUser(aliceARN), &kmsapi.DescribeKeyInput{KeyId: &id})) // constraints do not bear on it
		})
	}
}

// TestGrantForAResourceServesItAlone: the caller's service says for which resource it calls; a caller cannot.
func TestGrantForAResourceServesItAlone(t *testing.T) {
	w := newWorld(t)
	const door, yard = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1", "arn:aws:kinesisvideo:us-east-1:000000000000:stream/yard/1"
	on := func(source string) contextT {
		ctx, call := access.Via(asUser(aliceARN), viaVideo, "kms", "")
		call.SourceARN = source
		return ctx
	}
	mac := *w.create(&kmsapi.CreateKeyInput{KeySpec: ptr("HMAC_256"), KeyUsage: ptr("GENERATE_VERIFY_MAC")}).KeyId
	id := w.symmetricKey()
	in := grantInput(id, aliceARN, "GenerateDataKey", "DescribeKey", "CreateGrant", "RetireGrant")
	in.Constraints = &kmsapi.GrantConstraints{SourceArn: ptr(door)}
	out := w.grant(in)
	expect(t, w.AuthorizeUse(on(door), "GenerateDataKey", id, nil), "", "")
	expect(t, w.AuthorizeUse(on(yard), "GenerateDataKey", id, nil), "AccessDeniedException", "…")
	expect(t, w.AuthorizeUse(on(""), "GenerateDataKey", id, nil), "AccessDeniedException", "…")
	expect(t, w.AuthorizeUse(asUser(aliceARN), "GenerateDataKey", id, nil), "AccessDeniedException", "…")
	expect(t, second(w.DescribeKey(asUser(aliceARN), &kmsapi.DescribeKeyInput{KeyId: &id})), "AccessDeniedException", "…")
	expect(t, second(w.DescribeKey(on(door), &kmsapi.DescribeKeyInput{KeyId: &id})), "", "")

	child := grantInput(id, bobARN, "GenerateDataKey")
	expect(t, second(w.CreateGrant(on(door), child)), "AccessDeniedException", "…") // laxer than its own
	child.Constraints = &kmsapi.GrantConstraints{SourceArn: ptr(yard)}
	expect(t, second(w.CreateGrant(on(door), child)), "AccessDeniedException", "…")
	child.Constraints = &kmsapi.GrantConstraints{SourceArn: ptr(door)}
	expect(t, second(w.CreateGrant(asUser(aliceARN), child)), "AccessDeniedException", "…")
	expect(t, second(w.CreateGrant(on(door), child)), "", "")

	w.reopen()
	list := must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id, GranteePrincipal: ptr(aliceARN)})).Grants
	if len(list) != 1 || *list[0].Constraints.SourceArn != door {
		t.Errorf("listed %+v", list)
	}
	expect(t, second(w.RetireGrant(asUser(aliceARN), &kmsapi.RetireGrantInput{KeyId: &id, GrantId: out.GrantId})), "", "")

	// Keys of every kind take it, and a named one is not another one's twin.
	of := func(source string) *kmsapi.CreateGrantInput {
		in := grantInput(mac, aliceARN, "GenerateMac")
		in.Name, in.Constraints = ptr("g"), &kmsapi.GrantConstraints{SourceArn: &source}
		return in
	}
	if *w.grant(of(door)).GrantId == *w.grant(of(yard)).GrantId {
		t.Error("two resources have one grant")
	}
	expect(t, second(w.CreateGrant(asRoot(), of("arn:aws:kinesisvideo:*:*:stream/*"))), "InvalidArnException", "")
	w.allow(bobARN, conditioned(`"ForAllValues:StringEquals":{"kms:GrantConstraintType":"SourceArn"}`))
	in = grantInput(id, aliceARN, "Decrypt")
	in.Constraints = &kmsapi.GrantConstraints{SourceArn: ptr(door)}
	expect(t, second(w.CreateGrant(asUser(bobARN), in)), "", "")
	in.Constraints.EncryptionContextSubset = map[string]string{"a": "b"}
	expect(t, second(w.CreateGrant(asUser(bobARN), in)), "AccessDeniedException", "…")
}

func TestGrantPassesOnNoMoreThanItAllows(t *testing.T) {
	for name, c := range map[string]struct {
		parent, child kmsapi.GrantConstraints
		operations    []string
		allowed       bool
	}{
		"same":                    {kmsapi.GrantConstraints{}, kmsapi.GrantConstraints{}, []string{"Decrypt"}, true},
		"more operations":         {kmsapi.GrantConstraints{}, kmsapi.GrantConstraints{}, []string{"Encrypt"}, false},
		"stricter":                {kmsapi.GrantConstraints{}, kmsapi.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "1"}}, []string{"Decrypt"}, true},
		"laxer":                   {kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}}, kmsapi.GrantConstraints{}, []string{"Decrypt"}, false},
		"subset to equals":        {kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}}, kmsapi.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "1", "b": "2"}}, []string{"Decrypt"}, true},
		"subset to larger subset": {kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}}, kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1", "b": "2"}}, []string{"Decrypt"}, true},
		"equals to subset":        {kmsapi.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "1"}}, kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}}, []string{"Decrypt"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.symmetricKey()
			parent := grantInput(id, aliceARN, "Decrypt", "CreateGrant")
			parent.Constraints = &c.parent
			w.grant(parent)
			child := grantInput(id, bobARN, c.operations...)
			child.Constraints = &c.child
			_, err := w.CreateGrant(asUser(aliceARN), child)
			if c.allowed != (err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNamedGrantIsIdempotent(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	in := grantInput(id, aliceARN, "Decrypt", "Encrypt")
	in.Name = ptr("one")
	a := w.grant(in)
	in.Operations = []string{"Encrypt", "Decrypt", "Decrypt"}
	b := w.grant(in)
	if *a.GrantId != *b.GrantId || *a.GrantToken == *b.GrantToken {
		t.Error("a second grant was made, or the token is the old one")
	}
	in.Operations = []string{"Encrypt"}
	if c := w.grant(in); *c.GrantId == *a.GrantId {
		t.Error("another grant got the same id")
	}
	in.Name = nil
	if first, next := w.grant(in), w.grant(in); *first.GrantId == *next.GrantId {
		t.Error("nameless grants are one")
	}
}

func TestCreateGrantErrors(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	mac := *w.create(&kmsapi.CreateKeyInput{KeySpec: ptr("HMAC_256"), KeyUsage: ptr("GENERATE_VERIFY_MAC")}).KeyId
	many := map[string]string{}
	for _, c := range "abcdefghi" {
		many[string(c)] = ""
	}
	for name, c := range map[string]struct {
		change func(in *kmsapi.CreateGrantInput)
		code   string
	}{
		"group":           {func(in *kmsapi.CreateGrantInput) { in.GranteePrincipal = ptr("arn:aws:iam::000000000000:group/g") }, "InvalidArnException"},
		"service":         {func(in *kmsapi.CreateGrantInput) { in.GranteePrincipal = ptr("kinesis.amazonaws.com") }, "InvalidArnException"},
		"retiring":        {func(in *kmsapi.CreateGrantInput) { in.RetiringPrincipal = ptr("x") }, "InvalidArnException"},
		"no operations":   {func(in *kmsapi.CreateGrantInput) { in.Operations = nil }, "ValidationException"},
		"wrong operation": {func(in *kmsapi.CreateGrantInput) { in.Operations = []string{"Sign"} }, "ValidationException"},
		"mac operation":   {func(in *kmsapi.CreateGrantInput) { in.KeyId = &mac }, "ValidationException"},
		"mac constraint": {func(in *kmsapi.CreateGrantInput) {
			in.KeyId, in.Operations = &mac, []string{"GenerateMac"}
			in.Constraints = &kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": ""}}
		}, "ValidationException"},
		"many pairs": {func(in *kmsapi.CreateGrantInput) {
			in.Constraints = &kmsapi.GrantConstraints{EncryptionContextSubset: many}
		}, "ValidationException"},
		"empty equals": {func(in *kmsapi.CreateGrantInput) {
			in.Constraints = &kmsapi.GrantConstraints{EncryptionContextEquals: map[string]string{}}
		}, "ValidationException"},
		"long value": {func(in *kmsapi.CreateGrantInput) {
			in.Constraints = &kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": strings.Repeat("ä", 385)}}
		}, "ValidationException"},
		"bad token": {func(in *kmsapi.CreateGrantInput) { in.GrantTokens = []string{"AAAA"} }, "InvalidGrantTokenException"},
	} {
		t.Run(name, func(t *testing.T) {
			in := grantInput(id, aliceARN, "Decrypt")
			c.change(in)
			expect(t, second(w.CreateGrant(asRoot(), in)), c.code, "…")
		})
	}
}

func TestGrantTokens(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	g := w.grant(grantInput(id, aliceARN, "GenerateDataKey"))
	in := dataKeyInput(id)
	in.GrantTokens = []string{*g.GrantToken}
	expect(t, second(w.GenerateDataKey(asUser(aliceARN), in)), "", "")
	expect(t, second(w.GenerateDataKey(asUser(bobARN), in)), "AccessDeniedException", "…") // a token gives nothing
	must(w.RevokeGrant(asRoot(), &kmsapi.RevokeGrantInput{KeyId: &id, GrantId: g.GrantId}))
	expect(t, second(w.GenerateDataKey(asRoot(), in)), "InvalidGrantTokenException", "")
}

func TestRetireGrant(t *testing.T) {
	for name, c := range map[string]struct {
		caller     string
		retiring   string
		operations []string
		allowed    bool
	}{
		"retiring principal":        {bobARN, bobARN, []string{"Decrypt"}, true},
		"grantee with operation":    {aliceARN, "", []string{"Decrypt", "RetireGrant"}, true},
		"grantee without operation": {aliceARN, "", []string{"Decrypt"}, false},
		"somebody":                  {bobARN, "", []string{"Decrypt", "RetireGrant"}, false},
		"the account":               {rootARN, "", []string{"Decrypt"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.symmetricKey()
			ctx := func() contextT {
				if c.caller == rootARN {
					return asRoot()
				}
				return asUser(c.caller)
			}
			for _, byToken := range []bool{true, false} {
				in := grantInput(id, aliceARN, c.operations...)
				if c.retiring != "" {
					in.RetiringPrincipal = &c.retiring
				}
				g := w.grant(in)
				retire := &kmsapi.RetireGrantInput{GrantToken: g.GrantToken, DryRun: ptr(true)}
				if !byToken {
					retire.GrantToken, retire.KeyId, retire.GrantId = nil, ptr(w.keyARN(id)), g.GrantId
				}
				err := second(w.RetireGrant(ctx(), retire))
				if !c.allowed {
					expect(t, err, "AccessDeniedException", "…")
					continue
				}
				expect(t, err, "DryRunOperationException", dryRunText)
				retire.DryRun = nil
				expect(t, second(w.RetireGrant(ctx(), retire)), "", "")
				if n := len(must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id})).Grants); n != 0 {
					t.Errorf("%d grants are left", n)
				}
			}
		})
	}
	w := newWorld(t)
	expect(t, second(w.RetireGrant(asRoot(), &kmsapi.RetireGrantInput{GrantToken: ptr("x")})), "InvalidGrantTokenException", "")
	expect(t, second(w.RetireGrant(asRoot(), &kmsapi.RetireGrantInput{})), "ValidationException", "…")
	expect(t, second(w.RetireGrant(asRoot(), &kmsapi.RetireGrantInput{KeyId: ptr(w.symmetricKey()), GrantId: ptr("x")})), "InvalidGrantIdException", "")
}

func TestListGrants(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	in := grantInput(id, aliceARN, "Decrypt")
	in.RetiringPrincipal, in.Name = ptr(bobARN), ptr("mine")
	in.Constraints = &kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "b"}}
	g := w.grant(in)
	for range 4 {
		w.grant(grantInput(id, bobARN, "Encrypt"))
	}
	list := func(in *kmsapi.ListGrantsInput) []*kmsapi.GrantListEntry {
		in.KeyId = &id
		return must(w.ListGrants(asRoot(), in)).Grants
	}
	if n := len(list(&kmsapi.ListGrantsInput{})); n != 5 {
		t.Errorf("%d grants", n)
	}
	one := list(&kmsapi.ListGrantsInput{GranteePrincipal: ptr(aliceARN)})
	if len(one) != 1 || *one[0].GrantId != *g.GrantId || *one[0].KeyId != w.keyARN(id) || *one[0].IssuingAccount != rootARN ||
		*one[0].Name != "mine" || *one[0].RetiringPrincipal != bobARN || one[0].Constraints.EncryptionContextSubset["a"] != "b" {
		t.Errorf("listed %+v", one)
	}
	if n := len(list(&kmsapi.ListGrantsInput{GrantId: g.GrantId})); n != 1 {
		t.Errorf("%d grants of that id", n)
	}
	page := must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id, Limit: ptr(int64(3))}))
	rest := must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id, Limit: ptr(int64(3)), Marker: page.NextMarker}))
	if len(page.Grants) != 3 || len(rest.Grants) != 2 || *rest.Truncated {
		t.Errorf("pages of %d and %d", len(page.Grants), len(rest.Grants))
	}
	retirable := must(w.ListRetirableGrants(asRoot(), &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: ptr(bobARN)})).Grants
	if len(retirable) != 1 || *retirable[0].GrantId != *g.GrantId {
		t.Errorf("retirable %+v", retirable)
	}
	expect(t, second(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id, GrantId: ptr("x")})), "InvalidGrantIdException", "")
	expect(t, second(w.ListRetirableGrants(asRoot(), &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: ptr("x")})), "InvalidArnException", "")
}

func TestGrantConditions(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	w.allow(aliceARN, conditioned(`"ForAllValues:StringEquals":{"kms:GrantOperations":["Decrypt"]},"StringEquals":{"kms:GranteePrincipal":"`+bobARN+`","kms:EncryptionContext:s":"door"},"Bool":{"kms:GrantIsForAWSResource":"true"}`))
	in := grantInput(id, bobARN, "Decrypt")
	in.Constraints = &kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"s": "door"}}
	expect(t, second(w.CreateGrant(asUser(aliceARN), in)), "AccessDeniedException", "…")
	expect(t, second(w.CreateGrant(through(asUser(aliceARN), viaVideo), in)), "", "")
	in.Operations = []string{"Decrypt", "Encrypt"}
	expect(t, second(w.CreateGrant(through(asUser(aliceARN), viaVideo), in)), "AccessDeniedException", "…")
}
