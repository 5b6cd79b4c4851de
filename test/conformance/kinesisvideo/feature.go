// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func putImages(c *kit.Clients, name *string) error {
	return kit.Run(c, c.Video.UpdateImageGenerationConfiguration, &kinesisvideo.UpdateImageGenerationConfigurationInput{
		StreamName: name,
		ImageGenerationConfiguration: &types.ImageGenerationConfiguration{
			Status: types.ConfigurationStatusEnabled, Format: types.FormatJpeg, ImageSelectorType: types.ImageSelectorTypeProducerTimestamp,
			SamplingInterval: aws.Int32(3000), DestinationConfig: &types.ImageGenerationDestinationConfig{DestinationRegion: aws.String("us-east-1"), Uri: aws.String("s3://conformance")},
		},
	})
}

func putNotification(c *kit.Clients, name *string) error {
	return kit.Run(c, c.Video.UpdateNotificationConfiguration, &kinesisvideo.UpdateNotificationConfigurationInput{
		StreamName: name,
		NotificationConfiguration: &types.NotificationConfiguration{
			Status: types.ConfigurationStatusEnabled, DestinationConfig: &types.NotificationDestinationConfig{Uri: aws.String("sns://conformance")},
		},
	})
}

func images(c *kit.Clients, name *string, got ...func(*kinesisvideo.DescribeImageGenerationConfigurationOutput) error) error {
	return kit.Run(c, c.Video.DescribeImageGenerationConfiguration, &kinesisvideo.DescribeImageGenerationConfigurationInput{StreamName: name}, got...)
}

func notification(c *kit.Clients, name *string, got ...func(*kinesisvideo.DescribeNotificationConfigurationOutput) error) error {
	return kit.Run(c, c.Video.DescribeNotificationConfiguration, &kinesisvideo.DescribeNotificationConfigurationInput{StreamName: name}, got...)
}

// featureCases are of what a stream's media is to be used for.
func featureCases() []kit.Case {
	// set makes a configuration before it is described.
	set := func(do named) func(s *Stream) {
		return func(s *Stream) { s.w.T.Helper(); s.w.Must(do(s.w.Admin, &s.Name)) }
	}
	unkept := func(do named) kit.Errors {
		return kit.Errors{"NoDataRetentionException": func(w *kit.World) error { return do(w.Admin, &New(w, Options{Unkept: true}).Name) }}
	}
	return []kit.Case{
		on("UpdateImageGenerationConfiguration", putImages, detail{errors: unkept(putImages), never: alwaysActive(), changes: func(s *Stream) (enabled any) {
			s.w.Must(images(s.w.Admin, &s.Name, func(o *kinesisvideo.DescribeImageGenerationConfigurationOutput) error {
				enabled = o.ImageGenerationConfiguration != nil
				return nil
			}))
			return enabled
		}}),
		on("DescribeImageGenerationConfiguration", func(c *kit.Clients, name *string) error {
			return images(c, name, func(o *kinesisvideo.DescribeImageGenerationConfigurationOutput) error {
				return kit.Want("format", o.ImageGenerationConfiguration.Format, types.FormatJpeg)
			})
		}, detail{prepare: set(putImages)}),
		on("UpdateNotificationConfiguration", putNotification, detail{errors: unkept(putNotification), never: alwaysActive(), changes: func(s *Stream) (enabled any) {
			s.w.Must(notification(s.w.Admin, &s.Name, func(o *kinesisvideo.DescribeNotificationConfigurationOutput) error {
				enabled = o.NotificationConfiguration != nil
				return nil
			}))
			return enabled
		}}),
		on("DescribeNotificationConfiguration", func(c *kit.Clients, name *string) error {
			return notification(c, name, func(o *kinesisvideo.DescribeNotificationConfigurationOutput) error {
				return kit.Want("status", o.NotificationConfiguration.Status, types.ConfigurationStatusEnabled)
			})
		}, detail{prepare: set(putNotification)}),
	}
}
