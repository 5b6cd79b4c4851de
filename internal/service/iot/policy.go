// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/policy"
)

// policyRow is a row. Its name is its key; it has one version.
type policyRow struct {
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

const (
	policyVersion   = "1"
	maxPolicyBytes  = 2048
	maxCertPolicies = 10
)

// CreatePolicy makes a policy for certificates.
//
// Errors: ResourceAlreadyExistsException, MalformedPolicyException.
func (s *Service) CreatePolicy(ctx context.Context, in *api.CreatePolicyInput) (*api.CreatePolicyOutput, error) {
	name := *in.PolicyName
	if err := s.allow(ctx, "CreatePolicy", s.arn("policy", name)); err != nil {
		return nil, err
	}
	if err := noTags(in.Tags); err != nil {
		return nil, err
	}
	if len(*in.PolicyDocument) > maxPolicyBytes {
		return nil, &api.MalformedPolicyException{Message: "Policy document is longer than 2048 characters"}
	}
	if _, err := policy.Parse([]byte(*in.PolicyDocument), policy.Identity); err != nil {
		return nil, &api.MalformedPolicyException{Message: err.Error()}
	}
	err := s.update(ctx, func(tx *change) error {
		if err := absent(tx, &api.ResourceAlreadyExistsException{Message: "Policy cannot be created - name already exists (name=" + name + ")"}, rowPolicy, name); err != nil {
			return err
		}
		return put(tx, &policyRow{*in.PolicyDocument, s.date()}, rowPolicy, name)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "policy", name)
	return &api.CreatePolicyOutput{
		PolicyName: &name, PolicyArn: new(s.arn("policy", name)), PolicyDocument: in.PolicyDocument, PolicyVersionId: new(policyVersion),
	}, nil
}

// GetPolicy shows a policy. Errors: ResourceNotFoundException.
func (s *Service) GetPolicy(ctx context.Context, in *api.GetPolicyInput) (*api.GetPolicyOutput, error) {
	name := *in.PolicyName
	if err := s.allow(ctx, "GetPolicy", s.arn("policy", name)); err != nil {
		return nil, err
	}
	var p *policyRow
	err := s.db.View(ctx, func(r meta.Reader) (err error) { p, err = get[policyRow](r, rowPolicy, name); return err })
	if err != nil {
		return nil, orNotFound(err, "Policy", name)
	}
	return &api.GetPolicyOutput{
		PolicyName: &name, PolicyArn: new(s.arn("policy", name)), PolicyDocument: &p.Document, DefaultVersionId: new(policyVersion),
		CreationDate: &p.Created, LastModifiedDate: &p.Created,
	}, nil
}

// ListPolicies lists policies by name.
func (s *Service) ListPolicies(ctx context.Context, in *api.ListPoliciesInput) (*api.ListPoliciesOutput, error) {
	if err := s.allow(ctx, "ListPolicies", "*"); err != nil {
		return nil, err
	}
	out := &api.ListPoliciesOutput{Policies: []*api.Policy{}}
	var err error
	out.NextMarker, err = list(ctx, s, page{in.Marker, in.PageSize, descending(in.AscendingOrder)}, func(name string, _ *policyRow) bool {
		out.Policies = append(out.Policies, &api.Policy{PolicyName: &name, PolicyArn: new(s.arn("policy", name))})
		return true
	}, rowPolicy)
	return out, err
}

// DeletePolicy deletes a policy that is attached to nothing. Errors: ResourceNotFoundException, DeleteConflictException.
func (s *Service) DeletePolicy(ctx context.Context, in *api.DeletePolicyInput) (*api.DeletePolicyOutput, error) {
	name := *in.PolicyName
	if err := s.allow(ctx, "DeletePolicy", s.arn("policy", name)); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *change) error {
		if err := present(tx, notFound("Policy", name), rowPolicy, name); err != nil {
			return err
		}
		attached, err := names(tx, rowPolicyCert, name)
		if err != nil {
			return err
		}
		if len(attached) > 0 {
			return &api.DeleteConflictException{Message: "The policy cannot be deleted as the policy is attached to one or more principals (name=" + name + ")"}
		}
		tx.remove(rowPolicy, name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "policy", name)
	return &api.DeletePolicyOutput{}, nil
}

// AttachPolicy attaches a policy to a certificate. Errors: ResourceNotFoundException, LimitExceededException, InvalidRequestException.
func (s *Service) AttachPolicy(ctx context.Context, in *api.AttachPolicyInput) (*api.AttachPolicyOutput, error) {
	if err := s.onTarget(ctx, "AttachPolicy", *in.PolicyName, *in.Target, s.attach); err != nil {
		return nil, err
	}
	return &api.AttachPolicyOutput{}, nil
}

func (s *Service) attach(tx *change, id, policyName string) error {
	if err := present(tx, notFound("Policy", policyName), rowPolicy, policyName); err != nil {
		return err
	}
	attached, err := names(tx, rowCertPolicy, id)
	if err != nil {
		return err
	}
	if there, err := has(tx, rowCertPolicy, id, policyName); err != nil || there {
		return err
	}
	if len(attached) >= maxCertPolicies {
		return &api.LimitExceededException{Message: "At most 10 policies can be attached to a certificate."}
	}
	return tx.connect(rowCertPolicy, rowPolicyCert, id, policyName)
}

// DetachPolicy takes a policy off a certificate. Errors: ResourceNotFoundException, InvalidRequestException.
func (s *Service) DetachPolicy(ctx context.Context, in *api.DetachPolicyInput) (*api.DetachPolicyOutput, error) {
	err := s.onTarget(ctx, "DetachPolicy", *in.PolicyName, *in.Target, func(tx *change, id, policyName string) error {
		tx.disconnect(rowCertPolicy, rowPolicyCert, id, policyName)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DetachPolicyOutput{}, nil
}

func (s *Service) onTarget(ctx context.Context, operation, policyName, target string, do func(tx *change, id, policyName string) error) error {
	if err := s.allow(ctx, operation, target); err != nil {
		return err
	}
	id, err := s.certificateOf(target)
	if err != nil {
		return err
	}
	s.note(ctx, "policy", policyName)
	s.note(ctx, "cert", id)
	return s.update(ctx, func(tx *change) error {
		if _, err := get[certificate](tx, rowCertificate, id); err != nil {
			return orNotFound(err, "Certificate", id)
		}
		return do(tx, id, policyName)
	})
}

// ListAttachedPolicies lists the policies of a certificate. Errors: ResourceNotFoundException, InvalidRequestException.
func (s *Service) ListAttachedPolicies(ctx context.Context, in *api.ListAttachedPoliciesInput) (*api.ListAttachedPoliciesOutput, error) {
	if err := s.allow(ctx, "ListAttachedPolicies", *in.Target); err != nil {
		return nil, err
	}
	id, err := s.certificateOf(*in.Target)
	if err != nil {
		return nil, err
	}
	err = s.db.View(ctx, func(r meta.Reader) error { _, err := get[certificate](r, rowCertificate, id); return err })
	if err != nil {
		return nil, orNotFound(err, "Certificate", id)
	}
	out := &api.ListAttachedPoliciesOutput{Policies: []*api.Policy{}}
	out.NextMarker, err = list(ctx, s, page{token: in.Marker, most: in.PageSize}, func(name string, _ *link) bool {
		out.Policies = append(out.Policies, &api.Policy{PolicyName: &name, PolicyArn: new(s.arn("policy", name))})
		return true
	}, rowCertPolicy, id)
	return out, err
}

// ListTargetsForPolicy lists the ARNs of the certificates that have a policy. Errors: ResourceNotFoundException.
func (s *Service) ListTargetsForPolicy(ctx context.Context, in *api.ListTargetsForPolicyInput) (*api.ListTargetsForPolicyOutput, error) {
	name := *in.PolicyName
	if err := s.allow(ctx, "ListTargetsForPolicy", s.arn("policy", name)); err != nil {
		return nil, err
	}
	err := s.db.View(ctx, func(r meta.Reader) error { _, err := get[policyRow](r, rowPolicy, name); return err })
	if err != nil {
		return nil, orNotFound(err, "Policy", name)
	}
	out := &api.ListTargetsForPolicyOutput{Targets: []string{}}
	out.NextMarker, err = list(ctx, s, page{token: in.Marker, most: in.PageSize}, func(id string, _ *link) bool {
		out.Targets = append(out.Targets, s.arn("cert", id))
		return true
	}, rowPolicyCert, name)
	return out, err
}
