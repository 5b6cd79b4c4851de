// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"strings"

	"github.com/obscura-video/obscura/internal/policy"
)

// A form is a way in which a policy names a caller.
type form string

const (
	asEveryone form = "everyone"
	asAccount  form = "account"
	asUser     form = "user"
	asRole     form = "role"
	asSession  form = "session" // of a role, or of a federated user
	asOther    form = "other"   // service or identity provider
)

// callerForms returns the forms in which a Principal element names the caller.
func callerForms(element any, caller policy.Principal) map[form]bool {
	forms := map[form]bool{}
	if element == "*" {
		forms[asEveryone] = true
	}
	byType, _ := element.(map[string]any)
	for kind, values := range byType {
		for _, value := range texts(values) {
			if f := callerForm(kind, value, caller); f != "" {
				forms[f] = true
			}
		}
	}
	return forms
}

func callerForm(kind, value string, caller policy.Principal) form {
	switch kind {
	case "AWS":
		return awsForm(value, caller)
	case "Service":
		if caller.Kind == policy.Service && value == caller.Service {
			return asOther
		}
	case "Federated":
		if caller.Kind == policy.WebIdentity && value == caller.ARN {
			return asOther
		}
	case "CanonicalUser":
		if ofAccount(caller) && caller.CanonicalUser != "" && value == caller.CanonicalUser {
			return asAccount
		}
	}
	return ""
}

func awsForm(value string, caller policy.Principal) form {
	id, _, _ := strings.Cut(caller.UniqueID, ":")
	account := ofAccount(caller) && caller.Account != "" && (value == caller.Account || value == "arn:aws:iam::"+caller.Account+":root")
	switch {
	case value == "*":
		return asEveryone
	case account:
		return asAccount
	case caller.Kind == policy.User && (value == caller.ARN || value == id):
		return asUser
	case caller.Kind == policy.AssumedRole && (value == caller.RoleARN || value == id):
		return asRole
	case caller.Kind == policy.AssumedRole && value == caller.ARN:
		return asSession
	case caller.Kind == policy.FederatedUser && value == caller.ARN:
		return asSession
	}
	return ""
}

// ofAccount says whether the caller belongs to an account. The others have none, whatever they say.
func ofAccount(caller policy.Principal) bool {
	switch caller.Kind {
	case policy.Root, policy.User, policy.AssumedRole, policy.FederatedUser:
		return true
	}
	return false
}
