// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// DescribeCustomKeyStores answers that there are none: this server keeps all keys itself.
// Errors: CustomKeyStoreNotFoundException when one is asked for by id or name; InvalidMarkerException for any marker,
// since no list of none ends with one.
func (s *Service) DescribeCustomKeyStores(ctx context.Context, in *kmsapi.DescribeCustomKeyStoresInput) (*kmsapi.DescribeCustomKeyStoresOutput, error) {
	if err := s.decidePlain(ctx, "DescribeCustomKeyStores", "*", nil); err != nil {
		return nil, err
	}
	if in.CustomKeyStoreId != nil || in.CustomKeyStoreName != nil {
		return nil, &kmsapi.CustomKeyStoreNotFoundException{}
	}
	if in.Marker != nil {
		return nil, &kmsapi.InvalidMarkerException{}
	}
	return &kmsapi.DescribeCustomKeyStoresOutput{CustomKeyStores: []*kmsapi.CustomKeyStoresListEntry{}, Truncated: new(bool)}, nil
}

// CreateCustomKeyStore answers UnsupportedOperationException: there are no custom key stores.
func (s *Service) CreateCustomKeyStore(ctx context.Context, _ *kmsapi.CreateCustomKeyStoreInput) (*kmsapi.CreateCustomKeyStoreOutput, error) {
	return nil, s.noKeyStores(ctx, "CreateCustomKeyStore")
}

// ConnectCustomKeyStore answers UnsupportedOperationException: there are no custom key stores.
func (s *Service) ConnectCustomKeyStore(ctx context.Context, _ *kmsapi.ConnectCustomKeyStoreInput) (*kmsapi.ConnectCustomKeyStoreOutput, error) {
	return nil, s.noKeyStores(ctx, "ConnectCustomKeyStore")
}

// DisconnectCustomKeyStore answers UnsupportedOperationException: there are no custom key stores.
func (s *Service) DisconnectCustomKeyStore(ctx context.Context, _ *kmsapi.DisconnectCustomKeyStoreInput) (*kmsapi.DisconnectCustomKeyStoreOutput, error) {
	return nil, s.noKeyStores(ctx, "DisconnectCustomKeyStore")
}

// UpdateCustomKeyStore answers UnsupportedOperationException: there are no custom key stores.
func (s *Service) UpdateCustomKeyStore(ctx context.Context, _ *kmsapi.UpdateCustomKeyStoreInput) (*kmsapi.UpdateCustomKeyStoreOutput, error) {
	return nil, s.noKeyStores(ctx, "UpdateCustomKeyStore")
}

// DeleteCustomKeyStore answers UnsupportedOperationException: there are no custom key stores.
func (s *Service) DeleteCustomKeyStore(ctx context.Context, _ *kmsapi.DeleteCustomKeyStoreInput) (*kmsapi.DeleteCustomKeyStoreOutput, error) {
	return nil, s.noKeyStores(ctx, "DeleteCustomKeyStore")
}

func (s *Service) noKeyStores(ctx context.Context, operation string) error {
	if err := s.decidePlain(ctx, operation, "*", nil); err != nil {
		return err
	}
	return unsupported("")
}
