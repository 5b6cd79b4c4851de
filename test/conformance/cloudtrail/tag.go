// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func addTags(c *kit.Clients, trailARN string, tags []types.Tag) error {
	return kit.Run(c, c.Trail.AddTags, &cloudtrail.AddTagsInput{ResourceId: &trailARN, TagsList: tags})
}

func removeTags(c *kit.Clients, trailARN string, tags []types.Tag) error {
	return kit.Run(c, c.Trail.RemoveTags, &cloudtrail.RemoveTagsInput{ResourceId: &trailARN, TagsList: tags})
}

func listTags(c *kit.Clients, trailARN string) (tags []types.Tag, err error) {
	err = kit.Run(c, c.Trail.ListTags, &cloudtrail.ListTagsInput{ResourceIdList: []string{trailARN}}, func(o *cloudtrail.ListTagsOutput) error {
		tags = o.ResourceTagList[0].TagsList
		return nil
	})
	return tags, err
}

// tagCase is the case of an operation on the tags of a trail, which is called by its ARN.
func tagCase(op string, do named, changes bool, errors kit.Errors) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			trailARN := arn(w, newTrail(w))
			w.Must(addTags(w.Admin, trailARN, tags(1)))
			good := kit.Call{Needs: kit.On(trailARN), Do: func(c *kit.Clients) error { return do(c, trailARN) }}
			if changes {
				good.Changes = func() any {
					all, err := listTags(w.Admin, trailARN)
					w.Must(err)
					return all
				}
			}
			return good
		},
		Errors: kit.Merge(misnamed(do), kit.Errors{
			"ResourceNotFoundException": func(w *kit.World) error { return do(w.Admin, arn(w, absent)) },
			"ResourceTypeNotSupportedException": func(w *kit.World) error {
				return do(w.Admin, w.ARN("cloudtrail", "eventdatastore/12345678-1234-1234-1234-123456789012"))
			},
		}, errors),
	}
}

func tagCases() []kit.Case {
	add := func(c *kit.Clients, trailARN string) error { return addTags(c, trailARN, tags(3)) }
	remove := func(c *kit.Clients, trailARN string) error { return removeTags(c, trailARN, tags(1)) }
	list := func(c *kit.Clients, trailARN string) error {
		got, err := listTags(c, trailARN)
		if err != nil {
			return err
		}
		return kit.True("the one tag", len(got) == 1 && *got[0].Key == *tags(1)[0].Key && *got[0].Value == *tags(1)[0].Value)
	}
	return []kit.Case{
		tagCase("AddTags", add, true, kit.Errors{
			"InvalidTagParameterException": func(w *kit.World) error { return addTags(w.Admin, arn(w, newTrail(w)), twice()) },
			"TagsLimitExceededException":   func(w *kit.World) error { return addTags(w.Admin, arn(w, newTrail(w)), tags(51)) },
		}),
		tagCase("RemoveTags", remove, true, kit.Errors{
			"InvalidTagParameterException": func(w *kit.World) error { return removeTags(w.Admin, arn(w, newTrail(w)), twice()) },
		}),
		tagCase("ListTags", list, false, kit.Errors{
			"InvalidTokenException": func(w *kit.World) error {
				in := &cloudtrail.ListTagsInput{ResourceIdList: []string{arn(w, newTrail(w))}, NextToken: aws.String("no token of ours")}
				return kit.Run(w.Admin, w.Admin.Trail.ListTags, in)
			},
			"OperationNotPermittedException": func(w *kit.World) error {
				in := &cloudtrail.ListTagsInput{}
				for range 21 {
					in.ResourceIdList = append(in.ResourceIdList, arn(w, absent))
				}
				return kit.Run(w.Admin, w.Admin.Trail.ListTags, in)
			},
		}),
	}
}
