// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"strings"

	"github.com/obscura-video/obscura/internal/access"
)

// region is the one that a record shows: global services are in us-east-1 wherever the server is.
func region(service, own string) string {
	switch service {
	case "iam", "cloudfront":
		return "us-east-1"
	}
	return own
}

// ShowsResponse says whether the record of a call that succeeds shows its response.
func ShowsResponse(service, operation string) bool {
	return !reads(service, operation) || handsOut(service, operation)
}

// handsOut says that a record shows the response although the operation is read-only: whom credentials were handed
// out to, and which. Their secret parts are not in what comes here.
//
// Source: IAM User Guide, "Logging IAM and STS API calls with CloudTrail".
func handsOut(service, operation string) bool {
	if service != "sts" {
		return false
	}
	return strings.HasPrefix(operation, "AssumeRole") || operation == "GetSessionToken" || operation == "GetFederationToken"
}

// parameters is what a record shows of a call's parameters: what was sent, and what the service took where nothing was.
//
// Source: KMS Developer Guide, "Logging KMS API calls with CloudTrail", the example of each operation.
func parameters(call *access.Call, sent map[string]any, touched []Resource) map[string]any {
	if call.Service != "kms" || sent == nil {
		return sent
	}
	set := func(name string, value any) {
		if sent[name] == nil {
			sent[name] = value
		}
	}
	const symmetric = "SYMMETRIC_DEFAULT"
	switch call.Operation {
	case "GenerateRandom", "RetireGrant":
		return nil
	case "Encrypt":
		set("encryptionAlgorithm", symmetric)
	case "Decrypt":
		set("encryptionAlgorithm", symmetric)
		if len(touched) == 1 { // the key that the ciphertext blob named
			set("keyId", touched[0].ARN)
		}
	case "ReEncrypt":
		set("sourceEncryptionAlgorithm", symmetric)
		set("destinationEncryptionAlgorithm", symmetric)
	case "Sign", "Verify":
		set("messageType", "RAW")
	}
	return sent
}

// cipherSuite is the name of a cipher suite in records, which have OpenSSL's names for TLS 1.2. Go has those of the
// IANA: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is ECDHE-RSA-AES128-GCM-SHA256. Suites of TLS 1.3 have one name.
//
// Source: CloudTrail User Guide, tlsDetails; the names are those of RFC 5289 and RFC 7905 in OpenSSL's manual, ciphers(1).
func cipherSuite(name string) string {
	exchange, cipher, ok := strings.Cut(strings.TrimPrefix(name, "TLS_"), "_WITH_")
	if !ok {
		return name
	}
	cipher = strings.NewReplacer("AES_128", "AES128", "AES_256", "AES256", "_CBC", "", "POLY1305_SHA256", "POLY1305").Replace(cipher)
	if exchange != "RSA" {
		cipher = exchange + "_" + cipher
	}
	return strings.ReplaceAll(cipher, "_", "-")
}
