// SPDX-License-Identifier: Apache-2.0

//go:build cloudkms

package rootkey

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-kms-wrapping/wrappers/awskms/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/azurekeyvault/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/gcpckms/v2"
)

// Credentials are found by each cloud's own rules, in the environment or on the machine. A parameter that holds one
// would end up in the file.
var credentialParams = []string{"access_key", "secret_key", "session_token", "credentials", "client_secret"}

func noCredentials(params map[string]string) error {
	for _, name := range credentialParams {
		if params[name] != "" {
			return fmt.Errorf("%w: %s would be in the file; leave it to the environment", ErrProvider, name)
		}
	}
	return nil
}

// newAWS uses a KMS key of AWS, or of another server that speaks its API. Parameters: kms_key_id, region, endpoint.
func newAWS(ctx context.Context, params map[string]string, _ *Options, _ bool) (guard, error) {
	if err := noCredentials(params); err != nil {
		return nil, err
	}
	return newWrapper(ctx, awskms.NewWrapper(), params, "kms_key_id")
}

// newGCP uses a key of Google Cloud KMS. Parameters: project, region, key_ring, crypto_key.
func newGCP(ctx context.Context, params map[string]string, _ *Options, _ bool) (guard, error) {
	if err := noCredentials(params); err != nil {
		return nil, err
	}
	return newWrapper(ctx, gcpckms.NewWrapper(), params, "project", "region", "key_ring", "crypto_key")
}

// newAzure uses a key of Azure Key Vault. Parameters: tenant_id, vault_name, key_name.
func newAzure(ctx context.Context, params map[string]string, _ *Options, _ bool) (guard, error) {
	if err := noCredentials(params); err != nil {
		return nil, err
	}
	return newWrapper(ctx, azurekeyvault.NewWrapper(), params, "vault_name", "key_name")
}
