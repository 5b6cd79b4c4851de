// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func describeCases() []kit.Case {
	get := func(c *kit.Clients, name string) error {
		return kit.Run(c, c.Trail.GetTrail, &cloudtrail.GetTrailInput{Name: &name}, func(o *cloudtrail.GetTrailOutput) error {
			return kit.Want("trail", []any{*o.Trail.Name, *o.Trail.HasCustomEventSelectors}, []any{name, false})
		})
	}
	describe := func(c *kit.Clients, name string) error {
		return kit.Run(c, c.Trail.DescribeTrails, &cloudtrail.DescribeTrailsInput{TrailNameList: []string{name}}, func(o *cloudtrail.DescribeTrailsOutput) error {
			return kit.True("the one trail", len(o.TrailList) == 1 && *o.TrailList[0].Name == name)
		})
	}
	return []kit.Case{
		on("GetTrail", get, detail{}),
		{
			Op: "DescribeTrails",
			Good: func(w *kit.World) kit.Call {
				name := newTrail(w)
				return kit.Call{Do: func(c *kit.Clients) error { return describe(c, name) }}
			},
			Errors: misnamed(describe),
		},
		{
			Op: "ListTrails",
			Good: func(w *kit.World) kit.Call {
				name := newTrail(w)
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.Trail.ListTrails, &cloudtrail.ListTrailsInput{}, func(o *cloudtrail.ListTrailsOutput) error {
						var arns []string
						for _, t := range o.Trails {
							arns = append(arns, *t.TrailARN)
						}
						return kit.True("the trail is listed", slices.Contains(arns, arn(w, name)))
					})
				}}
			},
		},
	}
}

func start(c *kit.Clients, name string) error {
	return kit.Run(c, c.Trail.StartLogging, &cloudtrail.StartLoggingInput{Name: &name})
}

// logging says whether a trail logs.
func logging(w *kit.World, name string) any {
	w.T.Helper()
	out, err := w.Admin.Trail.GetTrailStatus(w.Admin.Ctx, &cloudtrail.GetTrailStatusInput{Name: &name})
	w.Must(err)
	return *out.IsLogging
}

func loggingCases() []kit.Case {
	stop := func(c *kit.Clients, name string) error {
		return kit.Run(c, c.Trail.StopLogging, &cloudtrail.StopLoggingInput{Name: &name})
	}
	status := func(c *kit.Clients, name string) error {
		return kit.Run(c, c.Trail.GetTrailStatus, &cloudtrail.GetTrailStatusInput{Name: &name}, func(o *cloudtrail.GetTrailStatusOutput) error {
			return kit.Want("logging and since when", []bool{*o.IsLogging, o.StartLoggingTime != nil}, []bool{true, true})
		})
	}
	started := func(w *kit.World, name string) { w.T.Helper(); w.Must(start(w.Admin, name)) }
	return []kit.Case{
		on("GetTrailStatus", status, detail{prepare: started}),
		on("StartLogging", start, detail{changes: logging}),
		on("StopLogging", stop, detail{prepare: started, changes: logging}),
	}
}
