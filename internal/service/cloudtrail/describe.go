// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"context"
	"errors"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/meta"
)

// DescribeTrails returns the named trails, or all of them. A named trail that does not exist is left out.
//
// Errors: InvalidTrailNameException, CloudTrailARNInvalidException.
func (s *Service) DescribeTrails(ctx context.Context, in *api.DescribeTrailsInput) (*api.DescribeTrailsOutput, error) {
	if err := s.authorize(ctx, "DescribeTrails", "*"); err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, ref := range in.TrailNameList {
		name, err := s.parseRef(ref)
		if _, unknown := errors.AsType[*api.TrailNotFoundException](err); unknown {
			continue
		}
		if err != nil {
			return nil, err
		}
		wanted[name] = true
	}
	all, err := s.trails(ctx)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeTrailsOutput{TrailList: []*api.Trail{}}
	for _, t := range all {
		if len(in.TrailNameList) == 0 || wanted[t.Name] {
			access.AddResource(ctx, s.trailARN(t.Name), trailType)
			out.TrailList = append(out.TrailList, s.describe(t))
		}
	}
	return out, nil
}

// GetTrail returns one trail. Errors: TrailNotFoundException, InvalidTrailNameException,
// CloudTrailARNInvalidException.
func (s *Service) GetTrail(ctx context.Context, in *api.GetTrailInput) (*api.GetTrailOutput, error) {
	name, err := s.begin(ctx, "GetTrail", *in.Name)
	if err != nil {
		return nil, err
	}
	t, err := s.view(ctx, name)
	if err != nil {
		return nil, err
	}
	return &api.GetTrailOutput{Trail: s.describe(t)}, nil
}

// ListTrails returns every trail. There are too few for a second page, so a token is not read.
func (s *Service) ListTrails(ctx context.Context, _ *api.ListTrailsInput) (*api.ListTrailsOutput, error) {
	if err := s.authorize(ctx, "ListTrails", "*"); err != nil {
		return nil, err
	}
	all, err := s.trails(ctx)
	if err != nil {
		return nil, err
	}
	out := &api.ListTrailsOutput{Trails: []*api.TrailInfo{}}
	for _, t := range all {
		out.Trails = append(out.Trails, &api.TrailInfo{TrailARN: new(s.trailARN(t.Name)), Name: new(t.Name), HomeRegion: new(s.Region)})
	}
	return out, nil
}

func (s *Service) trails(ctx context.Context) (all []*trail, err error) {
	err = s.DB.View(ctx, func(r meta.Reader) error {
		all, err = loadAll(r)
		return err
	})
	return all, err
}

func (s *Service) describe(t *trail) *api.Trail {
	d := &api.Trail{
		Name: new(t.Name), TrailARN: new(s.trailARN(t.Name)), HomeRegion: new(s.Region), S3BucketName: new(t.Bucket),
		IncludeGlobalServiceEvents: new(t.GlobalEvents), IsMultiRegionTrail: new(t.MultiRegion),
		LogFileValidationEnabled: new(t.Validation), IsOrganizationTrail: new(false),
		HasCustomEventSelectors: new(t.custom()), HasInsightSelectors: new(false),
	}
	if t.Prefix != "" {
		d.S3KeyPrefix = new(t.Prefix)
	}
	if t.KeyARN != "" {
		d.KmsKeyId = new(t.KeyARN)
	}
	return d
}

// noBucket is the error code of S3 for a bucket that does not exist.
const noBucket = "NoSuchBucket"

// GetTrailStatus says whether a trail logs and since when. Nothing is delivered yet: a trail that logs says that its
// bucket does not exist.
func (s *Service) GetTrailStatus(ctx context.Context, in *api.GetTrailStatusInput) (*api.GetTrailStatusOutput, error) {
	name, err := s.begin(ctx, "GetTrailStatus", *in.Name)
	if err != nil {
		return nil, err
	}
	t, err := s.view(ctx, name)
	if err != nil {
		return nil, err
	}
	out := &api.GetTrailStatusOutput{
		IsLogging: new(t.Logging),
		// The older members are texts; clients print them, so they are there even when empty.
		LatestDeliveryAttemptTime: new(""), LatestDeliveryAttemptSucceeded: new(""),
		LatestNotificationAttemptTime: new(""), LatestNotificationAttemptSucceeded: new(""),
		TimeLoggingStarted: new(""), TimeLoggingStopped: new(""),
	}
	if t.Logging && s.Buckets == nil {
		out.LatestDeliveryError = new(noBucket)
		if t.Validation {
			out.LatestDigestDeliveryError = new(noBucket)
		}
	}
	if !t.Started.IsZero() {
		out.StartLoggingTime, out.TimeLoggingStarted = new(t.Started), new(t.Started.Format(time.RFC3339))
	}
	if !t.Stopped.IsZero() {
		out.StopLoggingTime, out.TimeLoggingStopped = new(t.Stopped), new(t.Stopped.Format(time.RFC3339))
	}
	return out, nil
}

// StartLogging switches a trail on; a trail that is on stays so.
func (s *Service) StartLogging(ctx context.Context, in *api.StartLoggingInput) (*api.StartLoggingOutput, error) {
	name, err := s.begin(ctx, "StartLogging", *in.Name)
	if err != nil {
		return nil, err
	}
	_, err = s.update(ctx, name, func(t *trail) error {
		if !t.Logging {
			t.Logging, t.Started = true, s.Now().UTC().Truncate(time.Second)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.StartLoggingOutput{}, nil
}

// StopLogging switches a trail off. The audit log, and with it LookupEvents, goes on.
func (s *Service) StopLogging(ctx context.Context, in *api.StopLoggingInput) (*api.StopLoggingOutput, error) {
	name, err := s.begin(ctx, "StopLogging", *in.Name)
	if err != nil {
		return nil, err
	}
	_, err = s.update(ctx, name, func(t *trail) error {
		if t.Logging {
			t.Logging, t.Stopped = false, s.Now().UTC().Truncate(time.Second)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.StopLoggingOutput{}, nil
}
