// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func settingCases() []kit.Case {
	update := func(c *kit.Clients, name, version *string) error {
		return kit.Run(c, c.Video.UpdateStream, &kinesisvideo.UpdateStreamInput{StreamName: name, CurrentVersion: version, MediaType: aws.String("video/h264")})
	}
	retain := func(c *kit.Clients, name, version *string) error {
		return kit.Run(c, c.Video.UpdateDataRetention, &kinesisvideo.UpdateDataRetentionInput{
			StreamName: name, CurrentVersion: version, DataRetentionChangeInHours: aws.Int32(1),
			Operation: types.UpdateDataRetentionOperationIncreaseDataRetention,
		})
	}
	store := func(c *kit.Clients, name, version *string) error {
		return kit.Run(c, c.Video.UpdateStreamStorageConfiguration, &kinesisvideo.UpdateStreamStorageConfigurationInput{
			StreamName: name, CurrentVersion: version,
			StreamStorageConfiguration: &types.StreamStorageConfiguration{DefaultStorageTier: types.DefaultStorageTierWarm},
		})
	}
	storage := func(c *kit.Clients, name *string) error {
		in := &kinesisvideo.DescribeStreamStorageConfigurationInput{StreamName: name}
		return kit.Run(c, c.Video.DescribeStreamStorageConfiguration, in, func(o *kinesisvideo.DescribeStreamStorageConfigurationOutput) error {
			return kit.Want("tier", o.StreamStorageConfiguration.DefaultStorageTier, types.DefaultStorageTierHot)
		})
	}
	endpoint := func(c *kit.Clients, name *string) error {
		in := &kinesisvideo.GetDataEndpointInput{StreamName: name, APIName: types.APINamePutMedia}
		return kit.Run(c, c.Video.GetDataEndpoint, in, func(o *kinesisvideo.GetDataEndpointOutput) error {
			return kit.True("a URL", strings.HasPrefix(*o.DataEndpoint, "http"))
		})
	}
	return []kit.Case{
		versioned("UpdateStream", update, func(s *Stream) any { return aws.ToString(s.info().MediaType) }),
		versioned("UpdateDataRetention", retain, func(s *Stream) any { return *s.info().DataRetentionInHours }),
		versioned("UpdateStreamStorageConfiguration", store, tier),
		on("DescribeStreamStorageConfiguration", storage, detail{}),
		on("GetDataEndpoint", endpoint, detail{}),
	}
}

// tier is where the stream's media lies.
func tier(s *Stream) any {
	s.w.T.Helper()
	out, err := s.w.Admin.Video.DescribeStreamStorageConfiguration(s.w.Admin.Ctx, &kinesisvideo.DescribeStreamStorageConfigurationInput{StreamName: &s.Name})
	s.w.Must(err)
	return out.StreamStorageConfiguration.DefaultStorageTier
}
