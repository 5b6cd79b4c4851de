// SPDX-License-Identifier: Apache-2.0

// Package iot is the conformance cases of AWS IoT: the part of it by which devices get an identity. See kit for what
// a case is.
//
// Sources: AWS IoT API Reference and IoT Core Developer Guide.
package iot

import (
	"slices"
	"strings"

	iotapi "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// API is the cases of IoT.
func API() *kit.API {
	return &kit.API{
		Model: iotapi.New(iotapi.Unimplemented{}), Denied: "AccessDeniedException",
		Never: map[string]string{
			"InternalFailureException":           "a fault of the server's own",
			"ServiceUnavailableException":        "a fault of the server's own",
			"ThrottlingException":                "callers are throttled before the service is asked, and only where that is configured",
			"UnauthorizedException":              "is what nobody gets: who may not is told AccessDeniedException",
			"ConflictingResourceUpdateException": "changes are made one after the other",
		},
		Cases: slices.Concat(thingCases(), typeCases(), certificateCases(), policyCases(), attachCases(), principalCases(),
			aliasCases(), templateCases(), tokenCases()),
	}
}

const (
	// absent is a name that nothing has.
	absent = "conformance-absent"
	// misnomer is a text that can be no name.
	misnomer = "not a name"
)

// absentID is an ID that no certificate has.
func absentID() string { return strings.Repeat("0", 64) }

// noQuota is the reason why an operation never ends with LimitExceededException.
func noQuota() map[string]string {
	return map[string]string{"LimitExceededException": "meets no quota"}
}

// named is an operation on what has a name or an ID, with all else as it should be.
type named func(c *kit.Clients, name string) error

// kind is a kind of thing in the account.
type kind struct {
	word string // in ARNs
	// create makes one of a name; make makes one that gets its name from the server.
	create func(w *kit.World, c *kit.Clients, name string) error
	make   func(w *kit.World) (name string)
	// describe fails with ResourceNotFoundException where there is none.
	describe named
	remove   named
	// release does what must be done before it can be removed; nil is nothing.
	release named
	absent  string
}

func (k kind) arn(w *kit.World, name string) string { return w.ARN("iot", k.word+"/"+name) }

// new makes one that is removed at the end.
func (k kind) new(w *kit.World) (name string) {
	w.T.Helper()
	if k.make != nil {
		name = k.make(w)
	} else {
		name = w.Name()
		w.Must(k.create(w, w.Admin, name))
	}
	k.cleanup(w, name)
	return name
}

func (k kind) cleanup(w *kit.World, name string) {
	w.Cleanup(k.word+" "+name, func(c *kit.Clients) error {
		if k.release != nil {
			_ = k.release(c, name) // shows when it is removed
		}
		return gone(k.remove(c, name))
	})
}

// gone forgives that something is not there.
func gone(err error) error {
	if code, _ := kit.CodeOf(err); code == "ResourceNotFoundException" {
		return nil
	}
	return err
}

// there says whether there is one, for Call.Changes.
func (k kind) there(w *kit.World, name string) any {
	w.T.Helper()
	err := k.describe(w.Admin, name)
	if code, _ := kit.CodeOf(err); code == "ResourceNotFoundException" {
		return false
	}
	w.Must(err)
	return true
}

// detail is what a case has besides.
type detail struct {
	// changes looks at what the operation changes.
	changes func(w *kit.World, name string) any
	// needs are permissions beside the operation's own.
	needs  func(w *kit.World) []kit.Need
	errors kit.Errors
	never  map[string]string
}

// call is the good call of an operation on what has a name.
func (d detail) call(w *kit.World, k kind, name string, do named) kit.Call {
	good := kit.Call{Needs: kit.On(k.arn(w, name)), Do: func(c *kit.Clients) error { return do(c, name) }}
	if d.needs != nil {
		good.Needs = append(good.Needs, d.needs(w)...)
	}
	if d.changes != nil {
		good.Changes = func() any { return d.changes(w, name) }
	}
	return good
}

// on is the case of an operation on one that is there, on one that is not, and on a text that can be no name.
func on(op string, k kind, do named, d detail) kit.Case {
	return kit.Case{
		Op:     op,
		Good:   func(w *kit.World) kit.Call { return d.call(w, k, k.new(w), do) },
		Errors: kit.Merge(missing(k, do), misnamed(do), d.errors),
		Never:  d.never,
	}
}

// creates is the case of the operation that makes one of a name.
func creates(op string, k kind, d detail) kit.Case {
	d.changes = k.there
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			name := w.Name()
			k.cleanup(w, name)
			return d.call(w, k, name, func(c *kit.Clients, name string) error { return k.create(w, c, name) })
		},
		Errors: kit.Merge(kit.Errors{
			"InvalidRequestException":        func(w *kit.World) error { return k.create(w, w.Admin, misnomer) },
			"ResourceAlreadyExistsException": func(w *kit.World) error { return k.create(w, w.Admin, k.new(w)) },
		}, d.errors),
		Never: d.never,
	}
}

// deletes is the case of the operation that removes one.
func deletes(op string, k kind, d detail) kit.Case {
	d.changes = k.there
	return on(op, k, k.remove, d)
}

// lists is the case of an operation that lists all there are: a page of one, and one that goes on from where no list
// has ended.
func lists(op string, k kind, list func(c *kit.Clients, token *string) (listed int, err error)) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			k.new(w)
			return kit.Call{Do: func(c *kit.Clients) error {
				listed, err := list(c, nil)
				if err != nil {
					return err
				}
				return kit.Want("listed", listed, 1)
			}}
		},
		Errors: kit.Errors{"InvalidRequestException": func(w *kit.World) error {
			token := "no token of ours"
			_, err := list(w.Admin, &token)
			return err
		}},
	}
}

func missing(k kind, do named) kit.Errors {
	return kit.Errors{"ResourceNotFoundException": func(w *kit.World) error { return do(w.Admin, k.absent) }}
}

func misnamed(do named) kit.Errors {
	return kit.Errors{"InvalidRequestException": func(w *kit.World) error { return do(w.Admin, misnomer) }}
}
