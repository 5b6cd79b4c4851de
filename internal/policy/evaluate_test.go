// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"
)

const (
	own     = "111111111111"
	foreign = "222222222222"

	keyARN    = "arn:aws:kms:us-east-1:" + own + ":key/k"
	userARN   = "arn:aws:iam::" + own + ":user/alice"
	roleARN   = "arn:aws:iam::" + own + ":role/path/R"
	sessARN   = "arn:aws:sts::" + own + ":assumed-role/R/s"
	fedARN    = "arn:aws:sts::" + own + ":federated-user/bob"
	rootARN   = "arn:aws:iam::" + own + ":root"
	oidcARN   = "arn:aws:iam::" + own + ":oidc-provider/id.example.org"
	aliceID   = "AIDA1234567890ABCDEFG"
	roleID    = "AROA1234567890ABCDEFG"
	otherUser = "arn:aws:iam::" + foreign + ":user/alice"
)

var (
	alice   = Principal{Kind: User, ARN: userARN, Account: own, UniqueID: aliceID}
	session = Principal{Kind: AssumedRole, ARN: sessARN, Account: own, RoleARN: roleARN, UniqueID: roleID + ":s"}
	fed     = Principal{Kind: FederatedUser, ARN: fedARN, Account: own, UniqueID: own + ":bob"}
	root    = Principal{Kind: Root, ARN: rootARN, Account: own, UniqueID: own}
	trail   = Principal{Kind: Service, Service: "cloudtrail.amazonaws.com"}
	web     = Principal{Kind: WebIdentity, ARN: oidcARN}
	nobody  = Principal{}
	mallory = Principal{Kind: User, ARN: otherUser, Account: foreign, UniqueID: "AIDA9999999999ABCDEFG"}
)

func must(t testing.TB, kind Kind, doc string) *Document {
	t.Helper()
	d, err := Parse([]byte(doc), kind)
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return d
}

