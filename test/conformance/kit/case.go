// SPDX-License-Identifier: Apache-2.0

// Package kit is what the cases of the conformance program are made of. A case is one operation of an AWS API:
// how it ends well and what that changes, each error that its model declares, and what permission it needs. The
// kit makes each call in four ways and judges the end:
//
//   - by a user who has no permission: denied in AWS's words, and nothing happened;
//   - by a user who has the permission on another resource, or all but one of several: denied just so;
//   - by a user who has exactly the permission on exactly the resource: done, and what was to change has changed;
//   - as the administrator, wrongly: each error, in the type that the SDK has for it.
//
// # How to add an operation
//
// The cases of a service are a package below test/conformance that is called as the service is in docs/compat. It
// has a function API, which TestConformance lists. A case is a literal in a file of its theme:
//
//	{
//		Op: "EnableKey",
//		Good: func(w *kit.World) kit.Call {
//			k := disabledKey(w)
//			return kit.Call{
//				Needs:   kit.On(k.ARN),
//				Changes: k.state, // looked at by the administrator before and after
//				Do: func(c *kit.Clients) error {
//					return kit.Run(c, c.KMS.EnableKey, &kms.EnableKeyInput{KeyId: &k.ID})
//				},
//			}
//		},
//		Errors: kit.Errors{
//			"NotFoundException": func(w *kit.World) error {
//				return kit.Run(w.Admin, w.Admin.KMS.EnableKey, &kms.EnableKeyInput{KeyId: &absent})
//			},
//		},
//	},
//
// Good is called for a world of its own, beside the other cases, so it makes what it uses and relies on no other
// case. What is dear to make and never altered is made once with [Shared]. A modelled error that cannot be had
// here stands in Never with the reason, of the case or of the whole API. [API.Incomplete] says what is missing:
// an operation that the server has and no case names, an error that has neither a way nor a reason, and a
// reason that is not needed. Names are Op and Errors' keys as literals, for the tool that writes docs/compat
// reads them from the source.
//
// # Against another endpoint
//
//	go test ./test/conformance -run TestConformance -endpoint https://localhost:4566 -profile local
//	go test ./test/conformance -run TestConformance/kms -endpoint aws -profile admin -region eu-central-1 -timeout 1h
//
// See [Options]. The profile is of an administrator. Users, keys and roles that a run makes have names that begin
// with "conformance-", and are removed in the end.
package kit

import (
	"slices"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// API is the cases of one service.
type API struct {
	// Model is the service's table of operations, as generated.
	Model *protocol.Service
	// Denied is the code of a denial, where the operation's model does not declare AccessDeniedException in its place.
	Denied string
	// Never says, for errors of any operation of the service, why none provokes them.
	Never map[string]string
	Cases []Case
}

// Case is one operation.
type Case struct {
	// Op is the operation's name.
	Op string
	// Good makes what a call needs and returns the call.
	Good func(w *World) Call
	// Errors are the declared errors that can be had.
	Errors Errors
	// Others are errors that are documented and not in the model; the SDK has no type for them.
	Others Errors
	// Never says of the rest of the declared errors why they cannot be had.
	Never map[string]string
	// Ends is the code of an operation whose best end is an error; empty is success.
	Ends string
	// Free needs no permission: it is done for who has none.
	Free bool
	// Alone says that the case alters what is the whole account's, so that none runs beside it.
	Alone bool
}

// Errors are ways to errors by code. A way makes what it needs, and returns how the wrong call ended.
type Errors map[string]func(w *World) error

// Call is a call that ends well for who may make it.
type Call struct {
	// Do makes the call. Where it succeeds it looks at the answer.
	Do func(c *Clients) error
	// Needs are the permissions that the caller needs: all of them, and no more. None is the
	// operation's own action on "*".
	Needs []Need
	// Changes, unless nil, looks at what the call changes, as the administrator: the same after each denied
	// call, and something else after the one that is done.
	Changes func() any
}

// Need is one permission.
type Need struct {
	// Action is the operation's own where it is empty.
	Action   string
	Resource string
	// Text is in the message of the denial, where that is not that the caller is not authorized to
	// perform the action.
	Text string
}

// On needs the operation's own action on a resource.
func On(resource string) []Need { return []Need{{Resource: resource}} }

// Merge is all ways of several; one of a later one replaces one of an earlier one.
func Merge(all ...Errors) Errors {
	m := Errors{}
	for _, errors := range all {
		for code, way := range errors {
			m[code] = way
		}
	}
	return m
}

// Incomplete says what the cases of the operations that has reports as built lack, and what they have too much.
func (a *API) Incomplete(built func(op string) bool) (faults []string) {
	seen := map[string]bool{}
	for _, c := range a.Cases {
		op, ok := a.Model.Operation(c.Op)
		switch {
		case !ok:
			faults = append(faults, c.Op+": the model has no such operation")
		case seen[c.Op]:
			faults = append(faults, c.Op+": has two cases")
		case !built(c.Op):
			faults = append(faults, c.Op+": has a case and is not built")
		default:
			faults = append(faults, a.incomplete(&c, op)...)
		}
		seen[c.Op] = true
	}
	for _, op := range a.Model.Operations {
		if built(op.Name) && !seen[op.Name] {
			faults = append(faults, op.Name+": is built and has no case")
		}
	}
	return faults
}

func (a *API) incomplete(c *Case, op *protocol.Operation) (faults []string) {
	for _, code := range op.Errors {
		_, has := c.Errors[code]
		_, reason := c.Never[code]
		_, general := a.Never[code]
		switch {
		case !has && !reason && !general:
			faults = append(faults, c.Op+": neither a way to "+code+" nor a reason why there is none")
		case has && reason, reason && general:
			faults = append(faults, c.Op+": a needless reason why there is no "+code)
		}
	}
	undeclared := func(code string) bool { return !slices.Contains(op.Errors, code) }
	for code := range c.Errors {
		if undeclared(code) {
			faults = append(faults, c.Op+": does not declare "+code)
		}
	}
	for code := range c.Never {
		if undeclared(code) {
			faults = append(faults, c.Op+": does not declare "+code+", which needs no reason")
		}
	}
	for code := range c.Others {
		if !undeclared(code) {
			faults = append(faults, c.Op+": declares "+code)
		}
	}
	return faults
}
