// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func putSelectors(c *kit.Clients, name string, selectors ...types.EventSelector) error {
	return kit.Run(c, c.Trail.PutEventSelectors, &cloudtrail.PutEventSelectorsInput{TrailName: &name, EventSelectors: selectors})
}

func selectorCases() []kit.Case {
	put := func(c *kit.Clients, name string) error {
		return putSelectors(c, name, types.EventSelector{ReadWriteType: types.ReadWriteTypeWriteOnly})
	}
	get := func(c *kit.Clients, name string) error {
		return kit.Run(c, c.Trail.GetEventSelectors, &cloudtrail.GetEventSelectorsInput{TrailName: &name}, func(o *cloudtrail.GetEventSelectorsOutput) error {
			return kit.True("all management events, by default", len(o.EventSelectors) == 1 && o.EventSelectors[0].ReadWriteType == types.ReadWriteTypeAll && *o.EventSelectors[0].IncludeManagementEvents)
		})
	}
	insights := func(c *kit.Clients, name string) error {
		return kit.Run(c, c.Trail.GetInsightSelectors, &cloudtrail.GetInsightSelectorsInput{TrailName: &name})
	}
	return []kit.Case{
		on("PutEventSelectors", put, detail{changes: trail, errors: kit.Errors{
			"InvalidEventSelectorsException": func(w *kit.World) error {
				return putSelectors(w.Admin, newTrail(w), make([]types.EventSelector, 6)...)
			},
		}}),
		on("GetEventSelectors", get, detail{}),
		withoutInsights(on("GetInsightSelectors", insights, detail{errors: kit.Errors{
			"InsightNotEnabledException": func(w *kit.World) error { return insights(w.Admin, newTrail(w)) },
			"InvalidParameterCombinationException": func(w *kit.World) error {
				in := &cloudtrail.GetInsightSelectorsInput{TrailName: aws.String(newTrail(w)), EventDataStore: aws.String(w.ARN("cloudtrail", "eventdatastore/"+absent))}
				return kit.Run(w.Admin, w.Admin.Trail.GetInsightSelectors, in)
			},
			"InvalidParameterException": func(w *kit.World) error {
				return kit.Run(w.Admin, w.Admin.Trail.GetInsightSelectors, &cloudtrail.GetInsightSelectorsInput{})
			},
			"UnsupportedOperationException": func(w *kit.World) error {
				in := &cloudtrail.GetInsightSelectorsInput{EventDataStore: aws.String(w.ARN("cloudtrail", "eventdatastore/"+absent))}
				return kit.Run(w.Admin, w.Admin.Trail.GetInsightSelectors, in)
			},
		}})),
	}
}

// withoutInsights ends in an error where all is well: no trail has any.
func withoutInsights(c kit.Case) kit.Case {
	c.Ends = "InsightNotEnabledException"
	return c
}
