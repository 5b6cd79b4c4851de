// SPDX-License-Identifier: Apache-2.0

package rootkey

import (
	"context"
	"fmt"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/transit/v2"
	"google.golang.org/protobuf/proto"
)

// wrapper is a provider of go-kms-wrapping. What it seals is the library's BlobInfo message.
type wrapper struct {
	wrapping.Wrapper
}

// newTransit uses Vault's transit engine (OpenBao's too). Parameters: key_name, mount_path, address, and the others of
// the library. The token comes from VAULT_TOKEN.
func newTransit(ctx context.Context, params map[string]string, _ *Options, create bool) (guard, error) {
	if params["mount_path"] == "" {
		params["mount_path"] = "transit"
	}
	if create && params["token"] != "" {
		return nil, fmt.Errorf("%w: transit: the token would be in the file; set VAULT_TOKEN", ErrProvider)
	}
	return newWrapper(ctx, transit.NewWrapper(), params, "key_name")
}

func newWrapper(ctx context.Context, w wrapping.Wrapper, params map[string]string, need ...string) (guard, error) {
	for _, name := range need {
		if params[name] == "" {
			return nil, fmt.Errorf("%w: the option %s is needed", ErrProvider, name)
		}
	}
	if _, err := w.SetConfig(ctx, wrapping.WithConfigMap(params)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return wrapper{w}, nil
}

func (w wrapper) seal(ctx context.Context, secret, aad []byte) ([]byte, error) {
	blob, err := w.Encrypt(ctx, secret, wrapping.WithAad(aad))
	if err != nil {
		return nil, err
	}
	return proto.Marshal(blob)
}

func (w wrapper) open(ctx context.Context, sealed, aad []byte) ([]byte, error) {
	blob := new(wrapping.BlobInfo)
	if err := proto.Unmarshal(sealed, blob); err != nil {
		return nil, err
	}
	return w.Decrypt(ctx, blob, wrapping.WithAad(aad))
}
