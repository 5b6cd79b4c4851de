// SPDX-License-Identifier: Apache-2.0

//go:build !cloudkms

package rootkey

import (
	"context"
	"fmt"
)

// The SDKs of the clouds would add two thirds to the program, so they are in builds that ask for them.
var (
	newAWS   = notInBuild("aws")
	newGCP   = notInBuild("gcp")
	newAzure = notInBuild("azure")
)

func notInBuild(name string) provider {
	return func(context.Context, map[string]string, *Options, bool) (guard, error) {
		return nil, fmt.Errorf("%w: %s is not in this build: it needs one made with -tags cloudkms", ErrProvider, name)
	}
}
