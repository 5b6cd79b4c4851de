// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

// template is a row. Its name is its key; it has one version.
type template struct {
	Body        string    `json:"body"`
	Description string    `json:"description,omitempty"`
	Enabled     bool      `json:"enabled"`
	RoleARN     string    `json:"role"`
	Created     time.Time `json:"created"`
	Modified    time.Time `json:"modified"`
}

const templateVersion = 1

// CreateProvisioningTemplate makes a template by which devices with a claim certificate become things. Whoever makes
// it must be allowed what it does: make any thing and attach its policies.
//
// Errors: InvalidRequestException, ResourceAlreadyExistsException.
func (s *Service) CreateProvisioningTemplate(ctx context.Context, in *api.CreateProvisioningTemplateInput) (*api.CreateProvisioningTemplateOutput, error) {
	name := *in.TemplateName
	if err := s.allow(ctx, "CreateProvisioningTemplate", s.arn("provisioningtemplate", name)); err != nil {
		return nil, err
	}
	if err := noTags(in.Tags); err != nil {
		return nil, err
	}
	if in.PreProvisioningHook != nil || in.Type != nil && *in.Type != api.TemplateTypeFleetProvisioning {
		return nil, invalid("Hooks and just-in-time provisioning are not supported by Obscura.")
	}
	plan, err := parseTemplate(*in.TemplateBody)
	if err != nil {
		return nil, invalid("The template body is not valid: %v.", err)
	}
	if err := s.allowTemplate(ctx, plan, *in.ProvisioningRoleArn); err != nil {
		return nil, err
	}
	now := s.date()
	t := &template{
		Body: *in.TemplateBody, Description: value(in.Description), Enabled: value(in.Enabled), RoleARN: *in.ProvisioningRoleArn,
		Created: now, Modified: now,
	}
	err = s.update(ctx, func(tx *change) error {
		if err := absent(tx, &api.ResourceAlreadyExistsException{Message: "Template " + name + " already exists."}, rowTemplate, name); err != nil {
			return err
		}
		return put(tx, t, rowTemplate, name)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "provisioningtemplate", name)
	return &api.CreateProvisioningTemplateOutput{
		TemplateName: &name, TemplateArn: new(s.arn("provisioningtemplate", name)), DefaultVersionId: new(int64(templateVersion)),
	}, nil
}

func (s *Service) allowTemplate(ctx context.Context, p *plan, roleARN string) error {
	if err := s.pass(ctx, roleARN, "iot.amazonaws.com"); err != nil {
		return err
	}
	if err := s.allow(ctx, "CreateThing", s.arn("thing", "*")); err != nil {
		return err
	}
	for _, name := range p.policies {
		if err := s.allow(ctx, "AttachPolicy", s.arn("policy", name)); err != nil {
			return err
		}
	}
	return nil
}

// DescribeProvisioningTemplate shows a template. Errors: ResourceNotFoundException.
func (s *Service) DescribeProvisioningTemplate(ctx context.Context, in *api.DescribeProvisioningTemplateInput) (*api.DescribeProvisioningTemplateOutput, error) {
	name := *in.TemplateName
	if err := s.allow(ctx, "DescribeProvisioningTemplate", s.arn("provisioningtemplate", name)); err != nil {
		return nil, err
	}
	t, err := s.template(ctx, name)
	if err != nil {
		return nil, err
	}
	return &api.DescribeProvisioningTemplateOutput{
		TemplateName: &name, TemplateArn: new(s.arn("provisioningtemplate", name)), TemplateBody: &t.Body, Description: optional(t.Description),
		Enabled: &t.Enabled, ProvisioningRoleArn: &t.RoleARN, DefaultVersionId: new(int64(templateVersion)),
		CreationDate: &t.Created, LastModifiedDate: &t.Modified, Type: new(api.TemplateTypeFleetProvisioning),
	}, nil
}

func (s *Service) template(ctx context.Context, name string) (t *template, err error) {
	err = s.db.View(ctx, func(r meta.Reader) (err error) { t, err = get[template](r, rowTemplate, name); return err })
	return t, orNotFound(err, "Template", name)
}

// ListProvisioningTemplates lists templates by name.
func (s *Service) ListProvisioningTemplates(ctx context.Context, in *api.ListProvisioningTemplatesInput) (*api.ListProvisioningTemplatesOutput, error) {
	if err := s.allow(ctx, "ListProvisioningTemplates", "*"); err != nil {
		return nil, err
	}
	out := &api.ListProvisioningTemplatesOutput{Templates: []*api.ProvisioningTemplateSummary{}}
	var err error
	out.NextToken, err = list(ctx, s, page{token: in.NextToken, most: in.MaxResults}, func(name string, t *template) bool {
		out.Templates = append(out.Templates, &api.ProvisioningTemplateSummary{
			TemplateName: &name, TemplateArn: new(s.arn("provisioningtemplate", name)), Description: optional(t.Description),
			Enabled: &t.Enabled, CreationDate: &t.Created, LastModifiedDate: &t.Modified, Type: new(api.TemplateTypeFleetProvisioning),
		})
		return true
	}, rowTemplate)
	return out, err
}

// UpdateProvisioningTemplate changes everything but the body. Errors: ResourceNotFoundException, InvalidRequestException.
func (s *Service) UpdateProvisioningTemplate(ctx context.Context, in *api.UpdateProvisioningTemplateInput) (*api.UpdateProvisioningTemplateOutput, error) {
	name := *in.TemplateName
	if err := s.allow(ctx, "UpdateProvisioningTemplate", s.arn("provisioningtemplate", name)); err != nil {
		return nil, err
	}
	if in.ProvisioningRoleArn != nil {
		if err := s.pass(ctx, *in.ProvisioningRoleArn, "iot.amazonaws.com"); err != nil {
			return nil, err
		}
	}
	if in.PreProvisioningHook != nil || in.DefaultVersionId != nil && *in.DefaultVersionId != templateVersion {
		return nil, invalid("Hooks and versions of templates are not supported by Obscura.")
	}
	err := s.update(ctx, func(tx *change) error {
		t, err := get[template](tx, rowTemplate, name)
		if err != nil {
			return orNotFound(err, "Template", name)
		}
		set(&t.Description, in.Description)
		set(&t.Enabled, in.Enabled)
		set(&t.RoleARN, in.ProvisioningRoleArn)
		t.Modified = s.date()
		return put(tx, t, rowTemplate, name)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "provisioningtemplate", name)
	return &api.UpdateProvisioningTemplateOutput{}, nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// DeleteProvisioningTemplate deletes a template; its claims are worth nothing without it. Errors: ResourceNotFoundException.
func (s *Service) DeleteProvisioningTemplate(ctx context.Context, in *api.DeleteProvisioningTemplateInput) (*api.DeleteProvisioningTemplateOutput, error) {
	name := *in.TemplateName
	if err := s.allow(ctx, "DeleteProvisioningTemplate", s.arn("provisioningtemplate", name)); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *change) error {
		if err := present(tx, notFound("Template", name), rowTemplate, name); err != nil {
			return err
		}
		tx.remove(rowTemplate, name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "provisioningtemplate", name)
	return &api.DeleteProvisioningTemplateOutput{}, nil
}
