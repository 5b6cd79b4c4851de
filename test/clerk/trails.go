// SPDX-License-Identifier: Apache-2.0

package clerk

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/obscura-video/obscura/test/rig"
)

// trailTrade makes, changes and deletes a trail. An account has few trails, so each is deleted before the next one.
func trailTrade(s *rig.Server) Trade {
	c := cloudtrail.NewFromConfig(s.V2(s.Root))
	name := func(it *Item) *string { return &it.Name }
	tags := []types.Tag{{Key: aws.String("one"), Value: aws.String("1")}, {Key: aws.String("two"), Value: aws.String("2")}}
	return Trade{
		Name: "trail",
		Observe: func(ctx context.Context, it *Item) (Facts, error) {
			f := Facts{}
			return f, look(func() error { return observeTrail(ctx, c, it, f) })
		},
		Steps: []Step{
			{Event: "CreateTrail", Do: does(option(c.CreateTrail), func(it *Item) *cloudtrail.CreateTrailInput {
				return &cloudtrail.CreateTrailInput{Name: name(it), S3BucketName: aws.String("bucket-one"), TagsList: tags}
			}), Then: is("trail", "bucket-one", "logging", "false", "tags", "2", "selectors", "All")},
			{Event: "StartLogging", Do: does(option(c.StartLogging), func(it *Item) *cloudtrail.StartLoggingInput {
				return &cloudtrail.StartLoggingInput{Name: name(it)}
			}), Then: is("logging", "true")},
			{Event: "PutEventSelectors", Do: does(option(c.PutEventSelectors), func(it *Item) *cloudtrail.PutEventSelectorsInput {
				return &cloudtrail.PutEventSelectorsInput{TrailName: name(it), EventSelectors: []types.EventSelector{{ReadWriteType: types.ReadWriteTypeWriteOnly}}}
			}), Then: is("selectors", "WriteOnly")},
			{Event: "UpdateTrail", Do: does(option(c.UpdateTrail), func(it *Item) *cloudtrail.UpdateTrailInput {
				return &cloudtrail.UpdateTrailInput{Name: name(it), S3BucketName: aws.String("bucket-two")}
			}), Then: is("trail", "bucket-two")},
			{Event: "RemoveTags", Do: does(option(c.RemoveTags), func(it *Item) *cloudtrail.RemoveTagsInput {
				return &cloudtrail.RemoveTagsInput{ResourceId: trailARN(it), TagsList: tags}
			}), Then: ends("tags")},
			{Event: "StopLogging", Do: does(option(c.StopLogging), func(it *Item) *cloudtrail.StopLoggingInput {
				return &cloudtrail.StopLoggingInput{Name: name(it)}
			}), Then: is("logging", "false")},
			{Event: "DeleteTrail", Do: does(option(c.DeleteTrail), func(it *Item) *cloudtrail.DeleteTrailInput {
				return &cloudtrail.DeleteTrailInput{Name: name(it)}
			}), Then: ends("trail", "logging", "selectors", "tags")},
		},
	}
}

func trailARN(it *Item) *string {
	return aws.String("arn:aws:cloudtrail:" + rig.Region + ":" + rig.Account + ":trail/" + it.Name)
}

func observeTrail(ctx context.Context, c *cloudtrail.Client, it *Item, f Facts) error {
	trail, err := c.GetTrail(ctx, &cloudtrail.GetTrailInput{Name: &it.Name})
	if err != nil {
		return err
	}
	f["trail"] = *trail.Trail.S3BucketName
	status, err := c.GetTrailStatus(ctx, &cloudtrail.GetTrailStatusInput{Name: &it.Name})
	if err != nil {
		return err
	}
	f["logging"] = fmt.Sprint(value(status.IsLogging))
	selectors, err := c.GetEventSelectors(ctx, &cloudtrail.GetEventSelectorsInput{TrailName: &it.Name})
	if err != nil {
		return err
	}
	for _, e := range selectors.EventSelectors {
		f["selectors"] += string(e.ReadWriteType)
	}
	tags, err := c.ListTags(ctx, &cloudtrail.ListTagsInput{ResourceIdList: []string{*trailARN(it)}})
	if err == nil {
		f.count("tags", len(tags.ResourceTagList[0].TagsList))
	}
	return err
}
