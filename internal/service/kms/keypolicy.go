// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/policy"
)

const (
	// policyName is the only one there is.
	policyName = "default"
	// maxPolicyBytes is AWS's quota; the model alone would allow four times as much.
	maxPolicyBytes = 32768
)

// defaultPolicy delegates a key to its account's IAM policies.
//
// Source: KMS Developer Guide, "Default key policy", as CreateKey without a policy sets it.
func (s *Service) defaultPolicy() string {
	return `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "` + s.accountRoot() + `"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`
}

// GetKeyPolicy returns the text that was put. Errors: NotFoundException, also for
// a PolicyName other than "default"; InvalidArnException.
func (s *Service) GetKeyPolicy(ctx context.Context, in *kmsapi.GetKeyPolicyInput) (*kmsapi.GetKeyPolicyOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "GetKeyPolicy", byID: true})
	if err != nil {
		return nil, err
	}
	if valueOr(in.PolicyName, policyName) != policyName {
		return nil, notFound("No such policy exists")
	}
	return &kmsapi.GetKeyPolicyOutput{Policy: &k.Policy, PolicyName: text(policyName)}, nil
}

// ListKeyPolicies lists the one policy there is. Errors: NotFoundException, InvalidArnException.
func (s *Service) ListKeyPolicies(ctx context.Context, in *kmsapi.ListKeyPoliciesInput) (*kmsapi.ListKeyPoliciesOutput, error) {
	if _, err := s.keyFor(ctx, *in.KeyId, use{operation: "ListKeyPolicies", byID: true}); err != nil {
		return nil, err
	}
	return &kmsapi.ListKeyPoliciesOutput{PolicyNames: []string{policyName}, Truncated: new(bool)}, nil
}

// PutKeyPolicy replaces a key's policy; the new one decides from its return on.
//
// Errors: MalformedPolicyDocumentException, also when the caller could not put
// another policy afterwards and BypassPolicyLockoutSafetyCheck is not set;
// LimitExceededException beyond 32 KiB; NotFoundException; InvalidArnException.
func (s *Service) PutKeyPolicy(ctx context.Context, in *kmsapi.PutKeyPolicyInput) (*kmsapi.PutKeyPolicyOutput, error) {
	bypass := isTrue(in.BypassPolicyLockoutSafetyCheck)
	k, err := s.keyFor(ctx, *in.KeyId, use{
		operation: "PutKeyPolicy", byID: true,
		extra: map[string][]string{"kms:bypasspolicylockoutsafetycheck": {boolText(bypass)}},
	})
	if err != nil {
		return nil, err
	}
	if valueOr(in.PolicyName, policyName) != policyName {
		return nil, notFound("No such policy exists")
	}
	if err := s.checkPolicy(ctx, k.arn, *in.Policy, bypass); err != nil {
		return nil, err
	}
	err = s.alter(ctx, k, anyState, func(r *record, _ time.Time) error {
		r.Policy = *in.Policy
		return nil
	})
	return &kmsapi.PutKeyPolicyOutput{}, err
}

// checkPolicy refuses what is no key policy, and one that locks the caller out.
func (s *Service) checkPolicy(ctx context.Context, arn, document string, bypass bool) error {
	if len(document) > maxPolicyBytes {
		return &kmsapi.LimitExceededException{}
	}
	d, err := policy.Parse([]byte(document), policy.KeyPolicy)
	if err != nil {
		var malformed *policy.MalformedError
		if errors.As(err, &malformed) {
			return &kmsapi.MalformedPolicyDocumentException{Message: malformed.Message}
		}
		return err
	}
	if !bypass && !s.keepsControl(ctx, arn, d) {
		return &kmsapi.MalformedPolicyDocumentException{
			Message: "The new key policy will not allow you to update the key policy in the future.",
		}
	}
	return nil
}

// keepsControl reports whether d lets the caller put a policy again: by naming
// it, or by delegating to its account, whose IAM policies are not looked at.
// It looks only into the future and decides nothing about this request.
func (s *Service) keepsControl(ctx context.Context, arn string, d *policy.Document) bool {
	call, ok := access.FromContext(ctx)
	if !ok {
		return false
	}
	return policy.Evaluate(policy.Request{
		Action: "kms:PutKeyPolicy", Resource: arn, Principal: call.Principal.Principal,
		Context: policy.Map{"kms:calleraccount": {call.Principal.Account}},
	}, policy.PolicySet{
		Mode: policy.KeyPolicyMode, Resource: d, ResourceAccount: s.cfg.Account, Identity: []*policy.Document{allowAll},
	}).Allowed
}

var (
	// allowAll stands in for identity policies when only the key policy is in question.
	allowAll = mustParse(policy.Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	// denyAll stands in for a key policy that cannot be read.
	denyAll = mustParse(policy.KeyPolicy, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}}`)
)

func mustParse(kind policy.Kind, document string) *policy.Document {
	d, err := policy.Parse([]byte(document), kind)
	if err != nil {
		panic("kms: " + err.Error())
	}
	return d
}
