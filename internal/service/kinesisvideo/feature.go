// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
)

// What follows is stored and described, and has no effect: no images are generated, no
// notifications sent, and there is one storage tier.

// UpdateImageGenerationConfiguration stores the configuration, or deletes it when there is none.
//
// Errors: NoDataRetentionException, ResourceNotFoundException, InvalidArgumentException; also for a sealed stream, of
// which nobody here can make an image.
func (s *Service) UpdateImageGenerationConfiguration(ctx context.Context, in *kvapi.UpdateImageGenerationConfigurationInput) (*kvapi.UpdateImageGenerationConfigurationOutput, error) {
	q := request{action: "UpdateImageGenerationConfiguration", name: in.StreamName, arn: in.StreamARN}
	if in.ImageGenerationConfiguration != nil {
		if err := s.unsupported(ctx, q, invalid(unreadable)); err != nil {
			return nil, err
		}
	}
	_, _, err := s.update(ctx, q, nil, func(st *stream) error {
		if st.RetentionHours == 0 {
			return noRetention()
		}
		st.Images = in.ImageGenerationConfiguration
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kvapi.UpdateImageGenerationConfigurationOutput{}, nil
}

// DescribeImageGenerationConfiguration returns what was stored.
func (s *Service) DescribeImageGenerationConfiguration(ctx context.Context, in *kvapi.DescribeImageGenerationConfigurationInput) (*kvapi.DescribeImageGenerationConfigurationOutput, error) {
	st, err := s.find(ctx, request{action: "DescribeImageGenerationConfiguration", name: in.StreamName, arn: in.StreamARN})
	if err != nil {
		return nil, err
	}
	return &kvapi.DescribeImageGenerationConfigurationOutput{ImageGenerationConfiguration: st.Images}, nil
}

// UpdateNotificationConfiguration stores the configuration, or deletes it when there is none.
//
// Errors: NoDataRetentionException, ResourceNotFoundException, InvalidArgumentException.
func (s *Service) UpdateNotificationConfiguration(ctx context.Context, in *kvapi.UpdateNotificationConfigurationInput) (*kvapi.UpdateNotificationConfigurationOutput, error) {
	q := request{action: "UpdateNotificationConfiguration", name: in.StreamName, arn: in.StreamARN}
	_, _, err := s.update(ctx, q, nil, func(st *stream) error {
		if st.RetentionHours == 0 {
			return noRetention()
		}
		st.Notification = in.NotificationConfiguration
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kvapi.UpdateNotificationConfigurationOutput{}, nil
}

// DescribeNotificationConfiguration returns what was stored.
func (s *Service) DescribeNotificationConfiguration(ctx context.Context, in *kvapi.DescribeNotificationConfigurationInput) (*kvapi.DescribeNotificationConfigurationOutput, error) {
	st, err := s.find(ctx, request{action: "DescribeNotificationConfiguration", name: in.StreamName, arn: in.StreamARN})
	if err != nil {
		return nil, err
	}
	return &kvapi.DescribeNotificationConfigurationOutput{NotificationConfiguration: st.Notification}, nil
}

// UpdateStreamStorageConfiguration stores the tier.
//
// Errors: VersionMismatchException, ResourceNotFoundException, InvalidArgumentException.
func (s *Service) UpdateStreamStorageConfiguration(ctx context.Context, in *kvapi.UpdateStreamStorageConfigurationInput) (*kvapi.UpdateStreamStorageConfigurationOutput, error) {
	q := request{action: "UpdateStreamStorageConfiguration", name: in.StreamName, arn: in.StreamARN}
	_, _, err := s.update(ctx, q, in.CurrentVersion, func(st *stream) error {
		st.StorageTier = *in.StreamStorageConfiguration.DefaultStorageTier
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kvapi.UpdateStreamStorageConfigurationOutput{}, nil
}

// DescribeStreamStorageConfiguration returns the stored tier, HOT when there is none.
func (s *Service) DescribeStreamStorageConfiguration(ctx context.Context, in *kvapi.DescribeStreamStorageConfigurationInput) (*kvapi.DescribeStreamStorageConfigurationOutput, error) {
	st, err := s.find(ctx, request{action: "DescribeStreamStorageConfiguration", name: in.StreamName, arn: in.StreamARN})
	if err != nil {
		return nil, err
	}
	tier := st.StorageTier
	if tier == "" {
		tier = kvapi.DefaultStorageTierHot
	}
	return &kvapi.DescribeStreamStorageConfigurationOutput{
		StreamARN:                  ptr(s.arnOf(st)),
		StreamName:                 ptr(st.Name),
		StreamStorageConfiguration: &kvapi.StreamStorageConfiguration{DefaultStorageTier: ptr(tier)},
	}, nil
}
