// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// storeNever are the errors of custom key stores, of which this server has none.
func storeNever(codes ...string) map[string]string {
	never := map[string]string{}
	for _, code := range codes {
		never[code] = noStore
	}
	return never
}

// unoffered is a case of an operation on custom key stores: permission is checked, and then it is not offered.
func unoffered(call func(c *kit.Clients) error) func(*kit.World) kit.Call {
	return func(*kit.World) kit.Call { return kit.Call{Do: call} }
}

const unsupported = "UnsupportedOperationException"

// storeCases are about custom key stores.
func storeCases() []kit.Case {
	id := aws.String("cks-conformance")
	return []kit.Case{
		{
			Op: "DescribeCustomKeyStores",
			Good: unoffered(func(c *kit.Clients) error {
				return kit.Run(c, c.KMS.DescribeCustomKeyStores, &kms.DescribeCustomKeyStoresInput{})
			}),
			Errors: kit.Merge(
				foreignMarker(func(c *kit.Clients, marker *string) error {
					return kit.Run(c, c.KMS.DescribeCustomKeyStores, &kms.DescribeCustomKeyStoresInput{Marker: marker})
				}),
				kit.Errors{"CustomKeyStoreNotFoundException": func(w *kit.World) error {
					return kit.Run(w.Admin, w.Admin.KMS.DescribeCustomKeyStores, &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: id})
				}}),
		},
		{
			Op: "CreateCustomKeyStore", Ends: unsupported,
			Good: unoffered(func(c *kit.Clients) error {
				return kit.Run(c, c.KMS.CreateCustomKeyStore, &kms.CreateCustomKeyStoreInput{CustomKeyStoreName: aws.String("conformance")})
			}),
			Never: storeNever("CloudHsmClusterInUseException", "CustomKeyStoreNameInUseException", "CloudHsmClusterNotFoundException",
				"CloudHsmClusterNotActiveException", "IncorrectTrustAnchorException", "CloudHsmClusterInvalidConfigurationException",
				"LimitExceededException", "XksProxyUriInUseException", "XksProxyUriEndpointInUseException", "XksProxyUriUnreachableException",
				"XksProxyIncorrectAuthenticationCredentialException", "XksProxyVpcEndpointServiceInUseException",
				"XksProxyVpcEndpointServiceNotFoundException", "XksProxyVpcEndpointServiceInvalidConfigurationException",
				"XksProxyInvalidResponseException", "XksProxyInvalidConfigurationException"),
		},
		{
			Op: "ConnectCustomKeyStore", Ends: unsupported,
			Good: unoffered(func(c *kit.Clients) error {
				return kit.Run(c, c.KMS.ConnectCustomKeyStore, &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: id})
			}),
			Never: storeNever("CloudHsmClusterNotActiveException", "CustomKeyStoreInvalidStateException", "CustomKeyStoreNotFoundException",
				"CloudHsmClusterInvalidConfigurationException"),
		},
		{
			Op: "DisconnectCustomKeyStore", Ends: unsupported,
			Good: unoffered(func(c *kit.Clients) error {
				return kit.Run(c, c.KMS.DisconnectCustomKeyStore, &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: id})
			}),
			Never: storeNever("CustomKeyStoreInvalidStateException", "CustomKeyStoreNotFoundException"),
		},
		{
			Op: "UpdateCustomKeyStore", Ends: unsupported,
			Good: unoffered(func(c *kit.Clients) error {
				return kit.Run(c, c.KMS.UpdateCustomKeyStore, &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: id})
			}),
			Never: storeNever("CustomKeyStoreNotFoundException", "CustomKeyStoreNameInUseException", "CloudHsmClusterNotFoundException",
				"CloudHsmClusterNotRelatedException", "CustomKeyStoreInvalidStateException", "CloudHsmClusterNotActiveException",
				"CloudHsmClusterInvalidConfigurationException", "XksProxyUriInUseException", "XksProxyUriEndpointInUseException",
				"XksProxyUriUnreachableException", "XksProxyIncorrectAuthenticationCredentialException",
				"XksProxyVpcEndpointServiceInUseException", "XksProxyVpcEndpointServiceNotFoundException",
				"XksProxyVpcEndpointServiceInvalidConfigurationException", "XksProxyInvalidResponseException",
				"XksProxyInvalidConfigurationException"),
		},
		{
			Op: "DeleteCustomKeyStore", Ends: unsupported,
			Good: unoffered(func(c *kit.Clients) error {
				return kit.Run(c, c.KMS.DeleteCustomKeyStore, &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: id})
			}),
			Never: storeNever("CustomKeyStoreHasCMKsException", "CustomKeyStoreInvalidStateException", "CustomKeyStoreNotFoundException"),
		},
	}
}
