// SPDX-License-Identifier: Apache-2.0

package policy

// Reason says why a request was decided as it was.
type Reason int

// The reasons. The zero Decision is an implicit denial.
const (
	ImplicitDeny Reason = iota // no policy of the kind Decision.Policy allows it
	ExplicitDeny               // a statement of a policy of the kind Decision.Policy denies it
	Allowed
)

// A Decision is the outcome of Evaluate.
type Decision struct {
	Allowed bool
	Reason  Reason
	Policy  Kind   // whose Deny it was, or whose Allow is missing; without meaning when Allowed
	SID     string // ExplicitDeny: the Sid of the statement that denies, if it has one
	remote  bool   // the resource's own policy, in another account, decided
}

var allowed = Decision{Allowed: true, Reason: Allowed}

func missing(k Kind) Decision { return Decision{Policy: k} }

func denial(k Kind, s *statement) Decision {
	return Decision{Reason: ExplicitDeny, Policy: k, SID: s.sid}
}

// Message is the text of AWS's AccessDenied errors for this decision. caller is the ARN of the caller, as the role
// session for a role; resource may be empty where the operation has none.
//
// A role's trust policy is never said to be missing, so that nobody learns which roles exist; for the same
// reason a key of another account may or may not exist.
func (d Decision) Message(caller, action, resource string) string {
	text := "User: " + caller + " is not authorized to perform: " + action
	if resource != "" {
		text += " on resource: " + resource
	}
	switch {
	case d.Allowed:
		return ""
	case d.remote && d.Policy == KeyPolicy:
		return text + " because the resource does not exist in this Region, no resource-based policies allow access," +
			" or a resource-based policy explicitly denies access"
	case d.Reason == ExplicitDeny:
		return text + " with an explicit deny in " + d.Policy.article() + " " + d.Policy.name()
	case d.Policy == Trust:
		return text
	}
	return text + " because no " + d.Policy.name() + " allows the " + action + " action"
}

// String is the kind of policy as AWS's messages name it: "identity-based policy".
func (k Kind) String() string { return k.name() }

func (k Kind) name() string {
	switch k {
	case Identity:
		return "identity-based policy"
	case Boundary:
		return "permissions boundary"
	case Session:
		return "session policy"
	case Trust:
		return "role trust policy"
	}
	return "resource-based policy"
}

func (k Kind) article() string {
	switch k {
	case Identity:
		return "an"
	case Trust:
		return "the"
	}
	return "a"
}
