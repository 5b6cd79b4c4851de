// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"github.com/aws/aws-sdk-go-v2/service/iot"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func attachPrincipal(c *kit.Clients, thing, principal string) error {
	return kit.Run(c, c.IoT.AttachThingPrincipal, &iot.AttachThingPrincipalInput{ThingName: &thing, Principal: &principal})
}

func detachPrincipal(c *kit.Clients, thing, principal string) error {
	return kit.Run(c, c.IoT.DetachThingPrincipal, &iot.DetachThingPrincipalInput{ThingName: &thing, Principal: &principal})
}

// attachThing makes a certificate a thing's.
func attachThing(w *kit.World, thing, id string) {
	w.T.Helper()
	principal := certificates().arn(w, id)
	w.Must(attachPrincipal(w.Admin, thing, principal))
	w.Cleanup("thing of "+id, func(c *kit.Clients) error { return detachPrincipal(c, thing, principal) })
}

func principalsOf(c *kit.Clients, thing string) (principals []string, err error) {
	err = kit.Run(c, c.IoT.ListThingPrincipals, &iot.ListThingPrincipalsInput{ThingName: &thing}, func(o *iot.ListThingPrincipalsOutput) error {
		principals = o.Principals
		return nil
	})
	return principals, err
}

func thingsOf(c *kit.Clients, principal string) (names []string, err error) {
	err = kit.Run(c, c.IoT.ListPrincipalThings, &iot.ListPrincipalThingsInput{Principal: &principal}, func(o *iot.ListPrincipalThingsOutput) error {
		names = o.Things
		return nil
	})
	return names, err
}

// principalCase is the case of an operation on a thing and a certificate that is the thing's, or is to become so. It
// is decided on the thing.
func principalCase(op string, has bool, do func(c *kit.Clients, thing, principal string) error) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			name, id := things().new(w), certificates().new(w)
			principal := certificates().arn(w, id)
			if has {
				attachThing(w, name, id)
			} else {
				w.Cleanup("thing of "+id, func(c *kit.Clients) error { return detachPrincipal(c, name, principal) })
			}
			return kit.Call{
				Needs: kit.On(things().arn(w, name)),
				Do:    func(c *kit.Clients) error { return do(c, name, principal) },
				Changes: func() any {
					all, err := principalsOf(w.Admin, name)
					w.Must(err)
					return all
				},
			}
		},
		Errors: kit.Errors{
			"ResourceNotFoundException": func(w *kit.World) error { return do(w.Admin, absent, certificates().arn(w, certificates().new(w))) },
			"InvalidRequestException":   func(w *kit.World) error { return do(w.Admin, things().new(w), "nobody") },
		},
	}
}

func principalCases() []kit.Case {
	list := func(c *kit.Clients, name string) error {
		all, err := principalsOf(c, name)
		if err != nil {
			return err
		}
		return kit.Want("principals", len(all), 0)
	}
	return []kit.Case{
		principalCase("AttachThingPrincipal", false, attachPrincipal),
		principalCase("DetachThingPrincipal", true, detachPrincipal),
		on("ListThingPrincipals", things(), list, detail{}),
		{
			Op: "ListPrincipalThings",
			Good: func(w *kit.World) kit.Call {
				name, id := things().new(w), certificates().new(w)
				attachThing(w, name, id)
				principal := certificates().arn(w, id)
				return kit.Call{Needs: kit.On(principal), Do: func(c *kit.Clients) error {
					names, err := thingsOf(c, principal)
					if err != nil {
						return err
					}
					return kit.Want("things", names, []string{name})
				}}
			},
			Errors: kit.Errors{
				"ResourceNotFoundException": func(w *kit.World) error {
					_, err := thingsOf(w.Admin, certificates().arn(w, absentID()))
					return err
				},
				"InvalidRequestException": func(w *kit.World) error {
					_, err := thingsOf(w.Admin, "nobody")
					return err
				},
			},
		},
	}
}
