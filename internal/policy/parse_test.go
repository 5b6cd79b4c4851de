// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	const stmt = `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`
	one := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	for _, tt := range []struct {
		name string
		kind Kind
		doc  string
		want string
	}{
		{"empty", Identity, ``, msgSyntax},
		{"no JSON, identity", Identity, `{`, msgSyntax},
		{"no JSON, trust", Trust, `{`, msgJSON},
		{"two values", Identity, one(stmt) + `{}`, msgSyntax},
		{"array", Identity, `[]`, msgSyntax},
		{"null", Identity, `null`, msgSyntax},
		{"not UTF-8", Identity, one(strings.Replace(stmt, "*", "\xff", 1)), msgSyntax},
		{"resource is not UTF-8", Identity, one("{\"Effect\":\"Allow\",\"Action\":\"kms:*\",\"Resource\":\"arn:aws:s3:::\xff\"}"), msgSyntax},
		{"too long", Identity, one(stmt) + strings.Repeat(" ", MaxBytes), msgSyntax},
		{"too deep", Identity, strings.Repeat("[", 100000), msgSyntax},
		{"no statement", Identity, `{"Version":"2012-10-17"}`, msgSyntax},
		{"no statements", Identity, one(``), msgSyntax},
		{"other version", Identity, `{"Version":"2020-01-01","Statement":` + stmt + `}`, msgSyntax},
		{"unknown member", Identity, `{"version":"2012-10-17","Statement":` + stmt + `}`, msgSyntax},
		{"member twice", Identity, one(`{"Effect":"Deny","Effect":"Allow","Action":"kms:*","Resource":"*"}`), msgSyntax},
		{"unknown element", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Conditions":{}}`), msgSyntax},
		{"no effect", Identity, one(`{"Action":"kms:*","Resource":"*"}`), msgSyntax},
		{"effect in lower case", Identity, one(`{"Effect":"allow","Action":"kms:*","Resource":"*"}`), msgSyntax},
		{"no action", Identity, one(`{"Effect":"Allow","Resource":"*"}`), msgNoActions},
		{"empty actions", Identity, one(`{"Effect":"Allow","Action":[],"Resource":"*"}`), msgNoActions},
		{"action and not action", Identity, one(`{"Effect":"Allow","Action":"kms:*","NotAction":"s3:*","Resource":"*"}`), msgSyntax},
		{"action without vendor", Identity, one(`{"Effect":"Allow","Action":"Decrypt","Resource":"*"}`), msgNoVendor},
		{"action with two colons", Identity, one(`{"Effect":"Allow","Action":"kms:a:b","Resource":"*"}`), msgColons},
		{"wildcard vendor", Identity, one(`{"Effect":"Allow","Action":"k*:Decrypt","Resource":"*"}`), "Vendor k* is not valid"},
		{"action with a letter that folds to ASCII", Identity, one(`{"Effect":"Allow","Action":"ms:\u212aey","Resource":"*"}`), msgSyntax},
		{"action is a number", Identity, one(`{"Effect":"Allow","Action":1,"Resource":"*"}`), msgSyntax},
		{"no resource", Identity, one(`{"Effect":"Allow","Action":"kms:*"}`), msgNoResources},
		{"resource is no ARN", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"x"}`), `Resource x must be in ARN format or "*".`},
		{"resource is half an ARN", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:r"}`), `Resource arn:aws:kms:r must be in ARN format or "*".`},
		{"wildcard service", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:k*:r:1:x"}`), msgResourceVendor},
		{"resource and not resource", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","NotResource":"*"}`), msgSyntax},
		{"open variable", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:s3:::${aws:x"}`), msgSyntax},
		{"empty variable", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:s3:::${}"}`), msgSyntax},
		{"variable with a bad default", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:s3:::${a:b, c}"}`), msgSyntax},
		{"principal in an identity policy", Identity, one(`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}`), msgHasPrincipal},
		{"principal in a boundary", Boundary, one(`{"Effect":"Allow","NotPrincipal":"*","Action":"kms:*","Resource":"*"}`), msgHasPrincipal},
		{"principal in a session policy", Session, one(`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}`), msgHasPrincipal},
		{"same Sid", Identity, one(`{"Sid":"a","Effect":"Allow","Action":"kms:*","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"kms:*","Resource":"*"}`), msgSIDUnique},
		{"Sid with a blank", Identity, one(`{"Sid":"a b","Effect":"Allow","Action":"kms:*","Resource":"*"}`), msgSIDCharacters},

		{"key policy without principal", KeyPolicy, one(stmt), msgNoPrincipal},
		{"principal and not principal", KeyPolicy, one(`{"Effect":"Allow","Principal":"*","NotPrincipal":{"AWS":"111111111111"},"Action":"kms:*","Resource":"*"}`), msgSyntax},
		{"not principal and principal", Resource, one(`{"Effect":"Deny","NotPrincipal":{"AWS":"111111111111"},"Principal":"*","Action":"kms:*","Resource":"*"}`), msgSyntax},
		{"same Sid in a trust policy", Trust, one(`{"Sid":"a","Effect":"Allow","Principal":"*","Action":"sts:*"},{"Sid":"a","Effect":"Allow","Principal":"*","Action":"sts:*"}`), msgSIDUnique},
		{"key policy without resource", KeyPolicy, one(`{"Effect":"Allow","Principal":"*","Action":"kms:*"}`), msgNoResources},
		{"trust without principal", Trust, one(`{"Effect":"Allow","Action":"sts:AssumeRole"}`), msgNoPrincipal},
		{"trust with resource", Trust, one(`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}`), msgHasResource},
		{"trust with not resource", Trust, one(`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","NotResource":"*"}`), msgHasResource},
		{"trust of another action", Trust, one(`{"Effect":"Allow","Principal":"*","Action":"s3:Get"}`), msgTrustActions},
		{"trust of all actions", Trust, one(`{"Effect":"Allow","Principal":"*","Action":"*"}`), msgTrustActions},

		{"operator", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringIs":{"a:b":"c"}}}`), msgSyntax},
		{"null if exists", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"NullIfExists":{"a:b":"true"}}}`), msgSyntax},
		{"null of sets", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ForAllValues:Null":{"a:b":"true"}}}`), msgSyntax},
		{"two quantifiers", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ForAnyValue:ForAllValues:StringEquals":{"a:b":"true"}}}`), msgSyntax},
		{"condition key without vendor", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"Bool":{"b":"true"}}}`), msgNoVendor},
		{"condition value of an object", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"Bool":{"a:b":{}}}}`), msgSyntax},
		{"condition value of a list of objects", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"a:b":["x",{}]}}}`), msgSyntax},
		{"condition value null", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"Bool":{"a:b":null}}}`), msgSyntax},
		{"no number", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"NumericEquals":{"a:b":"c"}}}`), msgSyntax},
		{"no date", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"DateEquals":{"a:b":"c"}}}`), msgSyntax},
		{"no boolean", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"Bool":{"a:b":"c"}}}`), msgSyntax},
		{"no address", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"IpAddress":{"a:b":"10.0.0.0/33"}}}`), msgSyntax},
		{"no base64", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"BinaryEquals":{"a:b":"!"}}}`), msgSyntax},
		{"no ARN", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ArnEquals":{"a:b":"arn:aws:x"}}}`), msgSyntax},
		{"no ARN, with a variable", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ArnEquals":{"a:b":"arn:aws:${a:b}"}}}`), msgSyntax},
		{"ARN with a bad variable", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ArnEquals":{"a:b":"arn:aws:s3:::${}"}}}`), msgSyntax},
		{"address with a zone", Identity, one(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"IpAddress":{"a:b":"fe80::1%eth0"}}}`), msgSyntax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.doc), tt.kind)
			m, ok := err.(*MalformedError)
			if !ok || m.Message != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestParseRefusesInvalidPrincipals(t *testing.T) {
	for _, p := range []string{
		`"AWS":"arn:aws:iam::111111111111:user/*"`, `"AWS":"arn:aws:iam::*:root"`, `"AWS":"1111"`, `"AWS":"arn:aws:iam::111111111111:group/g"`,
		`"AWS":"arn:aws:iam::111111111111:user/"`, `"AWS":"arn:aws:sts::111111111111:assumed-role/R"`, `"AWS":"arn:aws:s3:::b"`, `"AWS":"alice"`, `"AWS":""`,
		`"AWS":"arn:aws:sts::111111111111:root"`, `"AWS":"arn:aws:iam:us-east-1:111111111111:root"`, `"AWS":"arn:aws:iam::1111:root"`,
		`"AWS":"arn:aws:sts::111111111111:user/u"`, `"AWS":"arn:aws:sts::111111111111:role/r"`, `"AWS":"arn:aws:iam::111111111111:role/"`,
		`"AWS":"arn:aws:iam::111111111111:assumed-role/r/s"`, `"AWS":"arn:aws:sts::111111111111:group/r/s"`, `"AWS":"abcdefghijkl"`,
		`"AWS":"arn:aws:iam::111111111111:federated-user/f"`, `"AWS":"arn:aws:sts::111111111111:federated-user/"`,
		`"AWS":"arn:aws:iam::111111111111:user/a?c"`, `"AWS":"AIDAshort"`, `"Service":"*"`, `"Service":""`, `"Federated":"a*"`, `"Someone":"x"`,
	} {
		_, err := Parse([]byte(`{"Statement":{"Effect":"Allow","Principal":{`+p+`},"Action":"kms:*","Resource":"*"}}`), KeyPolicy)
		if want := "Invalid principal in policy: " + p; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, p := range []string{`"x"`, `{}`, `[]`, `{"AWS":[]}`, `{"AWS":1}`, `{"AWS":1,"Service":"x.y"}`, `1`} {
		if _, err := Parse([]byte(`{"Statement":{"Effect":"Allow","Principal":`+p+`,"Action":"kms:*","Resource":"*"}}`), KeyPolicy); err == nil {
			t.Errorf("principal %s accepted", p)
		}
	}
}

func TestParseKeepsWhatItRead(t *testing.T) {
	d := must(t, KeyPolicy, `{"Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":["111111111111","*"],"Service":"x.amazonaws.com"},"Action":"kms:*","Resource":"*"}]}`)
	if d.ID() != "key-default-1" || d.Version() != Version2008 || d.Kind() != KeyPolicy || len(d.Principals()) != 3 {
		t.Errorf("%q %q %v %v", d.ID(), d.Version(), d.Kind(), d.Principals())
	}
	if p := d.Principals()[2]; p != (PrincipalRef{"Service", "x.amazonaws.com"}) {
		t.Errorf("%v", p)
	}
}

func TestActionsAndResources(t *testing.T) {
	for _, tt := range []struct {
		stmt, action, resource string
		want                   bool
	}{
		{`"Action":"kms:Decrypt","Resource":"*"`, "KMS:decrypt", "*", true},
		{`"Action":"kms:De*","Resource":"*"`, "kms:DescribeKey", "*", true},
		{`"Action":"kms:?ncrypt","Resource":"*"`, "kms:Encrypt", "*", true},
		{`"Action":"kms:?ncrypt","Resource":"*"`, "kms:ReEncrypt", "*", false},
		{`"Action":["s3:*","kms:*"],"Resource":"*"`, "kms:Sign", "*", true},
		{`"Action":"kms:*","Resource":"*"`, "kmsx:Sign", "*", false},
		{`"Action":"*","Resource":"*"`, "any:Thing", keyARN, true},
		{`"NotAction":"iam:*","Resource":"*"`, "kms:Sign", "*", true},
		{`"NotAction":["iam:*","kms:S*"],"Resource":"*"`, "kms:Sign", "*", false},
		{`"Action":"*","Resource":"arn:aws:kms:*:111111111111:key/*"`, "kms:x", keyARN, true},
		{`"Action":"*","Resource":"arn:aws:kms:*:111111111111:KEY/*"`, "kms:x", keyARN, false},
		{`"Action":"*","Resource":"arn:aws:kms:*"`, "kms:x", keyARN, true},
		{`"Action":"*","Resource":"arn:aws:kms:*"`, "kms:x", "*", false},
		{`"Action":"*","Resource":"arn:aws:s3:::b/*"`, "s3:x", "arn:aws:s3:::b/a/b:c", true},
		{`"Action":"*","Resource":"arn:aws:s3:::b/*"`, "s3:x", "arn:aws:s3:::b", false},
		{`"Action":"*","NotResource":"arn:aws:s3:::b/*"`, "s3:x", "arn:aws:s3:::c", true},
		{`"Action":"*","NotResource":["arn:aws:s3:::c","arn:aws:s3:::b/*"]`, "s3:x", "arn:aws:s3:::b/k", false},
		{`"Action":"*","NotResource":"*"`, "s3:x", "arn:aws:s3:::b/k", false},
		{`"Action":"*","NotResource":"arn:aws:s3:::${t:absent}"`, "s3:x", "arn:aws:s3:::b", false},
	} {
		d := must(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow",`+tt.stmt+`}}`)
		got := Evaluate(Request{Action: tt.action, Resource: tt.resource, Principal: alice}, PolicySet{Identity: []*Document{d}})
		if got.Allowed != tt.want {
			t.Errorf("%s for %s on %s: %v", tt.stmt, tt.action, tt.resource, got.Allowed)
		}
	}
}
