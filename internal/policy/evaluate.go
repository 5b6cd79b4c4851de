// SPDX-License-Identifier: Apache-2.0

package policy

import "strings"

// A Request is what is to be decided.
type Request struct {
	Action    string // service:Operation; compared without case
	Resource  string // ARN, or "*" for operations that have no resource
	Principal Principal
	Context   Context // may be nil
}

// Mode says what the resource's own policy means.
type Mode int

// The modes.
const (
	// Standard: the resource policy, if any, adds to what IAM policies allow.
	Standard Mode = iota
	// KeyPolicyMode: IAM policies count only as far as the key policy delegates to the caller's account.
	KeyPolicyMode
	// TrustMode: the same for a role's trust policy. The root user cannot assume roles.
	TrustMode
)

// A PolicySet is all that bears on a request.
type PolicySet struct {
	Mode     Mode
	Identity []*Document // of the user or role, its groups' among them
	Boundary *Document   // nil without a permissions boundary
	// HasSession says that session policies were given when the session was made: without one that allows,
	// nothing is allowed, also when Session is empty. A federated user's session always counts as having them.
	HasSession bool
	Session    []*Document
	Resource   *Document // the resource's own policy, key policy or trust policy; nil if it has none
	// ResourceAccount owns the resource. It may be empty when there is no resource policy and the resource is
	// the caller's account's; with a resource policy or another Mode, empty is nobody's account.
	ResourceAccount string
	// GrantAllows says that a KMS grant lets the caller do this. It counts as being named by the key policy: as
	// the user, or as the role, which boundary and session policy go on limiting. It means nothing in other Modes.
	GrantAllows bool
}

// Evaluate decides a request. An explicit Deny in any document wins. Without one, the identity policies allow as far
// as boundary and session policy do; a resource policy of the same account that names the caller allows too:
//
//	named as            identity policy  boundary  session policy
//	session, federated  not needed       ignored   ignored
//	user                not needed       ignored   limits
//	role, "*"           not needed       limits    limits
//	account             needed           limits    limits
//
// A resource of another account needs both: its policy must name the caller in any form, and the caller's own
// policies must allow. Services and anonymous callers have the resource policy alone. The root user needs no
// identity policy, has no boundary, and is named by its account. See Mode for key policies and trust policies.
//
// Source: IAM User Guide, "Policy evaluation logic"; KMS Developer Guide, "Key policies in AWS KMS".
func Evaluate(req Request, set PolicySet) Decision {
	r := request{Request: &req, action: strings.ToLower(req.Action)}
	if d, denied := r.explicitDeny(&set); denied {
		return d
	}
	return r.decide(&set)
}

// request is a Request with what is computed once.
type request struct {
	*Request
	action string // lower case
}

func (r *request) explicitDeny(set *PolicySet) (Decision, bool) {
	for _, d := range set.Identity {
		if s := r.denying(d); s != nil {
			return denial(Identity, s), true
		}
	}
	if s := r.denying(set.Boundary); s != nil {
		return denial(Boundary, s), true
	}
	for _, d := range set.Session {
		if s := r.denying(d); s != nil {
			return denial(Session, s), true
		}
	}
	if s := r.denying(set.Resource); s != nil {
		d := denial(set.resourceKind(), s)
		d.remote = r.crosses(set)
		return d, true
	}
	return Decision{}, false
}

// denying returns the first statement of d that denies the request to this caller, or nil.
func (r *request) denying(d *Document) *statement {
	if d == nil {
		return nil
	}
	for i := range d.statements {
		s := &d.statements[i]
		if s.deny && (len(s.principals) == 0 || s.names(&r.Principal) != 0) && s.matches(r) {
			return s
		}
	}
	return nil
}

// allows reports whether some identity-style document allows the request. A statement with principals belongs
// to a resource and allows nothing here.
func (r *request) allows(docs ...*Document) bool {
	for _, d := range docs {
		if d == nil {
			continue
		}
		for i := range d.statements {
			s := &d.statements[i]
			if !s.deny && len(s.principals) == 0 && s.matches(r) {
				return true
			}
		}
	}
	return false
}

// allowedAs collects how the Allow statements of a resource policy that match the request name the caller.
func (r *request) allowedAs(d *Document) class {
	var by class
	if d == nil {
		return by
	}
	for i := range d.statements {
		s := &d.statements[i]
		if s.deny || len(s.principals) == 0 {
			continue
		}
		if c := s.names(&r.Principal); c&^by != 0 && s.matches(r) {
			by |= c
		}
	}
	if r.Principal.Kind == WebIdentity {
		by &= bySelf // "*" means the principals of AWS, not whoever an identity provider vouches for
	}
	return by
}

func (r *request) decide(set *PolicySet) Decision {
	by := r.allowedAs(set.Resource)
	if set.GrantAllows && set.Mode == KeyPolicyMode {
		by |= grantedAs(r.Principal.Kind)
	}
	switch kind := r.Principal.Kind; {
	case kind == Anonymous && set.Mode != Standard, kind == Root && set.Mode == TrustMode:
		return missing(set.resourceKind())
	case !kind.hasIdentity():
		if by != 0 {
			return allowed
		}
		return missing(set.resourceKind())
	}
	if r.crosses(set) {
		return r.decideRemote(set, by)
	}
	return r.decideLocal(set, by)
}

// decideRemote decides about a resource of another account: both sides must allow.
func (r *request) decideRemote(set *PolicySet, by class) Decision {
	if lacking, ok := r.ownSide(set, false); !ok {
		return missing(lacking)
	}
	if by == 0 {
		d := missing(set.resourceKind())
		d.remote = true
		return d
	}
	return allowed
}

func (r *request) decideLocal(set *PolicySet, by class) Decision {
	switch {
	case by&bySelf != 0 && r.Principal.Kind != Root:
		return allowed
	case by&byUser != 0:
		if r.sessionAllows(set) {
			return allowed
		}
		return missing(Session)
	case by == 0 && set.Mode != Standard:
		return missing(set.resourceKind())
	}
	named := by&(byRole|byAnyone) != 0
	if lacking, ok := r.ownSide(set, named); !ok {
		return missing(lacking)
	}
	return allowed
}

// ownSide reports whether the policies of the caller's own account let the request through, or else which
// kind does not. named says that no identity policy is needed.
func (r *request) ownSide(set *PolicySet, named bool) (lacking Kind, ok bool) {
	root := r.Principal.Kind == Root
	switch {
	case !root && !named && !r.allows(set.Identity...):
		return Identity, false
	case !root && set.Boundary != nil && !r.allows(set.Boundary):
		return Boundary, false
	case !r.sessionAllows(set):
		return Session, false
	}
	return 0, true
}

// sessionAllows reports whether the session policies, if there have to be any, let the request through.
func (r *request) sessionAllows(set *PolicySet) bool {
	limited := set.HasSession || r.Principal.Kind == FederatedUser
	return !limited || r.allows(set.Session...)
}

// crosses reports whether the resource is another account's.
func (r *request) crosses(set *PolicySet) bool {
	if set.ResourceAccount == "" {
		return set.Resource != nil || set.Mode != Standard
	}
	return set.ResourceAccount != r.Principal.Account
}

func (set *PolicySet) resourceKind() Kind {
	switch set.Mode {
	case KeyPolicyMode:
		return KeyPolicy
	case TrustMode:
		return Trust
	}
	return Resource
}

// grantedAs is how a grant names its grantee.
func grantedAs(kind PrincipalKind) class {
	switch kind {
	case User:
		return byUser
	case AssumedRole:
		return byRole
	case Anonymous:
		return 0
	}
	return bySelf
}
