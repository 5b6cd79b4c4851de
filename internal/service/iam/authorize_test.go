// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

// An operation is called by its name.
type operation struct {
	name string
	call func(context.Context) error
}

// operations are those that the service has, with inputs that pass validation.
func operations(s *Service) (done, missing []operation) {
	v := reflect.ValueOf(s)
	server := reflect.TypeFor[iamapi.Server]()
	for i := range server.NumMethod() {
		m := v.MethodByName(server.Method(i).Name)
		op := operation{server.Method(i).Name, func(ctx context.Context) error {
			out := m.Call([]reflect.Value{reflect.ValueOf(ctx), input(m.Type().In(1).Elem())})
			err, _ := out[1].Interface().(error)
			return err
		}}
		if strings.Contains(code(op.call(context.Background())), "mplement") {
			missing = append(missing, op)
		} else {
			done = append(done, op)
		}
	}
	return done, missing
}

// input fills every text of a request with something that fits.
func input(t reflect.Type) reflect.Value {
	in := reflect.New(t)
	for i := range t.NumField() {
		f := in.Elem().Field(i)
		switch name := t.Field(i).Name; {
		case name == "Marker":
		case f.Type() == reflect.TypeFor[*string]():
			f.Set(reflect.ValueOf(new(text(name))))
		case f.Type() == reflect.TypeFor[[]string]():
			f.Set(reflect.ValueOf([]string{text(name)}))
		case f.Type() == reflect.TypeFor[[]*iamapi.Tag]():
			f.Set(reflect.ValueOf([]*iamapi.Tag{{Key: new("k"), Value: new("v")}}))
		}
	}
	return in
}

func text(name string) string {
	switch {
	case strings.HasSuffix(name, "SourceArn"), name == "CallerArn":
		return "arn:aws:iam::" + testAccount + ":user/x"
	case strings.HasSuffix(name, "Arn"), name == "PermissionsBoundary":
		return "arn:aws:iam::" + testAccount + ":policy/x"
	case name == "AssumeRolePolicyDocument":
		return trustRoot
	case strings.Contains(name, "Document"), strings.Contains(name, "PolicyInputList"):
		return allowAll
	case name == "ActionNames":
		return "kms:Decrypt"
	case strings.Contains(name, "Path"):
		return "/"
	case name == "Status":
		return "Active"
	}
	return "x"
}

// Every operation is refused to who has no permission and reached by who has that one, before anything else.
func TestEveryOperationIsAuthorised(t *testing.T) {
	done, missing := operations(newAccount(t).Service)
	if len(done) < 75 || len(missing) == 0 {
		t.Fatalf("%d operations done and %d missing: the test does not see them", len(done), len(missing))
	}
	for _, op := range done {
		t.Run(op.name, func(t *testing.T) {
			a := newAccount(t)
			ctx := a.user("x")
			a.user("y", allow("iam:"+op.name, "*"))
			done, _ := operations(a.Service)
			call := done[0].call
			for _, o := range done {
				if o.name == op.name {
					call = o.call
				}
			}
			generation := a.view().state.Generation
			if err := call(ctx); code(err) != "Denied" {
				t.Errorf("without permission: %v", err)
			}
			if c, _ := access.FromContext(ctx); !c.Decided() {
				t.Error("no decision was recorded")
			}
			if a.view().state.Generation != generation {
				t.Error("a denied call changed the account")
			}
			if err := call(a.as("y")); code(err) == "Denied" {
				t.Errorf("with permission: %v", err)
			}
			if err := call(t.Context()); code(err) == "" {
				t.Error("allowed outside any call")
			}
		})
	}
}

// docs/compat/iam.md names every operation of the API, and says of each truly whether it is there.
func TestCompatibilityPageIsRight(t *testing.T) {
	b, err := os.ReadFile("../../../docs/compat/iam.md")
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\w+) \| (\w+)`).FindAllStringSubmatch(string(b), -1) {
		status[m[1]] = m[2]
	}
	done, missing := operations(newAccount(t).Service)
	for _, op := range done {
		if s := status[op.name]; s != "done" && s != "differs" {
			t.Errorf("%s is there, the page says %q", op.name, s)
		}
	}
	for _, op := range missing {
		if s := status[op.name]; s != "not" {
			t.Errorf("%s is not there, the page says %q", op.name, s)
		}
	}
}
