// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	genPrincipal = rapid.SampledFrom([]string{
		`"*"`, aws(own), aws(foreign), aws(userARN), aws(roleARN), aws(sessARN), aws(fedARN), aws(aliceID), aws(roleID), aws(userARN, own),
		`{"Service":"cloudtrail.amazonaws.com"}`, `{"Federated":"` + oidcARN + `"}`,
	})
	genAction    = rapid.SampledFrom([]string{`"Action":"kms:*"`, `"Action":"kms:Decrypt"`, `"Action":"*"`, `"Action":"s3:*"`, `"NotAction":"kms:Decrypt"`, `"NotAction":"s3:*"`})
	genResource  = rapid.SampledFrom([]string{`"Resource":"*"`, `"Resource":"` + keyARN + `"`, `"Resource":"arn:aws:kms:*:${t:account}:*"`, `"NotResource":"` + keyARN + `"`})
	genCondition = rapid.SampledFrom([]string{
		``, ``, `,"Condition":{"StringEquals":{"t:k":"a"}}`, `,"Condition":{"StringNotEquals":{"t:k":["a","b"]}}`,
		`,"Condition":{"ForAllValues:StringLike":{"t:m":"a*"}}`, `,"Condition":{"Null":{"t:k":"true"}}`, `,"Condition":{"BoolIfExists":{"t:b":"true"}}`,
	})
	genCaller = rapid.SampledFrom([]Principal{alice, session, fed, root, trail, web, nobody, mallory})
)

func genStatement(effect string, kind Kind) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		s := `{"Effect":"` + effect + `",` + genAction.Draw(t, "action") + `,` + genResource.Draw(t, "resource") + genCondition.Draw(t, "condition")
		if kind.hasPrincipal() {
			element := rapid.SampledFrom([]string{"Principal", "Principal", "NotPrincipal"}).Draw(t, "element")
			s += `,"` + element + `":` + genPrincipal.Draw(t, "principal")
		}
		return s + `}`
	})
}

// world is a policy set as text, so that it can be changed and compiled again.
type world struct {
	docs [4][]string // statements of identity, boundary, session, resource
	req  Request
	set  PolicySet
}

var worldKinds = [4]Kind{Identity, Boundary, Session, KeyPolicy}

func drawWorld(t *rapid.T) *world {
	w := &world{}
	for i, kind := range worldKinds {
		effect := rapid.SampledFrom([]string{"Allow", "Allow", "Allow", "Deny"})
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			w.docs[i] = append(w.docs[i], genStatement(effect.Draw(t, "effect"), kind).Draw(t, "statement"))
		}
	}
	w.set.Mode = rapid.SampledFrom([]Mode{Standard, KeyPolicyMode, TrustMode}).Draw(t, "mode")
	w.set.HasSession = rapid.Bool().Draw(t, "session")
	w.set.GrantAllows = rapid.Bool().Draw(t, "grant")
	w.set.ResourceAccount = rapid.SampledFrom([]string{own, own, foreign, ""}).Draw(t, "owner")
	c := Map{"t:account": {own}}
	for _, key := range []string{"t:k", "t:m", "t:b"} {
		if v := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "true"}), 0, 2).Draw(t, key); len(v) > 0 {
			c[key] = v
		}
	}
	w.req = Request{Action: "kms:Decrypt", Resource: keyARN, Principal: genCaller.Draw(t, "caller"), Context: c}
	return w
}

