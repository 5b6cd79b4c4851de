// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// DescribeCustomKeyStores answers that there are none: this server keeps all keys itself.
// Errors: CustomKeyStoreNotFoundException when one is asked for by id or name.
func (s *Service) DescribeCustomKeyStores(ctx context.Context, in *kmsapi.DescribeCustomKeyStoresInput) (*kmsapi.DescribeCustomKeyStoresOutput, error) {
	if err := s.decidePlain(ctx, "DescribeCustomKeyStores", "*", nil); err != nil {
		return nil, err
	}
	if in.CustomKeyStoreId != nil || in.CustomKeyStoreName != nil {
		return nil, &kmsapi.CustomKeyStoreNotFoundException{}
	}
	return &kmsapi.DescribeCustomKeyStoresOutput{CustomKeyStores: []*kmsapi.CustomKeyStoresListEntry{}, Truncated: new(bool)}, nil
}
