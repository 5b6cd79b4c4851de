// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"

	"github.com/obscura-video/obscura/internal/arn"
)

// PrincipalKind says what kind of caller makes a request.
type PrincipalKind int

// The kinds of caller. A GetSessionToken session is its user.
const (
	Anonymous     PrincipalKind = iota // nobody signed
	Root                               // the account's root user
	User                               // an IAM user
	AssumedRole                        // a role session
	FederatedUser                      // a GetFederationToken session
	Service                            // a service acting for itself, such as cloudtrail.amazonaws.com
	WebIdentity                        // the bearer of an identity provider's token, before it has a role
)

// hasIdentity says that the caller belongs to an account and that IAM policies speak for it.
func (k PrincipalKind) hasIdentity() bool { return k >= Root && k <= FederatedUser }

// A Principal is an authenticated caller, with what policies may call it by.
type Principal struct {
	Kind PrincipalKind
	// ARN is the caller's own: the user's, arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION, federated-user/NAME,
	// or arn:aws:iam::ACCOUNT:root. For WebIdentity it is the provider's ARN or, for the built-in ones, its host.
	ARN     string
	Account string // 12 digits; empty for Anonymous, Service and WebIdentity
	RoleARN string // AssumedRole: the ARN of the role, with its path
	// UniqueID is the AIDA… of a user or the AROA… of a role; what follows a colon is ignored.
	UniqueID string
	Service  string // Service: its name, such as kinesisvideo.amazonaws.com
	// CanonicalUser is the S3 canonical user id of the account, if the request has to do with it.
	CanonicalUser string
}

// A PrincipalRef is a principal as a document names it.
type PrincipalRef struct {
	Type  string // AWS, Service, Federated or CanonicalUser
	Value string
}

// principal is a compiled PrincipalRef.
type principal struct {
	PrincipalRef
	form    principalForm
	account string // accountForm
}

type principalForm int

const (
	anyForm       principalForm = iota // "*"
	accountForm                        // account id or root ARN
	userForm                           // user ARN
	roleForm                           // role ARN
	sessionForm                        // assumed-role session ARN
	federatedForm                      // federated-user ARN
	uniqueIDForm                       // AIDA… or AROA…
	serviceForm
	providerForm  // OIDC or SAML provider
	canonicalForm // S3 canonical user id, which stands for an account
)

// A class is how directly a resource policy named the caller; how far identity policy, boundary and session
// policy still count depends on it. Classes are bits because several statements may name one caller.
type class uint8

const (
	byAccount class = 1 << iota // the caller's account: only delegates to its IAM policies
	byAnyone                    // "*", or not excepted by NotPrincipal
	byRole                      // the role of the caller's session
	byUser                      // the user
	bySelf                      // the session itself, the root user, a service, a provider
)

// named returns how p names the caller, or 0.
func (p *principal) named(who *Principal) class {
	switch p.form {
	case anyForm:
		return byAnyone
	case accountForm:
		return accountClass(who, who.Account == p.account)
	case canonicalForm:
		return accountClass(who, who.CanonicalUser == p.Value)
	case userForm:
		return when(who.Kind == User && who.ARN == p.Value, byUser)
	case roleForm:
		return when(who.Kind == AssumedRole && who.RoleARN == p.Value, byRole)
	case sessionForm:
		return when(who.Kind == AssumedRole && who.ARN == p.Value, bySelf)
	case federatedForm:
		return when(who.Kind == FederatedUser && who.ARN == p.Value, bySelf)
	case uniqueIDForm:
		return uniqueIDClass(who, p.Value)
	case serviceForm:
		return when(who.Kind == Service && who.Service == p.Value, bySelf)
	case providerForm:
		return when(who.Kind == WebIdentity && who.ARN == p.Value, bySelf)
	}
	return 0
}

func when(ok bool, c class) class {
	if ok {
		return c
	}
	return 0
}

func accountClass(who *Principal, same bool) class {
	switch {
	case !same || !who.Kind.hasIdentity() || who.Account == "":
		return 0
	case who.Kind == Root:
		return bySelf
	}
	return byAccount
}