func (w *world) decide(t *rapid.T) Decision {
	doc := func(i int) *Document {
		if len(w.docs[i]) == 0 {
			return nil
		}
		d, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[`+strings.Join(w.docs[i], ",")+`]}`), worldKinds[i])
		if err != nil {
			t.Fatalf("%v in %v", err, w.docs[i])
		}
		return d
	}
	set := w.set
	set.Identity, set.Boundary, set.Session, set.Resource = []*Document{doc(0)}, doc(1), []*Document{doc(2)}, doc(3)
	return Evaluate(w.req, set)
}

func TestDenyAlwaysWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		i := rapid.IntRange(0, 3).Draw(t, "where")
		deny := `{"Effect":"Deny","Action":"kms:De*","Resource":"*"}`
		if worldKinds[i].hasPrincipal() {
			deny = `{"Effect":"Deny","Principal":"*","Action":"kms:De*","Resource":"*"}`
		}
		w.docs[i] = append(w.docs[i], deny)
		if d := w.decide(t); d.Allowed || d.Reason != ExplicitDeny {
			t.Fatalf("%+v", d)
		}
	})
}

func TestAddingADenyNeverAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		i := rapid.IntRange(0, 3).Draw(t, "where")
		if i == 1 && len(w.docs[i]) == 0 {
			return // the first statement of a boundary makes the boundary
		}
		if i == 3 && len(w.docs[i]) == 0 && w.set.ResourceAccount == "" {
			return // nor may a resource of nobody get a policy
		}
		before := w.decide(t)
		w.docs[i] = append(w.docs[i], genStatement("Deny", worldKinds[i]).Draw(t, "deny"))
		if after := w.decide(t); after.Allowed && !before.Allowed {
			t.Fatalf("%+v, then %+v", before, after)
		}
	})
}

func TestRemovingAnAllowNeverAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		i := rapid.IntRange(0, 3).Draw(t, "where")
		n := slices.IndexFunc(w.docs[i], func(s string) bool { return strings.Contains(s, `"Allow"`) })
		if n < 0 || len(w.docs[i]) == 1 {
			return // without a statement there would be no document, so no boundary either
		}
		before := w.decide(t)
		w.docs[i] = slices.Delete(slices.Clone(w.docs[i]), n, n+1)
		if after := w.decide(t); after.Allowed && !before.Allowed {
			t.Fatalf("%+v, then %+v", before, after)
		}
	})
}

func TestOrderOfStatementsIsIrrelevant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		before := w.decide(t)
		for i := range w.docs {
			w.docs[i] = rapid.Permutation(w.docs[i]).Draw(t, "order")
		}
		if after := w.decide(t); after != before {
			t.Fatalf("%+v, then %+v", before, after)
		}
	})
}

func TestNothingIsAllowedWithoutAnAllow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.set.GrantAllows = false
		for i := range w.docs {
			w.docs[i] = slices.DeleteFunc(w.docs[i], func(s string) bool { return strings.Contains(s, `"Allow"`) })
		}
		if d := w.decide(t); d.Allowed && w.req.Principal.Kind != Root {
			t.Fatalf("%+v", d)
		}
	})
}

func FuzzParseAndEvaluate(f *testing.F) {
	seeds := []string{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}`,
		`{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Deny","NotAction":["kms:De*"],"NotResource":["arn:aws:s3:::${aws:username, 'x'}/*"],"Condition":{"ForAllValues:StringNotLikeIfExists":{"aws:TagKeys":["a*","${*}"]},"Null":{"t:k":true}}}]}`,
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":["111111111111","` + userARN + `"],"Service":"x.y"},"Action":"sts:AssumeRole"}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotPrincipal":"*","Action":"*","Resource":"arn:aws:kms:*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"DateLessThan":{"aws:CurrentTime":"2026-11-23T00:00:00Z"},"NumericLessThan":{"t:k":1e3},"ArnLike":{"t:k":"arn:aws:*:${t:k}:*:*"},"BinaryEquals":{"t:k":"YQ=="}}}}`,
	}
	for _, s := range seeds {
		for kind := Identity; kind <= Trust; kind++ {
			f.Add([]byte(s), int(kind), "arn:aws:s3:::b/k", "value")
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte, kind int, resource, value string) {
		if len(resource) > 2048 || len(value) > 4096 {
			return
		}
		d, err := Parse(doc, Kind(kind))
		if err != nil {
			if d != nil {
				t.Fatal("a document and an error")
			}
			return
		}
		start := time.Now()
		c := Map{"t:k": {value}, "aws:username": {value}, "aws:tagkeys": {value, "a"}, "aws:sourceip": {value}, "aws:currenttime": {value}}
		for _, who := range []Principal{alice, session, root, nobody} {
			set := PolicySet{Mode: Mode(kind) % 3, Identity: []*Document{d}, Resource: d, ResourceAccount: own}
			decision := Evaluate(Request{Action: "kms:Decrypt", Resource: resource, Principal: who, Context: c}, set)
			if decision.Allowed != (decision.Reason == Allowed) {
				t.Fatalf("%+v", decision)
			}
			_ = decision.Message(who.ARN, "kms:Decrypt", resource)
		}
		if spent := time.Since(start); spent > 5*time.Second {
			t.Fatalf("took %v", spent)
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	d := must(b, Identity, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::bucket/*"},
		{"Effect":"Allow","Action":["kinesisvideo:PutMedia","kinesisvideo:GetDataEndpoint"],"Resource":"arn:aws:kinesisvideo:*:*:stream/cam-*/*"},
		{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringNotEquals":{"kms:ViaService":"kinesisvideo.us-east-1.amazonaws.com"}}},
		{"Effect":"Allow","Action":["kms:Decrypt","kms:GenerateDataKey*"],"Resource":"arn:aws:kms:us-east-1:111111111111:key/*","Condition":{"StringLike":{"kms:EncryptionContext:stream":"arn:aws:*"}}}]}`)
	key := names(b, KeyPolicy, "Allow "+aws(rootARN))
	c := Map{"kms:viaservice": {"kinesisvideo.us-east-1.amazonaws.com"}, "kms:encryptioncontext:stream": {"arn:aws:x"}}
	req := Request{Action: "kms:Decrypt", Resource: keyARN, Principal: session, Context: c}
	set := PolicySet{Mode: KeyPolicyMode, Identity: []*Document{d}, Resource: key, ResourceAccount: own}
	b.ReportAllocs()
	for b.Loop() {
		if !Evaluate(req, set).Allowed {
			b.Fatal("denied")
		}
	}
}

// TestHostileDocumentIsBounded evaluates the worst documents that fit into MaxBytes.
func TestHostileDocumentIsBounded(t *testing.T) {
	fill := func(item string) *Document {
		head, tail := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":[`, `"arn:aws:s3:::z"]}}`
		n := (MaxBytes - len(head) - len(tail)) / (len(item) + 3)
		d, err := Parse([]byte(head+strings.Repeat(`"`+item+`",`, n)+tail), Identity)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, item := range []string{
		"arn:aws:s3:::" + strings.Repeat("a*", 1000) + "b", "arn:aws:s3:::*" + strings.Repeat("a?", 500) + "b*", "arn:aws:s3:::*" + strings.Repeat("?", 900) + "b*",
		"arn:aws:s3:::" + strings.Repeat("${t:k}*", 100) + "b", "arn:aws:s3:::*a",
	} {
		d, start := fill(item), time.Now()
		c := Map{"t:k": {strings.Repeat("a", 2000)}}
		Evaluate(Request{Action: "s3:x", Resource: "arn:aws:s3:::" + strings.Repeat("a", 2000) + "c", Principal: alice, Context: c}, PolicySet{Identity: []*Document{d}})
		if spent := time.Since(start); spent > 3*time.Second {
			t.Errorf("%.40s…: %v", item, spent)
		}
	}
}
