// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/internal/service/cloudtrail"
)

const trailPrincipal = "cloudtrail.amazonaws.com"

// trailKeys is what CloudTrail needs of the KMS.
type trailKeys struct{ *keyService }

var _ cloudtrail.KeyResolver = trailKeys{}

// KeyARN implements cloudtrail.KeyResolver.
func (k trailKeys) KeyARN(ctx context.Context, keyID, trailARN string) (string, error) {
	out, err := invoke(ctx, k.keyService, "DescribeKey", nil, &kmsapi.DescribeKeyInput{KeyId: &keyID}, k.kms.DescribeKey)
	if err != nil {
		return "", err
	}
	arn := *out.KeyMetadata.Arn
	// As CloudTrail itself, which is no user: the key policy alone decides.
	self, call := access.Via(ctx, trailPrincipal, "kms", "GenerateDataKey")
	call.Via, call.SourceARN = nil, trailARN
	call.Principal = access.Principal{Principal: policy.Principal{Kind: policy.Service, ARN: trailPrincipal, Service: trailPrincipal}}
	err = k.kms.AuthorizeUse(self, "GenerateDataKey", arn, map[string]string{"aws:cloudtrail:arn": trailARN})
	if _, denied := errors.AsType[*access.Denied](err); denied {
		return "", cloudtrail.ErrKeyPolicy
	}
	return arn, err
}