// ident makes an identity policy of one statement about kms:Decrypt.
func ident(t testing.TB, effect string) *Document {
	return must(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"`+effect+`","Action":"kms:Decrypt","Resource":"*"}}`)
}

// names makes a resource policy with a statement for each effect and principal, such as `Allow {"AWS":"…"}`.
func names(t testing.TB, kind Kind, statements ...string) *Document {
	t.Helper()
	var out []string
	for _, s := range statements {
		effect, principal, _ := strings.Cut(s, " ")
		element := "Principal"
		if rest, ok := strings.CutPrefix(principal, "not "); ok {
			element, principal = "NotPrincipal", rest
		}
		res, act := `,"Resource":"*"`, "kms:Decrypt"
		if kind == Trust {
			res, act = "", "sts:AssumeRole"
		}
		out = append(out, `{"Effect":"`+effect+`","`+element+`":`+principal+`,"Action":"`+act+`"`+res+`}`)
	}
	return must(t, kind, `{"Version":"2012-10-17","Statement":[`+strings.Join(out, ",")+`]}`)
}

func aws(arns ...string) string { return `{"AWS":["` + strings.Join(arns, `","`) + `"]}` }

// outcome is a decision in a word: "allow", "deny KIND" or "no KIND".
func outcome(d Decision) string {
	kind := []string{"identity", "boundary", "session", "resource", "key", "trust"}[d.Policy]
	switch {
	case d.Allowed:
		return "allow"
	case d.Reason == ExplicitDeny:
		return "deny " + kind
	}
	return "no " + kind
}

func TestEvaluate(t *testing.T) {
	allow, deny, silent := ident(t, "Allow"), ident(t, "Deny"), must(t, Identity, `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
	ids := func(d ...*Document) []*Document { return d }
	res := func(s ...string) *Document { return names(t, Resource, s...) }
	key := func(s ...string) *Document { return names(t, KeyPolicy, s...) }
	enabled := key("Allow " + aws(rootARN))
	const roleOther = "arn:aws:iam::" + own + ":role/Other"

	for _, tt := range []struct {
		name string
		who  Principal
		set  PolicySet
		want string
	}{
		{"nothing", alice, PolicySet{}, "no identity"},
		{"identity allows", alice, PolicySet{Identity: ids(silent, allow)}, "allow"},
		{"identity of another action", alice, PolicySet{Identity: ids(silent)}, "no identity"},
		{"identity denies", alice, PolicySet{Identity: ids(allow, deny)}, "deny identity"},
		{"nil documents are no documents", alice, PolicySet{Identity: ids(nil, allow)}, "allow"},

		{"boundary limits", alice, PolicySet{Identity: ids(allow), Boundary: silent}, "no boundary"},
		{"boundary alone gives nothing", alice, PolicySet{Boundary: allow}, "no identity"},
		{"boundary allows", alice, PolicySet{Identity: ids(allow), Boundary: allow}, "allow"},
		{"boundary denies", alice, PolicySet{Identity: ids(allow), Boundary: deny}, "deny boundary"},

		{"session policy limits", session, PolicySet{Identity: ids(allow), HasSession: true, Session: ids(silent)}, "no session"},
		{"session policy allows", session, PolicySet{Identity: ids(allow), HasSession: true, Session: ids(silent, allow)}, "allow"},
		{"session policy alone gives nothing", session, PolicySet{HasSession: true, Session: ids(allow)}, "no identity"},
		{"an empty session policy limits", session, PolicySet{Identity: ids(allow), HasSession: true}, "no session"},
		{"session policy denies", session, PolicySet{Identity: ids(allow), HasSession: true, Session: ids(allow, deny)}, "deny session"},

		{"user named", alice, PolicySet{Resource: res("Allow " + aws(userARN)), ResourceAccount: own}, "allow"},
		{"user named, boundary ignored", alice, PolicySet{Boundary: silent, Resource: res("Allow " + aws(userARN)), ResourceAccount: own}, "allow"},
		{"user named, boundary denies", alice, PolicySet{Boundary: deny, Resource: res("Allow " + aws(userARN)), ResourceAccount: own}, "deny boundary"},
		{"user named by id", alice, PolicySet{Resource: res("Allow " + aws(aliceID)), ResourceAccount: own}, "allow"},
		{"user made again under the same name", Principal{Kind: User, ARN: userARN, Account: own, UniqueID: "AIDA0000000000ABCDEFG"}, PolicySet{Resource: res("Allow " + aws(aliceID)), ResourceAccount: own}, "no identity"},
		{"other user named", alice, PolicySet{Resource: res("Allow " + aws(otherUser)), ResourceAccount: own}, "no identity"},
		{"user of the same name elsewhere", mallory, PolicySet{Identity: ids(allow), Resource: res("Allow " + aws(userARN)), ResourceAccount: own}, "no resource"},
		{"owner unknown, so not the caller's", alice, PolicySet{Resource: res("Allow " + aws(userARN))}, "no identity"},

		{"role named", session, PolicySet{Resource: res("Allow " + aws(roleARN)), ResourceAccount: own}, "allow"},
		{"role named by id", session, PolicySet{Resource: res("Allow " + aws(roleID)), ResourceAccount: own}, "allow"},
		{"role named, boundary limits", session, PolicySet{Boundary: silent, Resource: res("Allow " + aws(roleARN)), ResourceAccount: own}, "no boundary"},
		{"role named, session limits", session, PolicySet{HasSession: true, Session: ids(silent), Resource: res("Allow " + aws(roleARN)), ResourceAccount: own}, "no session"},
		{"other role named", session, PolicySet{Resource: res("Allow " + aws(roleOther)), ResourceAccount: own}, "no identity"},
		{"session named", session, PolicySet{Resource: res("Allow " + aws(sessARN)), ResourceAccount: own}, "allow"},
		{"session named, boundary and session ignored", session, PolicySet{Boundary: silent, HasSession: true, Resource: res("Allow " + aws(sessARN)), ResourceAccount: own}, "allow"},
		{"session named, session denies", session, PolicySet{HasSession: true, Session: ids(deny), Resource: res("Allow " + aws(sessARN)), ResourceAccount: own}, "deny session"},
		{"other session of the role", Principal{Kind: AssumedRole, ARN: sessARN + "2", Account: own, RoleARN: roleARN}, PolicySet{Resource: res("Allow " + aws(sessARN)), ResourceAccount: own}, "no identity"},
		{"federated user named", fed, PolicySet{HasSession: true, Resource: res("Allow " + aws(fedARN)), ResourceAccount: own}, "allow"},
		{"federated user without session policy", fed, PolicySet{HasSession: true, Identity: ids(allow)}, "no session"},
		{"federated user, and nobody said that it has a session", fed, PolicySet{Identity: ids(allow)}, "no session"},
		{"root, session limits", root, PolicySet{HasSession: true}, "no session"},
		{"root, named, session limits", root, PolicySet{HasSession: true, Resource: res("Allow " + aws(own)), ResourceAccount: own}, "no session"},
		{"a grant is for keys alone", alice, PolicySet{GrantAllows: true}, "no identity"},
		{"a grant is not for roles", alice, PolicySet{Mode: TrustMode, ResourceAccount: own, GrantAllows: true}, "no trust"},
		{"federated user is not the user", fed, PolicySet{HasSession: true, Resource: res("Allow " + aws(userARN)), ResourceAccount: own}, "no identity"},

		{"account only delegates", alice, PolicySet{Resource: res("Allow " + aws(rootARN)), ResourceAccount: own}, "no identity"},
		{"account delegates to identity", alice, PolicySet{Identity: ids(allow), Resource: res("Allow " + aws(own)), ResourceAccount: own}, "allow"},
		{"account, boundary limits", alice, PolicySet{Identity: ids(allow), Boundary: silent, Resource: res("Allow " + aws(own)), ResourceAccount: own}, "no boundary"},
		{"everyone", alice, PolicySet{Resource: res(`Allow "*"`), ResourceAccount: own}, "allow"},
		{"everyone as AWS", alice, PolicySet{Resource: res("Allow " + aws("*")), ResourceAccount: own}, "allow"},
		{"everyone, boundary limits", alice, PolicySet{Boundary: silent, Resource: res(`Allow "*"`), ResourceAccount: own}, "no boundary"},
		{"everyone, anonymous", nobody, PolicySet{Resource: res(`Allow "*"`), ResourceAccount: own}, "allow"},
		{"anonymous", nobody, PolicySet{Resource: res("Allow " + aws(own)), ResourceAccount: own}, "no resource"},
		{"anonymous has no identity policies", nobody, PolicySet{Identity: ids(allow)}, "no resource"},
		{"resource policy in the identity's place", alice, PolicySet{Identity: ids(res(`Allow "*"`))}, "no identity"},
		{"identity policy in the resource's place", alice, PolicySet{Resource: allow, ResourceAccount: own}, "no identity"},

		{"service named", trail, PolicySet{Resource: res(`Allow {"Service":"cloudtrail.amazonaws.com"}`), ResourceAccount: own}, "allow"},
		{"service not named", trail, PolicySet{Identity: ids(allow), Resource: res(`Allow {"Service":"s3.amazonaws.com"}`), ResourceAccount: own}, "no resource"},
		{"service with everyone denied", trail, PolicySet{Resource: res(`Allow {"Service":"cloudtrail.amazonaws.com"}`, `Deny "*"`), ResourceAccount: own}, "deny resource"},

		{"canonical user stands for the account", Principal{Kind: User, ARN: userARN, Account: own, CanonicalUser: "c0ffee"}, PolicySet{Identity: ids(allow), Resource: res(`Deny {"CanonicalUser":"c0ffee"}`), ResourceAccount: own}, "deny resource"},
		{"another canonical user", alice, PolicySet{Identity: ids(allow), Resource: res(`Deny {"CanonicalUser":"c0ffee"}`), ResourceAccount: own}, "allow"},
		{"id of a role does not name a user", alice, PolicySet{Resource: res("Allow " + aws(roleID)), ResourceAccount: own}, "no identity"},
		{"id does not name a federated user", Principal{Kind: FederatedUser, ARN: fedARN, Account: own, UniqueID: aliceID}, PolicySet{Resource: res("Allow " + aws(aliceID)), ResourceAccount: own}, "no identity"},
		{"resource denies user", alice, PolicySet{Identity: ids(allow), Resource: res("Deny " + aws(userARN)), ResourceAccount: own}, "deny resource"},
		{"resource denies account", alice, PolicySet{Identity: ids(allow), Resource: res("Deny " + aws(own)), ResourceAccount: own}, "deny resource"},
		{"resource denies role", session, PolicySet{Identity: ids(allow), Resource: res("Deny " + aws(roleARN)), ResourceAccount: own}, "deny resource"},
		{"resource denies another", alice, PolicySet{Identity: ids(allow), Resource: res("Deny " + aws(roleARN)), ResourceAccount: own}, "allow"},
		{"deny not principal, user and account listed", alice, PolicySet{Identity: ids(allow), Resource: res("Deny not " + aws(userARN, rootARN)), ResourceAccount: own}, "allow"},
		{"deny not principal, user alone listed", alice, PolicySet{Identity: ids(allow), Resource: res("Deny not " + aws(userARN)), ResourceAccount: own}, "deny resource"},
		{"deny not principal, session listed wholly", session, PolicySet{Identity: ids(allow), Resource: res("Deny not " + aws(sessARN, roleARN, own)), ResourceAccount: own}, "allow"},
		{"deny not principal, role and account listed", session, PolicySet{Identity: ids(allow), Resource: res("Deny not " + aws(roleARN, own)), ResourceAccount: own}, "deny resource"},
		{"deny not principal, session and account listed", session, PolicySet{Identity: ids(allow), Resource: res("Deny not " + aws(sessARN, own)), ResourceAccount: own}, "deny resource"},
		{"deny not principal, session and role listed", session, PolicySet{Identity: ids(allow), Resource: res("Deny not " + aws(sessARN, roleARN)), ResourceAccount: own}, "deny resource"},
		{"deny not principal, federated listed without account", fed, PolicySet{Identity: ids(allow), HasSession: true, Session: ids(allow), Resource: res("Deny not " + aws(fedARN)), ResourceAccount: own}, "deny resource"},
		{"canonical user without account", Principal{Kind: User, ARN: userARN, CanonicalUser: "c0ffee"}, PolicySet{Identity: ids(allow), Resource: res(`Allow {"CanonicalUser":"c0ffee"}`), ResourceAccount: own}, "no resource"},
		{"deny not principal, federated listed wholly", fed, PolicySet{Identity: ids(allow), HasSession: true, Session: ids(allow), Resource: res("Deny not " + aws(fedARN, own)), ResourceAccount: own}, "allow"},
		{"deny not principal, root", root, PolicySet{Resource: res("Deny not " + aws(own)), ResourceAccount: own}, "allow"},
		{"deny not principal, anonymous", nobody, PolicySet{Resource: res("Deny not "+aws(own), `Allow "*"`), ResourceAccount: own}, "deny resource"},
		{"deny not everyone denies nobody", alice, PolicySet{Identity: ids(allow), Resource: res(`Deny not "*"`), ResourceAccount: own}, "allow"},
		{"allow not principal", alice, PolicySet{Resource: res("Allow not " + aws(otherUser)), ResourceAccount: own}, "allow"},
		{"allow not principal, listed", alice, PolicySet{Resource: res("Allow not " + aws(userARN)), ResourceAccount: own}, "no identity"},
		{"allow not principal, account listed", alice, PolicySet{Resource: res("Allow not " + aws(own)), ResourceAccount: own}, "no identity"},

		{"root", root, PolicySet{}, "allow"},
		{"root denied by resource", root, PolicySet{Resource: res("Deny " + aws(rootARN)), ResourceAccount: own}, "deny resource"},
		{"root of another account", root, PolicySet{ResourceAccount: foreign}, "no resource"},
		{"root of another account, named", root, PolicySet{Resource: res("Allow " + aws(own)), ResourceAccount: foreign}, "allow"},

		{"cross account, identity alone", alice, PolicySet{Identity: ids(allow), ResourceAccount: foreign}, "no resource"},
		{"cross account, resource alone", alice, PolicySet{Resource: res("Allow " + aws(userARN)), ResourceAccount: foreign}, "no identity"},
		{"cross account, both", alice, PolicySet{Identity: ids(allow), Resource: res("Allow " + aws(userARN)), ResourceAccount: foreign}, "allow"},
		{"cross account, account named", alice, PolicySet{Identity: ids(allow), Resource: res("Allow " + aws(own)), ResourceAccount: foreign}, "allow"},
		{"cross account, session named, session limits", session, PolicySet{Identity: ids(allow), HasSession: true, Resource: res("Allow " + aws(sessARN)), ResourceAccount: foreign}, "no session"},
		{"cross account, boundary limits", alice, PolicySet{Identity: ids(allow), Boundary: silent, Resource: res("Allow " + aws(userARN)), ResourceAccount: foreign}, "no boundary"},
		{"cross account, everyone, no identity", alice, PolicySet{Resource: res(`Allow "*"`), ResourceAccount: foreign}, "no identity"},

		{"key: identity alone gives nothing", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(allow), ResourceAccount: own}, "no key"},
		{"key: identity with a policy for others", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(allow), Resource: key("Allow " + aws(roleARN)), ResourceAccount: own}, "no key"},
		{"key: delegated, identity allows", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(allow), Resource: enabled, ResourceAccount: own}, "allow"},
		{"key: delegated, no identity", alice, PolicySet{Mode: KeyPolicyMode, Resource: enabled, ResourceAccount: own}, "no identity"},
		{"key: delegated, boundary limits", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(allow), Boundary: silent, Resource: enabled, ResourceAccount: own}, "no boundary"},
		{"key: named suffices", alice, PolicySet{Mode: KeyPolicyMode, Resource: key("Allow " + aws(userARN)), ResourceAccount: own}, "allow"},
		{"key: identity denies", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(deny), Resource: key("Allow " + aws(userARN)), ResourceAccount: own}, "deny identity"},
		{"key: key policy denies", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(allow), Resource: key("Allow "+aws(rootARN), "Deny "+aws(userARN)), ResourceAccount: own}, "deny key"},
		{"key: root named", root, PolicySet{Mode: KeyPolicyMode, Resource: enabled, ResourceAccount: own}, "allow"},
		{"key: root omitted", root, PolicySet{Mode: KeyPolicyMode, Resource: key("Allow " + aws(userARN)), ResourceAccount: own}, "no key"},
		{"key: grant", alice, PolicySet{Mode: KeyPolicyMode, Resource: key("Allow " + aws(roleARN)), ResourceAccount: own, GrantAllows: true}, "allow"},
		{"key: grant, key policy denies", alice, PolicySet{Mode: KeyPolicyMode, Resource: key("Deny " + aws(userARN)), ResourceAccount: own, GrantAllows: true}, "deny key"},
		{"key: grant, identity denies", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(deny), ResourceAccount: own, GrantAllows: true}, "deny identity"},
		{"key: grant, nobody's key", alice, PolicySet{Mode: KeyPolicyMode, GrantAllows: true}, "no identity"},
		{"key: grant to root, session limits", root, PolicySet{Mode: KeyPolicyMode, HasSession: true, ResourceAccount: own, GrantAllows: true}, "no session"},
		{"key: grant to a role, session limits", session, PolicySet{Mode: KeyPolicyMode, HasSession: true, ResourceAccount: own, GrantAllows: true}, "no session"},
		{"key: grant across accounts needs identity", alice, PolicySet{Mode: KeyPolicyMode, ResourceAccount: foreign, GrantAllows: true}, "no identity"},
		{"key: grant across accounts", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(allow), ResourceAccount: foreign, GrantAllows: true}, "allow"},
		{"key: cross account both", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(allow), Resource: key("Allow " + aws(own)), ResourceAccount: foreign}, "allow"},
		{"key: cross account, owner's account named", alice, PolicySet{Mode: KeyPolicyMode, Identity: ids(allow), Resource: key("Allow " + aws(foreign)), ResourceAccount: foreign}, "no key"},
		{"key: anonymous never", nobody, PolicySet{Mode: KeyPolicyMode, Resource: key(`Allow "*"`), ResourceAccount: own}, "no key"},
		{"key: service", trail, PolicySet{Mode: KeyPolicyMode, Resource: key(`Allow {"Service":"cloudtrail.amazonaws.com"}`), ResourceAccount: own}, "allow"},
		{"key: owner unknown", alice, PolicySet{Mode: KeyPolicyMode, Resource: key("Allow " + aws(userARN))}, "no identity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Evaluate(Request{Action: "kms:Decrypt", Resource: keyARN, Principal: tt.who}, tt.set)
			if outcome(got) != tt.want {
				t.Errorf("got %s, want %s", outcome(got), tt.want)
			}
		})
	}
}

