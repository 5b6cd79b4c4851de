// SPDX-License-Identifier: Apache-2.0

// Package access answers one question for the whole server: may this caller do this to that resource?
//
// The gateway authenticates a request and puts a Call, which holds the Principal, into the context. Whether
// the call is allowed can depend on what only the service knows (tags, a key policy, grants), so the service
// resolves action, resource and condition keys and asks its Authorizer, once for each thing it is about to do
// or to reveal. A service that calls another one on a caller's behalf makes a child call with Via and goes
// through the same Authorizer.
//
// The invariant: nothing is answered that was not decided. Each decision is noted in the Call; the gateway
// sends no answer of an operation whose Call holds none (see Call.Decided).
//
// This package does not read policies from anywhere (IdentitySource does) and does not evaluate them (package
// policy does).
package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/internal/policy"
)

// ErrNoCall says that a decision was asked for outside any call: a mistake of the server, answered with "no".
var ErrNoCall = errors.New("access: no call in the context")

// Request is one thing that a caller wants to do. It is read, never kept.
type Request struct {
	// Action is the IAM action, "kms:Decrypt".
	Action string
	// Resource is the ARN acted upon, or "*" where the action has none.
	Resource string
	// Context holds the condition keys that the service alone knows, names in lower case. The keys of the
	// caller and of the request (aws:*) and kms:ViaService are added by the Authorizer.
	Context map[string][]string
	// More makes further ones, like Context, when a policy asks for any: most ask for none. It may be nil, and is
	// called at most once, before Authorize returns.
	More func() map[string][]string
	// Policy is the resource's own policy; nil when it has none.
	Policy *policy.Document
	// Mode says how Policy counts beside the caller's identity policies.
	Mode policy.Mode
	// ResourceAccount owns the resource; empty means this server's account.
	ResourceAccount string
	// Granted says whether a KMS grant allows the action. It is asked, at most once and before Authorize returns, when
	// the policies neither allow nor deny; an error decides against the caller. It may be nil.
	Granted func() (bool, error)
}

// Authorizer decides. Implementations are safe for concurrent use and never cache a decision.
type Authorizer interface {
	// Authorize returns nil when the caller of ctx may do r. A *Denied carries AWS's message; any other
	// error (policies could not be read, no call in ctx) means no as well.
	Authorize(ctx context.Context, r Request) error
}

// IdentitySource knows what a principal's own policies say at this moment.
type IdentitySource interface {
	// PoliciesFor returns the identity policies of p (its groups' or role's too) and its permissions
	// boundary, nil when it has none. A principal that no longer exists is an error.
	PoliciesFor(ctx context.Context, p *Principal) (identity []*policy.Document, boundary *policy.Document, err error)
}

// Denied is a decision against the caller. Its text is the one AWS gives.
type Denied struct {
	// Message names caller, action, resource and the kind of policy that decided.
	Message string
	// Explicit says that a Deny statement matched, not merely that no Allow did.
	Explicit bool
	// Detail is what the decision was made of; nil for a denial that is not to be told apart from others.
	Detail *Detail
}

// Detail is what a decision against a caller was made of. It is for those who may read it
// (sts:DecodeAuthorizationMessage), never for the caller as such.
type Detail struct {
	Principal        *Principal
	Action, Resource string
	Decision         policy.Decision
	conditions       *conditionContext
}

// Error returns AWS's message.
func (d *Denied) Error() string { return d.Message }

type authorizer struct {
	identities      IdentitySource
	account, region string
	now             func() time.Time
}

// New returns the server's Authorizer over the identity policies of ids. now is the clock by which sessions end
// and time conditions are decided, also for a call that began long ago; nil means time.Now.
func New(ids IdentitySource, account, region string, now func() time.Time) Authorizer {
	if now == nil {
		now = time.Now
	}
	return &authorizer{identities: ids, account: account, region: region, now: now}
}

// Authorize implements Authorizer.
func (a *authorizer) Authorize(ctx context.Context, r Request) error {
	call, ok := FromContext(ctx)
	if !ok {
		return ErrNoCall
	}
	call.markDecided()
	p, now := &call.Principal, a.now()
	if s := p.Session; s != nil && !s.Expires.IsZero() && !now.Before(s.Expires) {
		return &Denied{Message: "The security token included in the request is expired", Explicit: true}
	}
	identity, boundary, err := a.identities.PoliciesFor(ctx, p)
	if err != nil {
		return fmt.Errorf("access: policies of %s: %w", p.ARN, err)
	}
	owner := r.ResourceAccount
	if owner == "" {
		owner = a.account
	}
	set := policy.PolicySet{
		Identity:        identity,
		Boundary:        boundary,
		Resource:        r.Policy,
		ResourceAccount: owner,
		Mode:            r.Mode,
	}
	if s := p.Session; s != nil && s.HasPolicies {
		set.HasSession, set.Session = true, s.Policies
	}
	conditions := &conditionContext{call: call, request: r, region: a.region, owner: owner, now: now}
	ask := policy.Request{Action: r.Action, Resource: r.Resource, Principal: p.Principal, Context: conditions}
	d := policy.Evaluate(ask, set)
	if !d.Allowed && d.Reason != policy.ExplicitDeny && r.Granted != nil {
		if set.GrantAllows, err = r.Granted(); err != nil {
			return fmt.Errorf("access: grants on %s: %w", r.Resource, err)
		}
		if set.GrantAllows { // a grant can only allow
			d = policy.Evaluate(ask, set)
		}
	}
	if d.Allowed {
		return nil
	}
	conditions.further() // for Detail, which is read when what More looks at may be another's
	return &Denied{
		Message: d.Message(p.ARN, r.Action, r.Resource), Explicit: d.Reason == policy.ExplicitDeny,
		Detail: &Detail{Principal: p, Action: r.Action, Resource: r.Resource, Decision: d, conditions: conditions},
	}
}
