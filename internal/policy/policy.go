// SPDX-License-Identifier: Apache-2.0

// Package policy is the IAM policy language: it parses policy documents and decides requests with them.
//
// It is pure: no I/O, no clock, no store. Time comes in as the condition keys aws:CurrentTime and
// aws:EpochTime. Which documents bear on a request, and that a principal is who it says, is the caller's
// business; so are the size quotas of each service, beside the hard bound [MaxBytes].
//
// The invariant: nothing is allowed unless an Allow statement says so, and an explicit Deny in any document
// always wins. Documents are compiled by Parse, never change, and may be used by many goroutines at once.
//
// Source: IAM User Guide, "IAM JSON policy element reference", "Policy evaluation logic" and "Permissions
// boundaries for IAM entities"; KMS Developer Guide, "Key policies".
package policy

import "github.com/obscura-video/obscura/internal/arn"

// Kind says what a document is attached to; it decides which elements the document must and must not have.
type Kind int

// The kinds of document.
const (
	Identity  Kind = iota // attached to a user, group or role: no Principal
	Boundary              // a permissions boundary: an identity policy that only limits
	Session               // passed to AssumeRole or GetFederationToken: likewise
	Resource              // attached to a resource, such as a bucket: needs Principal
	KeyPolicy             // the policy of a KMS key: needs Principal
	Trust                 // the trust policy of a role: needs Principal, has no Resource, sts actions alone
)

func (k Kind) hasPrincipal() bool { return k >= Resource }

// MaxBytes is the length of the longest document that Parse reads (the KMS API's policyType).
const MaxBytes = 131072

// Versions of the language. In the older one, which a document without Version has, variables are plain text.
const (
	Version2008 = "2008-10-17"
	Version2012 = "2012-10-17"
)

// A MalformedError says why a document is no policy of its kind, in AWS's words: it is the message of the
// services' MalformedPolicyDocument errors.
type MalformedError struct{ Message string }

func (e *MalformedError) Error() string { return e.Message }

// A Document is a compiled policy. It is immutable and safe for concurrent use.
type Document struct {
	kind       Kind
	version    string
	id         string
	statements []statement
}

// Kind returns the kind that the document was parsed as.
func (d *Document) Kind() Kind { return d.kind }

// Version returns the version of the language that the document is written in.
func (d *Document) Version() string { return d.version }

// ID returns the document's Id element, or "".
func (d *Document) ID() string { return d.id }

// Principals lists the principals that the document's statements name, in order, so that a service can
// refuse those that do not exist. Those of NotPrincipal are among them.
func (d *Document) Principals() []PrincipalRef {
	var refs []PrincipalRef
	for i := range d.statements {
		for _, p := range d.statements[i].principals {
			refs = append(refs, p.PrincipalRef)
		}
	}
	return refs
}

// A statement matches a request when its principal, action, resource and conditions all do.
type statement struct {
	sid          string
	deny         bool
	notPrincipal bool
	principals   []principal
	notAction    bool
	actions      []arn.Glob // lower case
	notResource  bool
	resources    []template // empty in a trust policy, whose only resource is the role
	anyResource  bool       // "*" is among the resources, or this is a trust policy
	conditions   []condition
}

func (s *statement) matches(r *request) bool {
	return s.matchesAction(r) && s.matchesResource(r) && s.matchesConditions(r)
}

func (s *statement) matchesAction(r *request) bool {
	for i := range s.actions {
		if s.actions[i].Match(r.action) {
			return !s.notAction
		}
	}
	return s.notAction
}

// matchesResource compares with the whole ARN, so a '*' may run over ':' and '/'. A pattern whose variable
// has no value matches nothing; in the NotResource of an Allow it makes the whole statement not match.
func (s *statement) matchesResource(r *request) bool {
	if s.anyResource {
		return !s.notResource
	}
	for i := range s.resources {
		ok, missing := s.resources[i].match(r.Resource, r.Context)
		if ok {
			return !s.notResource
		}
		if missing && s.notResource && !s.deny {
			return false
		}
	}
	return s.notResource
}

func (s *statement) matchesConditions(r *request) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(r.Context, s.deny) {
			return false
		}
	}
	return true
}
