// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func things() kind {
	return kind{
		word: "thing", absent: absent,
		create: func(_ *kit.World, c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.CreateThing, &iot.CreateThingInput{ThingName: &name}, func(o *iot.CreateThingOutput) error {
				return kit.Want("thing", []any{*o.ThingName, *o.ThingId != ""}, []any{name, true})
			})
		},
		describe: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.DescribeThing, &iot.DescribeThingInput{ThingName: &name}, func(o *iot.DescribeThingOutput) error {
				return kit.Want("thing", []string{*o.ThingName, *o.DefaultClientId}, []string{name, name})
			})
		},
		remove: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.DeleteThing, &iot.DeleteThingInput{ThingName: &name})
		},
	}
}

func attributes(value string) *types.AttributePayload {
	return &types.AttributePayload{Attributes: map[string]string{"room": value}}
}

// thing is what DescribeThing says of it.
func thing(w *kit.World, name string) any {
	w.T.Helper()
	out, err := w.Admin.IoT.DescribeThing(w.Admin.Ctx, &iot.DescribeThingInput{ThingName: &name})
	w.Must(err)
	return []any{out.Attributes, out.Version}
}

func thingCases() []kit.Case {
	update := func(c *kit.Clients, name string) error {
		return kit.Run(c, c.IoT.UpdateThing, &iot.UpdateThingInput{ThingName: &name, AttributePayload: attributes("hall")})
	}
	list := func(c *kit.Clients, token *string) (listed int, err error) {
		err = kit.Run(c, c.IoT.ListThings, &iot.ListThingsInput{MaxResults: aws.Int32(1), NextToken: token}, func(o *iot.ListThingsOutput) error {
			listed = len(o.Things)
			return nil
		})
		return listed, err
	}
	return []kit.Case{
		creates("CreateThing", things(), detail{errors: kit.Errors{
			"ResourceAlreadyExistsException": func(w *kit.World) error {
				in := &iot.CreateThingInput{ThingName: aws.String(things().new(w)), AttributePayload: attributes("another")}
				return kit.Run(w.Admin, w.Admin.IoT.CreateThing, in) // made alike again, it would be the same thing
			},
			"ResourceNotFoundException": func(w *kit.World) error {
				return kit.Run(w.Admin, w.Admin.IoT.CreateThing, &iot.CreateThingInput{ThingName: aws.String(w.Name()), ThingTypeName: aws.String(absent)})
			},
		}}),
		on("DescribeThing", things(), things().describe, detail{}),
		lists("ListThings", things(), list),
		on("UpdateThing", things(), update, detail{changes: thing, errors: kit.Errors{
			"VersionConflictException": func(w *kit.World) error {
				in := &iot.UpdateThingInput{ThingName: aws.String(things().new(w)), AttributePayload: attributes("hall"), ExpectedVersion: aws.Int64(7)}
				return kit.Run(w.Admin, w.Admin.IoT.UpdateThing, in)
			},
		}}),
		deleteThing(),
	}
}

// deleteThing is no error where there is no thing.
func deleteThing() kit.Case {
	c := deletes("DeleteThing", things(), detail{
		never: map[string]string{"ResourceNotFoundException": "what is not there is deleted with success, as on AWS"},
		errors: kit.Errors{
			"InvalidRequestException": func(w *kit.World) error {
				name := things().new(w)
				attachThing(w, name, certificates().new(w))
				return kit.Saying(things().remove(w.Admin, name), "still attached")
			},
			"VersionConflictException": func(w *kit.World) error {
				in := &iot.DeleteThingInput{ThingName: aws.String(things().new(w)), ExpectedVersion: aws.Int64(7)}
				return kit.Run(w.Admin, w.Admin.IoT.DeleteThing, in)
			},
		},
	})
	delete(c.Errors, "ResourceNotFoundException")
	return c
}
