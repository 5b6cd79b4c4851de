// SPDX-License-Identifier: Apache-2.0

// Package iam is the conformance cases of AWS IAM. See kit for what a case is.
//
// Sources: IAM API Reference and User Guide; the texts are those that AWS sends.
package iam

import (
	"slices"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// API is the cases of IAM.
func API() *kit.API {
	return &kit.API{
		Model: iamapi.New(iamapi.Unimplemented{}), Denied: "AccessDenied",
		Never: map[string]string{
			"ServiceFailure":                "a fault of the server's own",
			"ConcurrentModification":        "changes are made one after the other",
			"EntityTemporarilyUnmodifiable": "a change is done when its call returns",
			"UnmodifiableEntity":            "there are no service-linked roles",
			"PolicyNotAttachable":           "there are no managed policies that are for service-linked roles alone",
			"PolicyEvaluation":              "a policy that can be read can be evaluated",
		},
		Cases: slices.Concat(userCases(), keyCases(), groupCases(), roleCases(), policyCases(), versionCases(), attachCases(),
			inlineCases(), boundaryCases(), tagCases(), providerCases(), accountCases(), simulateCases()),
	}
}

// Reasons that many cases share.
const (
	noQuota    = "meets no quota"
	outOfRange = "what is out of range is a ValidationError"
)

// unlimited is the reason why an operation never ends with LimitExceeded.
func unlimited() map[string]string { return map[string]string{"LimitExceeded": noQuota} }