func TestEvaluateTrust(t *testing.T) {
	assume := must(t, Identity, `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`+roleARN+`"}}`)
	trust := func(s ...string) *Document { return names(t, Trust, s...) }
	for _, tt := range []struct {
		name string
		who  Principal
		set  PolicySet
		want string
	}{
		{"no trust policy", alice, PolicySet{Identity: []*Document{assume}}, "no trust"},
		{"named directly", alice, PolicySet{Resource: trust("Allow " + aws(userARN))}, "allow"},
		{"account trusted, no identity", alice, PolicySet{Resource: trust("Allow " + aws(own))}, "no identity"},
		{"account trusted, identity", alice, PolicySet{Identity: []*Document{assume}, Resource: trust("Allow " + aws(own))}, "allow"},
		{"another trusted", alice, PolicySet{Identity: []*Document{assume}, Resource: trust("Allow " + aws(roleARN))}, "no trust"},
		{"root", root, PolicySet{Resource: trust("Allow " + aws(own))}, "no trust"},
		{"cross account named, no identity", mallory, PolicySet{Resource: trust("Allow " + aws(otherUser))}, "no identity"},
		{"cross account both", mallory, PolicySet{Identity: []*Document{assume}, Resource: trust("Allow " + aws(foreign))}, "allow"},
		{"service", trail, PolicySet{Resource: trust(`Allow {"Service":"cloudtrail.amazonaws.com"}`)}, "allow"},
		{"provider", web, PolicySet{Resource: trust(`Allow {"Federated":"` + oidcARN + `"}`)}, "allow"},
		{"provider not meant by everyone", web, PolicySet{Resource: trust(`Allow "*"`)}, "no trust"},
		{"provider denied with everyone", web, PolicySet{Resource: trust(`Allow {"Federated":"`+oidcARN+`"}`, `Deny "*"`)}, "deny trust"},
		{"other provider", web, PolicySet{Resource: trust(`Allow {"Federated":"accounts.google.com"}`)}, "no trust"},
		{"denied", alice, PolicySet{Resource: trust("Allow "+aws(userARN), "Deny "+aws(own))}, "deny trust"},
		{"anonymous", nobody, PolicySet{Resource: trust(`Allow "*"`)}, "no trust"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.set.Mode, tt.set.ResourceAccount = TrustMode, own
			got := Evaluate(Request{Action: "sts:AssumeRole", Resource: roleARN, Principal: tt.who}, tt.set)
			if outcome(got) != tt.want {
				t.Errorf("got %s, want %s", outcome(got), tt.want)
			}
		})
	}
}

