// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func thingTypes() kind {
	return kind{
		word: "thingtype", absent: absent,
		create: func(_ *kit.World, c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.CreateThingType, &iot.CreateThingTypeInput{ThingTypeName: &name}, func(o *iot.CreateThingTypeOutput) error {
				return kit.Want("type", []any{*o.ThingTypeName, *o.ThingTypeId != ""}, []any{name, true})
			})
		},
		describe: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.DescribeThingType, &iot.DescribeThingTypeInput{ThingTypeName: &name}, func(o *iot.DescribeThingTypeOutput) error {
				return kit.Want("type", *o.ThingTypeName, name)
			})
		},
		remove: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.DeleteThingType, &iot.DeleteThingTypeInput{ThingTypeName: &name})
		},
		release: deprecate, // five minutes later it can be deleted, by hand
	}
}

func deprecate(c *kit.Clients, name string) error {
	return kit.Run(c, c.IoT.DeprecateThingType, &iot.DeprecateThingTypeInput{ThingTypeName: &name})
}

// deprecated says of a type whether it is.
func deprecated(w *kit.World, name string) any {
	w.T.Helper()
	out, err := w.Admin.IoT.DescribeThingType(w.Admin.Ctx, &iot.DescribeThingTypeInput{ThingTypeName: &name})
	w.Must(err)
	return out.ThingTypeMetadata.Deprecated
}

func typeCases() []kit.Case {
	list := func(c *kit.Clients, token *string) (listed int, err error) {
		in := &iot.ListThingTypesInput{MaxResults: aws.Int32(1), NextToken: token}
		err = kit.Run(c, c.IoT.ListThingTypes, in, func(o *iot.ListThingTypesOutput) error {
			listed = len(o.ThingTypes)
			return nil
		})
		return listed, err
	}
	return []kit.Case{
		creates("CreateThingType", thingTypes(), detail{errors: kit.Errors{
			"ResourceAlreadyExistsException": func(w *kit.World) error {
				in := &iot.CreateThingTypeInput{ThingTypeName: aws.String(thingTypes().new(w)), ThingTypeProperties: properties("another")}
				return kit.Run(w.Admin, w.Admin.IoT.CreateThingType, in) // made alike again, it would be the same type
			},
		}}),
		on("DescribeThingType", thingTypes(), thingTypes().describe, detail{}),
		lists("ListThingTypes", thingTypes(), list),
		on("DeprecateThingType", thingTypes(), deprecate, detail{changes: deprecated}),
		deleteType(),
	}
}

func properties(description string) *types.ThingTypeProperties {
	return &types.ThingTypeProperties{ThingTypeDescription: &description}
}

// deleteType is done five minutes after the type was deprecated.
func deleteType() kit.Case {
	c := deletes("DeleteThingType", thingTypes(), detail{errors: kit.Errors{
		"InvalidRequestException": func(w *kit.World) error {
			name := thingTypes().new(w)
			w.Must(deprecate(w.Admin, name))
			return kit.Saying(thingTypes().remove(w.Admin, name), "5 minutes")
		},
	}})
	c.Good = func(w *kit.World) kit.Call {
		name := longDeprecated(w)
		return detail{changes: thingTypes().there}.call(w, thingTypes(), name, thingTypes().remove)
	}
	return c
}

// longDeprecated is a type that was deprecated five minutes ago.
func longDeprecated(w *kit.World) string {
	w.T.Helper()
	if !w.Foreign {
		return kit.OldThingType
	}
	w.Slow()
	name := thingTypes().new(w)
	w.Must(deprecate(w.Admin, name))
	time.Sleep(5*time.Minute + time.Second)
	return name
}
