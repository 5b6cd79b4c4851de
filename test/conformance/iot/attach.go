// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"github.com/aws/aws-sdk-go-v2/service/iot"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func attach(c *kit.Clients, policy, target string) error {
	return kit.Run(c, c.IoT.AttachPolicy, &iot.AttachPolicyInput{PolicyName: &policy, Target: &target})
}

func detach(c *kit.Clients, policy, target string) error {
	return kit.Run(c, c.IoT.DetachPolicy, &iot.DetachPolicyInput{PolicyName: &policy, Target: &target})
}

// attachPolicy gives a policy to a certificate.
func attachPolicy(w *kit.World, policy, id string) {
	w.T.Helper()
	target := certificates().arn(w, id)
	w.Must(attach(w.Admin, policy, target))
	w.Cleanup("policy of "+id, func(c *kit.Clients) error { return detach(c, policy, target) })
}

// attached are the policies of a certificate.
func attached(c *kit.Clients, target string) (names []string, err error) {
	err = kit.Run(c, c.IoT.ListAttachedPolicies, &iot.ListAttachedPoliciesInput{Target: &target}, func(o *iot.ListAttachedPoliciesOutput) error {
		for _, p := range o.Policies {
			names = append(names, *p.PolicyName)
		}
		return nil
	})
	return names, err
}

// mostPolicies is how many policies a certificate can have.
const mostPolicies = 10

// onTarget is an operation on a policy and a certificate's ARN.
type onTarget func(c *kit.Clients, policy, target string) error

// attachCase is the case of an operation on a certificate that has a policy, or is to get it.
func attachCase(op string, has bool, do onTarget) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			policy, id := policies().new(w), certificates().new(w)
			target := certificates().arn(w, id)
			if has {
				attachPolicy(w, policy, id)
			} else {
				w.Cleanup("policy of "+id, func(c *kit.Clients) error { return detach(c, policy, target) })
			}
			return kit.Call{Needs: kit.On(target), Do: func(c *kit.Clients) error { return do(c, policy, target) }}
		},
		Errors: kit.Errors{"InvalidRequestException": func(w *kit.World) error { return do(w.Admin, policies().new(w), "no target") }},
	}
}

// changing adds what looks at the policies that the certificate has.
func changing(c kit.Case) kit.Case {
	good := c.Good
	c.Good = func(w *kit.World) kit.Call {
		call := good(w)
		call.Changes = func() any {
			names, err := attached(w.Admin, call.Needs[0].Resource)
			w.Must(err)
			return names
		}
		return call
	}
	return c
}

func attachCases() []kit.Case {
	toNobody := func(do onTarget) kit.Errors {
		return kit.Errors{"ResourceNotFoundException": func(w *kit.World) error {
			return do(w.Admin, policies().new(w), certificates().arn(w, absentID()))
		}}
	}
	list := func(c *kit.Clients, policy, target string) error {
		names, err := attached(c, target)
		if err != nil {
			return err
		}
		return kit.Want("policies", names, []string{policy})
	}
	attaches, detaches, lists := changing(attachCase("AttachPolicy", false, attach)), changing(attachCase("DetachPolicy", true, detach)), attachCase("ListAttachedPolicies", true, list)
	attaches.Errors = kit.Merge(attaches.Errors, toNobody(attach), kit.Errors{"LimitExceededException": func(w *kit.World) error {
		id := certificates().new(w)
		for range mostPolicies {
			attachPolicy(w, policies().new(w), id)
		}
		return attach(w.Admin, policies().new(w), certificates().arn(w, id))
	}})
	detaches.Others, detaches.Never = toNobody(detach), noQuota()
	lists.Errors, lists.Never = kit.Merge(lists.Errors, toNobody(list)), noQuota()
	return []kit.Case{attaches, detaches, lists}
}