func TestMessageIsAWSText(t *testing.T) {
	const user = "User: " + userARN + " is not authorized to perform: kms:Decrypt"
	for _, tt := range []struct {
		d    Decision
		res  string
		want string
	}{
		{missing(Identity), keyARN, user + " on resource: " + keyARN + " because no identity-based policy allows the kms:Decrypt action"},
		{missing(Resource), "", user + " because no resource-based policy allows the kms:Decrypt action"},
		{missing(KeyPolicy), "", user + " because no resource-based policy allows the kms:Decrypt action"},
		{missing(Boundary), "", user + " because no permissions boundary allows the kms:Decrypt action"},
		{missing(Session), "", user + " because no session policy allows the kms:Decrypt action"},
		{missing(Trust), "", user},
		{Decision{Reason: ExplicitDeny, Policy: Identity}, keyARN, user + " on resource: " + keyARN + " with an explicit deny in an identity-based policy"},
		{Decision{Reason: ExplicitDeny, Policy: Resource}, "", user + " with an explicit deny in a resource-based policy"},
		{Decision{Reason: ExplicitDeny, Policy: Boundary}, "", user + " with an explicit deny in a permissions boundary"},
		{Decision{Reason: ExplicitDeny, Policy: Session}, "", user + " with an explicit deny in a session policy"},
		{Decision{Reason: ExplicitDeny, Policy: Trust}, "", user + " with an explicit deny in the role trust policy"},
		{Decision{Policy: KeyPolicy, remote: true}, "", user + " because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"},
		{allowed, keyARN, ""},
	} {
		if got := tt.d.Message(userARN, "kms:Decrypt", tt.res); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// Whoever may not use a key of another account does not learn whether there is one; of the own account's they do.
func TestKeyOfAnotherAccountIsNotRevealed(t *testing.T) {
	allow := must(t, Identity, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	denies := names(t, KeyPolicy, "Deny "+aws(userARN))
	for _, tt := range []struct {
		owner  string
		policy *Document
		hidden bool
	}{
		{foreign, nil, true},
		{foreign, denies, true},
		{own, nil, false},
		{own, denies, false},
	} {
		set := PolicySet{Mode: KeyPolicyMode, Identity: []*Document{allow}, Resource: tt.policy, ResourceAccount: tt.owner}
		d := Evaluate(Request{Action: "kms:Decrypt", Resource: keyARN, Principal: alice}, set)
		message := d.Message(userARN, "kms:Decrypt", keyARN)
		if d.Allowed || strings.Contains(message, "does not exist") != tt.hidden {
			t.Errorf("owner %s: %s", tt.owner, message)
		}
	}
}