func uniqueIDClass(who *Principal, id string) class {
	own, _, _ := strings.Cut(who.UniqueID, ":")
	switch {
	case own != id:
		return 0
	case who.Kind == User:
		return byUser
	case who.Kind == AssumedRole:
		return byRole
	}
	return 0
}

// names returns how the statement's Principal or NotPrincipal speaks of the caller, or 0 if not at all.
//
// A Deny with NotPrincipal spares a caller only when everything it can be called by is listed: the account,
// and the user, or the role and the session. An Allow with NotPrincipal passes over whoever is listed at all.
func (s *statement) names(who *Principal) class {
	var by class
	for i := range s.principals {
		by |= s.principals[i].named(who)
	}
	if !s.notPrincipal {
		return by
	}
	if s.deny && !spared(by, who.Kind) || !s.deny && by == 0 {
		return byAnyone
	}
	return 0
}

func spared(by class, kind PrincipalKind) bool {
	if by&byAnyone != 0 {
		return true
	}
	var all class
	switch kind {
	case User:
		all = byAccount | byUser
	case AssumedRole:
		all = byAccount | byRole | bySelf
	case FederatedUser:
		all = byAccount | bySelf
	default:
		all = bySelf
	}
	return by&all == all
}

// parsePrincipals reads the value of Principal or NotPrincipal.
func parsePrincipals(n node) ([]principal, error) {
	if n.kind == stringNode && n.text == "*" {
		return []principal{{PrincipalRef: PrincipalRef{"AWS", "*"}, form: anyForm}}, nil
	}
	if n.kind != objectNode {
		return nil, errSyntax
	}
	var out []principal
	for _, m := range n.members {
		vals, ok := m.value.strings()
		if !ok {
			return nil, errSyntax
		}
		for _, v := range vals {
			p, ok := parsePrincipal(PrincipalRef{m.name, v})
			if !ok {
				return nil, &MalformedError{`Invalid principal in policy: "` + m.name + `":"` + v + `"`}
			}
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, errSyntax
	}
	return out, nil
}

func parsePrincipal(ref PrincipalRef) (principal, bool) {
	p := principal{PrincipalRef: ref}
	if ref.Type == "AWS" {
		return parseAWS(p)
	}
	if ref.Value == "" || strings.ContainsAny(ref.Value, "*? \t\r\n") {
		return p, false
	}
	switch ref.Type {
	case "Service":
		p.form = serviceForm
	case "Federated":
		p.form = providerForm
	case "CanonicalUser":
		p.form = canonicalForm
	default:
		return p, false
	}
	return p, true
}

func parseAWS(p principal) (principal, bool) {
	switch {
	case p.Value == "*":
		p.form = anyForm
		return p, true
	case isAccount(p.Value):
		p.form, p.account = accountForm, p.Value
		return p, true
	case isUniqueID(p.Value):
		p.form = uniqueIDForm
		return p, true
	}
	a, err := arn.Parse(p.Value)
	if err != nil || !isAccount(a.Account) || a.Region != "" || strings.ContainsAny(p.Value, "*?") {
		return p, false
	}
	kind, id := a.Split()
	switch {
	case a.Service == "iam" && a.Resource == "root":
		p.form, p.account = accountForm, a.Account
	case a.Service == "iam" && kind == "user" && id != "":
		p.form = userForm
	case a.Service == "iam" && kind == "role" && id != "":
		p.form = roleForm
	case a.Service == "sts" && kind == "assumed-role" && strings.Contains(id, "/"):
		p.form = sessionForm
	case a.Service == "sts" && kind == "federated-user" && id != "":
		p.form = federatedForm
	default:
		return p, false
	}
	return p, true
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// isUniqueID reports whether s looks like the id of a user or role: AIDA or AROA and 17 characters more,
// with some room either way.
func isUniqueID(s string) bool {
	if len(s) < 16 || len(s) > 128 || !strings.HasPrefix(s, "AIDA") && !strings.HasPrefix(s, "AROA") {
		return false
	}
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}
