// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// attribute asks for events with a value.
func attribute(key types.LookupAttributeKey, value string) types.LookupAttribute {
	return types.LookupAttribute{AttributeKey: key, AttributeValue: &value}
}

// backwards are times in the wrong order.
func backwards() (start, end *time.Time) {
	return aws.Time(time.Now()), aws.Time(time.Now().Add(-time.Hour))
}

func eventCases() []kit.Case { return []kit.Case{lookup(), publicKeys()} }

func lookup() kit.Case {
	with := func(in *cloudtrail.LookupEventsInput) func(w *kit.World) error {
		return func(w *kit.World) error { return kit.Run(w.Admin, w.Admin.Trail.LookupEvents, in) }
	}
	start, end := backwards()
	return kit.Case{
		Op: "LookupEvents",
		Good: func(w *kit.World) kit.Call {
			return kit.Call{Do: func(c *kit.Clients) error {
				in := &cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{attribute(types.LookupAttributeKeyEventName, "CreateUser")}}
				return kit.Run(c, c.Trail.LookupEvents, in, func(o *cloudtrail.LookupEventsOutput) error {
					for _, e := range o.Events {
						if err := kit.Want("event", []any{*e.EventName, strings.Contains(*e.CloudTrailEvent, *e.EventId)}, []any{"CreateUser", true}); err != nil {
							return err
						}
					}
					return kit.True("the run's own users were made", len(o.Events) > 0 || w.Foreign) // AWS takes minutes to tell
				})
			}}
		},
		Errors: kit.Errors{
			"InvalidLookupAttributesException": with(&cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{
				attribute(types.LookupAttributeKeyEventName, "CreateUser"), attribute(types.LookupAttributeKeyReadOnly, "true"),
			}}),
			"InvalidTimeRangeException":     with(&cloudtrail.LookupEventsInput{StartTime: start, EndTime: end}),
			"InvalidMaxResultsException":    with(&cloudtrail.LookupEventsInput{MaxResults: aws.Int32(51)}),
			"InvalidEventCategoryException": with(&cloudtrail.LookupEventsInput{EventCategory: "nothing"}),
			"InvalidNextTokenException":     with(&cloudtrail.LookupEventsInput{NextToken: aws.String("no token of ours")}),
		},
	}
}

func publicKeys() kit.Case {
	with := func(in *cloudtrail.ListPublicKeysInput) func(w *kit.World) error {
		return func(w *kit.World) error { return kit.Run(w.Admin, w.Admin.Trail.ListPublicKeys, in) }
	}
	start, end := backwards()
	return kit.Case{
		Op: "ListPublicKeys",
		Good: func(*kit.World) kit.Call {
			return kit.Call{Do: func(c *kit.Clients) error {
				return kit.Run(c, c.Trail.ListPublicKeys, &cloudtrail.ListPublicKeysInput{}, func(o *cloudtrail.ListPublicKeysOutput) error {
					return kit.True("a key", len(o.PublicKeyList) > 0 && len(o.PublicKeyList[0].Value) > 0 && *o.PublicKeyList[0].Fingerprint != "")
				})
			}}
		},
		Errors: kit.Errors{
			"InvalidTimeRangeException": with(&cloudtrail.ListPublicKeysInput{StartTime: start, EndTime: end}),
			"InvalidTokenException":     with(&cloudtrail.ListPublicKeysInput{NextToken: aws.String("no token of ours")}),
		},
	}
}
