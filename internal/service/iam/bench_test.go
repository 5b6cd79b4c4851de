// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"fmt"
	"testing"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

// BenchmarkAuthenticate is what every signed request costs here: the key, and the policies of its user.
func BenchmarkAuthenticate(b *testing.B) {
	s, err := New(b.Context(), Config{DB: mem.New(), Account: testAccount})
	if err != nil {
		b.Fatal(err)
	}
	ctx := as(context.Background(), s.rootPrincipal())
	var id string
	for i := range 1000 {
		name := fmt.Sprint("u", i)
		if _, err := s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: &name}); err != nil {
			b.Fatal(err)
		}
		if _, err := s.PutUserPolicy(ctx, &iamapi.PutUserPolicyInput{UserName: &name, PolicyName: new("p"), PolicyDocument: new(allowAll)}); err != nil {
			b.Fatal(err)
		}
		k, err := s.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: &name})
		if err != nil {
			b.Fatal(err)
		}
		id = *k.AccessKey.AccessKeyId
	}
	b.ReportAllocs()
	for b.Loop() {
		cred, err := s.LookupAccessKey(ctx, id)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.PoliciesFor(ctx, &cred.Principal); err != nil {
			b.Fatal(err)
		}
	}
}
