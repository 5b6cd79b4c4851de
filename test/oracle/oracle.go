// SPDX-License-Identifier: Apache-2.0

// Package oracle decides IAM requests a second time, naively, so that tests can compare
// internal/policy with it.
//
// It is written from the description of the policy language, not from internal/policy, of which it
// uses the types of requests alone. It decodes every document anew with encoding/json, keeps
// nothing, and prefers the plainest form of each rule over speed. It is no validator: documents
// that are no policies of their kind are outside its domain, and it reads them leniently.
//
// The invariant: whatever it cannot read matches nothing, so it never allows for lack of
// understanding.
//
// Source: IAM User Guide, "IAM JSON policy element reference", "Policy evaluation logic",
// "Permissions boundaries for IAM entities"; KMS Developer Guide, "Key policies".
package oracle

import (
	"github.com/obscura-video/obscura/internal/policy"
)

// A World is a request and all that bears on it. Documents are JSON text.
type World struct {
	Request         policy.Request
	Mode            policy.Mode
	Identity        []string
	Boundary        string // "" without one
	HasSession      bool
	Session         []string
	Resource        string // "" without one
	ResourceAccount string
	GrantAllows     bool
}

// A Verdict is what the oracle says of a World.
type Verdict struct {
	Allowed bool
	Denying map[policy.Kind][]string // the kinds of documents that deny, with the Sids of the statements
	Missing map[policy.Kind]bool     // the kinds whose Allow is missing, when nothing denies
}

// A Judge decides worlds. Note, when set, hears which rules were reached, and how they ended: tests
// measure with it what their cases cover.
type Judge struct {
	Note func(rule string, outcome bool)
}

func (j Judge) note(rule string, outcome bool) bool {
	if j.Note != nil {
		j.Note(rule, outcome)
	}
	return outcome
}

// Decide decides a world: first whether anything denies, then whether enough allows.
func (j Judge) Decide(w World) Verdict {
	denying := j.denials(w)
	if len(denying) > 0 {
		return Verdict{Denying: denying}
	}
	missing := j.missing(w)
	return Verdict{Allowed: len(missing) == 0, Missing: missing}
}

func (j Judge) denials(w World) map[policy.Kind][]string {
	denying := map[policy.Kind][]string{}
	collect := func(kind policy.Kind, documents ...string) {
		for _, document := range documents {
			for _, s := range statements(document) {
				if s.effect() == "Deny" && j.applies(s, w) {
					denying[kind] = append(denying[kind], s.sid())
				}
			}
		}
	}
	collect(policy.Identity, w.Identity...)
	collect(policy.Boundary, w.Boundary)
	collect(policy.Session, w.Session...)
	collect(w.resourceKind(), w.Resource)
	return denying
}

// missing returns the kinds of documents that would have to allow but do not: none when the request
// is allowed.
func (j Judge) missing(w World) map[policy.Kind]bool {
	named := j.named(w)
	caller := w.Request.Principal
	resource := map[policy.Kind]bool{w.resourceKind(): true}
	switch caller.Kind {
	case policy.Anonymous, policy.Service, policy.WebIdentity:
		if anyForm(named) {
			return nil // they have no policies of their own
		}
		return resource
	case policy.Root:
		if w.Mode == policy.TrustMode {
			return resource // the root user cannot assume roles
		}
	}

	own := j.ownMissing(w)
	if !w.sameAccount() {
		if !anyForm(named) {
			own[w.resourceKind()] = true
		}
		return own
	}
	return j.sameAccountMissing(w, named, own)
}

// sameAccountMissing applies the table of how a resource policy names the caller. own is what the
// caller's own policies lack.
func (j Judge) sameAccountMissing(w World, named map[form]bool, own map[policy.Kind]bool) map[policy.Kind]bool {
	if j.note("named session", named[asSession]) {
		return nil
	}
	if j.note("named user", named[asUser]) {
		delete(own, policy.Identity)
		delete(own, policy.Boundary)
		return own
	}
	if j.note("named role or all", named[asRole] || named[asEveryone]) {
		delete(own, policy.Identity)
		return own
	}
	if w.Mode != policy.Standard && !j.note("named account", named[asAccount]) {
		own[w.resourceKind()] = true // nothing was delegated to IAM policies
	}
	return own
}

// ownMissing returns which of the caller's own policies lack an Allow. A root user has none, and needs
// none.
func (j Judge) ownMissing(w World) map[policy.Kind]bool {
	missing := map[policy.Kind]bool{}
	root := w.Request.Principal.Kind == policy.Root
	if !root && !j.allows(w, w.Identity...) {
		missing[policy.Identity] = true
	}
	if !root && w.Boundary != "" && !j.note("boundary", j.allows(w, w.Boundary)) {
		missing[policy.Boundary] = true
	}
	// A federated user without session policy has no rights but those from resource policies.
	needsSession := w.HasSession || w.Request.Principal.Kind == policy.FederatedUser
	if needsSession && !j.note("session", j.allows(w, w.Session...)) {
		missing[policy.Session] = true
	}
	return missing
}

func (j Judge) allows(w World, documents ...string) bool {
	for _, document := range documents {
		for _, s := range statements(document) {
			if s.effect() == "Allow" && j.applies(s, w) {
				return true
			}
		}
	}
	return false
}

// named returns in which forms the Allow statements of the resource policy name the caller. A grant
// names it as user or role.
func (j Judge) named(w World) map[form]bool {
	forms := map[form]bool{}
	for _, s := range statements(w.Resource) {
		if s.effect() != "Allow" || !j.applies(s, w) {
			continue
		}
		if _, negated := s["NotPrincipal"]; negated {
			forms[asEveryone] = everyoneCounts(w) // but those named, or the statement would not apply
			continue
		}
		for f := range callerForms(s["Principal"], w.Request.Principal) {
			forms[f] = f != asEveryone || everyoneCounts(w)
		}
	}
	if w.GrantAllows && w.Mode == policy.KeyPolicyMode && w.Request.Principal.Kind != policy.Anonymous {
		forms[grantForm(w.Request.Principal)] = true
	}
	return forms
}

// grantForm returns how a grant names its grantee, whose ARN it has.
func grantForm(caller policy.Principal) form {
	switch caller.Kind {
	case policy.User:
		return asUser
	case policy.FederatedUser:
		return asSession
	}
	return asRole
}

// everyoneCounts says whether an Allow for "*" is one for the caller. The description is silent. In
// force is the stricter reading: the bearer of a provider's token has to be allowed as that
// provider's, and nobody uses a key or a role without a signature.
func everyoneCounts(w World) bool {
	switch w.Request.Principal.Kind {
	case policy.WebIdentity:
		return false
	case policy.Anonymous:
		return w.Mode == policy.Standard
	}
	return true
}

func (w World) sameAccount() bool {
	caller := w.Request.Principal.Account
	if w.ResourceAccount == "" {
		return w.Resource == "" && w.Mode == policy.Standard
	}
	return w.ResourceAccount == caller
}

func (w World) resourceKind() policy.Kind {
	switch w.Mode {
	case policy.KeyPolicyMode:
		return policy.KeyPolicy
	case policy.TrustMode:
		return policy.Trust
	}
	return policy.Resource
}

func anyForm(named map[form]bool) bool {
	for _, is := range named {
		if is {
			return true
		}
	}
	return false
}
