// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"context"
	"fmt"
	"slices"
	"strings"

	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
)

const (
	maxSelectors      = 5
	maxDataResources  = 250 // in all selectors of a trail
	maxAdvancedValues = 500 // likewise
)

// PutEventSelectors says which events a trail is to deliver. Basic and advanced selectors replace each other.
//
// Errors: InvalidEventSelectorsException; those of GetTrail.
//
// Source: CloudTrail API Reference, PutEventSelectors, EventSelector, AdvancedFieldSelector.
func (s *Service) PutEventSelectors(ctx context.Context, in *api.PutEventSelectorsInput) (*api.PutEventSelectorsOutput, error) {
	name, err := s.begin(ctx, "PutEventSelectors", *in.TrailName)
	if err != nil {
		return nil, err
	}
	switch {
	case len(in.EventSelectors) > 0 && len(in.AdvancedEventSelectors) > 0:
		return nil, invalidSelector("Basic and advanced event selectors cannot be used together.")
	case len(in.EventSelectors) == 0 && len(in.AdvancedEventSelectors) == 0:
		return nil, invalidSelector("At least one event selector is needed.")
	}
	if err := checkBasic(in.EventSelectors); err != nil {
		return nil, err
	}
	if err := checkAdvanced(in.AdvancedEventSelectors); err != nil {
		return nil, err
	}
	t, err := s.update(ctx, name, func(t *trail) error {
		t.Selectors, t.AdvancedRules = in.EventSelectors, in.AdvancedEventSelectors
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.PutEventSelectorsOutput{
		TrailARN: new(s.trailARN(name)), EventSelectors: t.Selectors, AdvancedEventSelectors: t.AdvancedRules,
	}, nil
}

// GetEventSelectors returns the selectors of a trail, by default one for all management events.
func (s *Service) GetEventSelectors(ctx context.Context, in *api.GetEventSelectorsInput) (*api.GetEventSelectorsOutput, error) {
	name, err := s.begin(ctx, "GetEventSelectors", *in.TrailName)
	if err != nil {
		return nil, err
	}
	t, err := s.view(ctx, name)
	if err != nil {
		return nil, err
	}
	out := &api.GetEventSelectorsOutput{
		TrailARN: new(s.trailARN(name)), EventSelectors: t.Selectors, AdvancedEventSelectors: t.AdvancedRules,
	}
	if len(out.EventSelectors) == 0 && len(out.AdvancedEventSelectors) == 0 {
		out.EventSelectors = []*api.EventSelector{complete(&api.EventSelector{})}
	}
	return out, nil
}

// GetInsightSelectors answers InsightNotEnabledException: there are no insights.
//
// Errors: InvalidParameterCombinationException for a trail and an event data store, InvalidParameterException for
// neither; UnsupportedOperationException for an event data store; those of GetTrail.
func (s *Service) GetInsightSelectors(ctx context.Context, in *api.GetInsightSelectorsInput) (*api.GetInsightSelectorsOutput, error) {
	if in.TrailName == nil || in.EventDataStore != nil {
		return nil, s.noInsights(ctx, in)
	}
	name, err := s.begin(ctx, "GetInsightSelectors", *in.TrailName)
	if err != nil {
		return nil, err
	}
	if _, err := s.view(ctx, name); err != nil {
		return nil, err
	}
	return nil, &api.InsightNotEnabledException{Message: "Trail " + name + " does not have Insights enabled."}
}

// noInsights is the error of a question that is not about one trail. It is decided on what the question names.
func (s *Service) noInsights(ctx context.Context, in *api.GetInsightSelectorsInput) error {
	resource := "*"
	if in.EventDataStore != nil {
		resource = *in.EventDataStore
	}
	if err := s.authorize(ctx, "GetInsightSelectors", resource); err != nil {
		return err
	}
	switch {
	case in.EventDataStore == nil:
		return &api.InvalidParameterException{Message: "You must specify a trail name or an event data store."}
	case in.TrailName != nil:
		return &api.InvalidParameterCombinationException{Message: "You cannot specify both a trail name and an event data store."}
	}
	return &api.UnsupportedOperationException{Message: "This server has no event data stores."}
}

func invalidSelector(format string, args ...any) error {
	return &api.InvalidEventSelectorsException{Message: fmt.Sprintf(format, args...)}
}

// complete fills in the defaults of a basic selector.
func complete(e *api.EventSelector) *api.EventSelector {
	if e.ReadWriteType == nil {
		e.ReadWriteType = new(api.ReadWriteTypeAll)
	}
	if e.IncludeManagementEvents == nil {
		e.IncludeManagementEvents = new(true)
	}
	if e.DataResources == nil {
		e.DataResources = []*api.DataResource{}
	}
	if e.ExcludeManagementEventSources == nil {
		e.ExcludeManagementEventSources = []string{}
	}
	return e
}

// custom says that the selectors are not the default ones.
func (t *trail) custom() bool {
	if len(t.AdvancedRules) > 0 || len(t.Selectors) > 1 {
		return true
	}
	for _, e := range t.Selectors {
		if *e.ReadWriteType != api.ReadWriteTypeAll || !*e.IncludeManagementEvents ||
			len(e.DataResources) > 0 || len(e.ExcludeManagementEventSources) > 0 {
			return true
		}
	}
	return false
}

// checkBasic checks basic selectors and fills in their defaults.
func checkBasic(selectors []*api.EventSelector) error {
	if len(selectors) > maxSelectors {
		return invalidSelector("A trail can have at most %d event selectors.", maxSelectors)
	}
	resources := 0
	for _, e := range selectors {
		complete(e)
		for _, d := range e.DataResources {
			if err := checkDataResource(d); err != nil {
				return err
			}
			resources += len(d.Values)
		}
		for _, source := range e.ExcludeManagementEventSources {
			if source != "kms.amazonaws.com" && source != "rdsdata.amazonaws.com" {
				return invalidSelector("Management events of %s cannot be excluded.", source)
			}
			if !*e.IncludeManagementEvents {
				return invalidSelector("Sources can be excluded only where management events are included.")
			}
		}
	}
	if resources > maxDataResources {
		return invalidSelector("A trail can have at most %d data resources.", maxDataResources)
	}
	return nil
}

func checkDataResource(d *api.DataResource) error {
	prefix := ""
	if d.Type != nil {
		switch *d.Type {
		case "AWS::S3::Object":
			prefix = "arn:aws:s3"
		case "AWS::Lambda::Function":
			prefix = "arn:aws:lambda"
		case "AWS::DynamoDB::Table":
			prefix = "arn:aws:dynamodb"
		}
	}
	if prefix == "" {
		return invalidSelector("The resource type is not one of basic event selectors.")
	}
	for _, v := range d.Values {
		if v != prefix && !strings.HasPrefix(v, prefix+":") {
			return invalidSelector("Value %s is not valid for %s.", v, *d.Type)
		}
	}
	return nil
}

// checkAdvanced checks advanced selectors: each names one category, and data events name their type.
func checkAdvanced(selectors []*api.AdvancedEventSelector) error {
	values := 0
	for _, e := range selectors {
		seen := map[string]*api.AdvancedFieldSelector{}
		for _, f := range e.FieldSelectors {
			if !slices.Contains(advancedFields, *f.Field) {
				return invalidSelector("Field %s is not valid.", *f.Field)
			}
			if seen[*f.Field] != nil {
				return invalidSelector("Field %s is given more than once.", *f.Field)
			}
			seen[*f.Field] = f
			n := len(f.Equals) + len(f.StartsWith) + len(f.EndsWith) + len(f.NotEquals) + len(f.NotStartsWith) + len(f.NotEndsWith)
			if n == 0 {
				return invalidSelector("Field %s has no operator.", *f.Field)
			}
			values += n
		}
		category := seen["eventCategory"]
		if category == nil || len(category.Equals) != 1 || !slices.Contains([]string{"Management", "Data", "NetworkActivity"}, category.Equals[0]) {
			return invalidSelector("Each selector needs eventCategory equal to Management, Data or NetworkActivity.")
		}
		if kind := seen["resources.type"]; category.Equals[0] == "Data" && (kind == nil || len(kind.Equals) != 1) {
			return invalidSelector("A selector of data events needs resources.type equal to one type.")
		}
	}
	if values > maxAdvancedValues {
		return invalidSelector("A trail can have at most %d values in its advanced event selectors.", maxAdvancedValues)
	}
	return nil
}

var advancedFields = []string{
	"eventCategory", "resources.type", "resources.ARN", "readOnly", "eventName", "eventSource", "eventType",
	"errorCode", "vpcEndpointId", "userIdentity.arn", "sessionCredentialFromConsole",
}
