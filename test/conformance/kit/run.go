// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package kit

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/smithy-go"
)

// Run runs the cases of an API, several at once.
func (tg *Target) Run(t *testing.T, a *API) {
	for _, c := range a.Cases {
		t.Run(c.Op, func(t *testing.T) {
			if !c.Alone {
				t.Parallel()
			}
			tg.good(t, a, &c)
			for _, code := range slices.Sorted(maps.Keys(c.Errors)) {
				t.Run(code, func(t *testing.T) { wantModelled(t, c.Errors[code](tg.World(t)), code) })
			}
			for _, code := range slices.Sorted(maps.Keys(c.Others)) {
				t.Run(code, func(t *testing.T) { wantCode(t, c.Others[code](tg.World(t)), code) })
			}
		})
	}
}

// good makes the good call in all ways: with too little permission first, and then with enough.
func (tg *Target) good(t *testing.T, a *API, c *Case) {
	u := <-tg.users
	defer func() { tg.users <- u }()
	t.Run("good", func(t *testing.T) {
		w := tg.World(t)
		w.Worker = &User{u.Name, u.ARN, u.Clients.with(t.Context())}
		w.Forbid(u)
		w.attempt(a, c)
	})
}

func (w *World) attempt(a *API, c *Case) {
	call := c.Good(w)
	needs := a.needs(c, call)
	look := call.Changes
	if look == nil {
		look = func() any { return nil }
	}
	before := look()
	if !c.Free {
		w.wantDenied(a, c, call.Do(w.nobody.Clients.with(w.T.Context())), needs[0])
		for i := range needs {
			if less := without(needs, i); len(less) > 0 {
				w.Permit(w.Worker, less...)
				w.wantDenied(a, c, call.Do(w.Worker.Clients), needs[i])
			}
		}
		if after := look(); !reflect.DeepEqual(before, after) {
			w.T.Errorf("a denied call changed %v to %v", before, after)
		}
		w.Permit(w.Worker, needs...)
	}
	err := w.Eventually(func() error { return call.Do(w.Worker.Clients) }, func(err error) bool {
		code, _ := CodeOf(err)
		return code == a.denial(c) && code != c.Ends
	})
	wantCode(w.T, err, c.Ends)
	if call.Changes == nil || err != nil {
		return
	}
	err = w.Eventually(func() error {
		if reflect.DeepEqual(before, look()) {
			return fmt.Errorf("the call changed nothing: %v", before)
		}
		return nil
	}, func(error) bool { return true })
	if err != nil {
		w.T.Error(err)
	}
}

// needs fills in what a call leaves unsaid.
func (a *API) needs(c *Case, call Call) []Need {
	needs := slices.Clone(call.Needs)
	if len(needs) == 0 {
		needs = On("*")
	}
	for i := range needs {
		n := &needs[i]
		n.Action = cmp.Or(n.Action, a.Model.SigningName+":"+c.Op)
		n.Text = cmp.Or(n.Text, "is not authorized to perform: "+n.Action)
	}
	return needs
}

// without is the needs with one of them for another resource, or without it where it is for all.
func without(needs []Need, i int) []Need {
	less := slices.Clone(needs)
	if less[i].Resource == "*" {
		return slices.Delete(less, i, i+1)
	}
	less[i].Resource += "-elsewhere"
	return less
}

func (w *World) wantDenied(a *API, c *Case, err error, n Need) {
	w.T.Helper()
	want := a.denial(c)
	if code, message := CodeOf(err); code != want || !strings.Contains(message, n.Text) {
		w.T.Errorf("without %s on %s: want %s with %q, got %v", n.Action, n.Resource, want, n.Text, err)
	}
	if op, ok := a.Model.Operation(c.Op); ok && slices.Contains(op.Errors, want) {
		wantModelled(w.T, err, want)
	}
}

// denial is the code of a denial of an operation: the service's, unless the operation's model declares the usual one
// in its place.
func (a *API) denial(c *Case) string {
	const usual = "AccessDeniedException"
	op, ok := a.Model.Operation(c.Op)
	if ok && !slices.Contains(op.Errors, a.Denied) && slices.Contains(op.Errors, usual) {
		return usual
	}
	return a.Denied
}

// wantCode checks how a call ended; want is empty for success.
func wantCode(t testing.TB, err error, want string) {
	t.Helper()
	if code, _ := CodeOf(err); code != want || (err == nil) != (want == "") {
		t.Errorf("want %q, got %v", want, err)
	}
}

// wantModelled is wantCode for an error that the service's model declares: the SDK must have made its type of it.
func wantModelled(t testing.TB, err error, want string) {
	t.Helper()
	wantCode(t, err, want)
	if _, generic := errors.AsType[*smithy.GenericAPIError](err); generic || genericV1(err) {
		t.Errorf("%s: the SDK did not know the error", want)
	}
}

// genericV1 says that version 1 of the SDK has made its type for any error of it.
func genericV1(err error) bool {
	v1, ok := errors.AsType[awserr.Error](err)
	return ok && strings.HasPrefix(reflect.TypeOf(v1).String(), "*awserr.")
}
