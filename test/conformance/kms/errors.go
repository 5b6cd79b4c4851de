// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// on is an operation on a key, with all else as it should be.
type on func(c *kit.Clients, keyID string) error

// flaw is a way in which the key is not as it should be.
type flaw func(call on) kit.Errors

// flawed is the errors of an operation on keys that have these flaws.
func flawed(call on, flaws ...flaw) kit.Errors {
	all := kit.Errors{}
	for _, f := range flaws {
		all = kit.Merge(all, f(call))
	}
	return all
}

// missing keys do not exist.
func missing(call on) kit.Errors {
	return kit.Errors{"NotFoundException": func(w *kit.World) error {
		return kit.Saying(call(w.Admin, absentID), "Key '"+w.ARN("kms", "key/"+absentID)+"' does not exist")
	}}
}

// unheardOf is an ARN of what KMS does not have.
func unheardOf(call on) kit.Errors {
	return kit.Errors{"InvalidArnException": func(w *kit.World) error {
		return call(w.Admin, w.ARN("kms", "nothing/"+absentID))
	}}
}

// pendingDeletion keys are not to be altered any more.
func pendingDeletion(call on) kit.Errors {
	return kit.Errors{"KMSInvalidStateException": func(w *kit.World) error {
		k := shared(w, condemned)
		return kit.Saying(call(w.Admin, k.ID), k.ARN+" is pending deletion.")
	}}
}

// switchedOff keys are disabled.
func switchedOff(call on) kit.Errors {
	return kit.Errors{"DisabledException": func(w *kit.World) error {
		k := shared(w, asleep)
		return kit.Saying(call(w.Admin, k.ID), k.ARN+" is disabled.")
	}}
}

// ofKind is a shared key for which the operation is not offered.
func ofKind(name string) flaw {
	return func(call on) kit.Errors {
		return kit.Errors{"UnsupportedOperationException": func(w *kit.World) error { return call(w.Admin, shared(w, name).ID) }}
	}
}

// use is what all cryptographic operations take.
type use struct {
	Key    *string
	Tokens []string
	DryRun *bool
}

// misused are the errors of a cryptographic operation: with keys in other states, with a key that is for something
// else, with a grant token that is none, and as a dry run with the right key.
func misused(call func(c *kit.Clients, u use) error, right, wrong string) kit.Errors {
	return kit.Merge(
		flawed(func(c *kit.Clients, keyID string) error { return call(c, use{Key: &keyID}) }, missing, pendingDeletion, switchedOff),
		kit.Errors{
			"InvalidKeyUsageException": func(w *kit.World) error {
				k := shared(w, wrong)
				return kit.Saying(call(w.Admin, use{Key: &k.ID}), k.ARN+" key usage is ")
			},
			"InvalidGrantTokenException": func(w *kit.World) error {
				return call(w.Admin, use{Key: &shared(w, right).ID, Tokens: []string{"no token of ours"}})
			},
			"DryRunOperationException": func(w *kit.World) error {
				return kit.Saying(call(w.Admin, use{Key: &shared(w, right).ID, DryRun: aws.Bool(true)}),
					"The request would have succeeded, but the DryRun option is set.")
			},
		})
}

// foreignMarker is a call that goes on from where no list of this server has ended.
func foreignMarker(call func(c *kit.Clients, marker *string) error) kit.Errors {
	return kit.Errors{"InvalidMarkerException": func(w *kit.World) error { return call(w.Admin, aws.String("no marker of ours")) }}
}
