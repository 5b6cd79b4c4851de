// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

package rootkey

import (
	"context"
	"fmt"
)

// newPKCS11 answers that PKCS #11 libraries can only be loaded by a build with cgo.
func newPKCS11(context.Context, map[string]string, *Options, bool) (guard, error) {
	return nil, fmt.Errorf("%w: pkcs11 is not in this build: it needs one made with CGO_ENABLED=1", ErrProvider)
}
