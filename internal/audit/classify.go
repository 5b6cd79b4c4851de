// SPDX-License-Identifier: Apache-2.0

package audit

import "strings"

// eventSource returns the host name that records give for a service's signing name.
func eventSource(service string) string {
	switch {
	case service == "kms": // no other has as many calls
		return "kms.amazonaws.com"
	case strings.HasPrefix(service, "kinesisvideo"):
		return "kinesisvideo.amazonaws.com" // media and archived media are one service in AWS's records
	}
	return service + ".amazonaws.com"
}

// serviceHost drops the region from a service principal: kinesisvideo.us-east-1.amazonaws.com is recorded
// as kinesisvideo.amazonaws.com.
func serviceHost(principal string) string {
	name, rest, ok := strings.Cut(principal, ".")
	if !ok || !strings.HasSuffix(rest, "amazonaws.com") {
		return principal
	}
	return name + ".amazonaws.com"
}

// reads says whether an operation changes nothing that lasts. By its name it does when it is not one of
// the readers'; the tables name the exceptions.
//
// Source: KMS Developer Guide, "Logging KMS API calls": cryptographic operations are read-only events. IAM
// User Guide, "Logging IAM and STS API calls": so are the operations that hand out credentials.
func reads(service, operation string) bool {
	switch service {
	case "kms":
		if kmsCrypto(operation) {
			return true
		}
	case "sts":
		return true
	case "iam":
		if strings.HasPrefix(operation, "Generate") || strings.HasPrefix(operation, "Simulate") {
			return true
		}
	}
	for _, prefix := range [...]string{"Get", "List", "Describe", "Lookup", "Head", "BatchGet", "Search", "Query", "Select"} {
		if strings.HasPrefix(operation, prefix) {
			return true
		}
	}
	return false
}

func kmsCrypto(operation string) bool {
	switch operation {
	case "Encrypt", "Decrypt", "ReEncrypt", "Sign", "Verify", "VerifyMac", "DeriveSharedSecret":
		return true
	}
	return strings.HasPrefix(operation, "Generate")
}

// classify fills in category and managementEvent. Everything is a management event that is not listed here
// as the data plane's.
//
// Source: Kinesis Video Streams Developer Guide, "Logging API calls with CloudTrail"; CloudTrail User Guide,
// "Logging data events".
func (e *Event) classify(service, operation string) {
	e.ManagementEvent, e.EventCategory = true, Management
	if isData(service, operation) {
		e.ManagementEvent, e.EventCategory = false, Data
	}
}

func isData(service, operation string) bool {
	switch service {
	case "kinesisvideo", "kinesisvideomedia", "kinesisvideoarchivedmedia":
		switch operation {
		case "PutMedia", "GetMedia", "GetMediaForFragmentList", "ListFragments", "GetClip", "GetImages",
			"GetHLSStreamingSessionURL", "GetDASHStreamingSessionURL":
			return true
		}
	case "kinesis":
		switch operation {
		case "PutRecord", "PutRecords", "GetRecords", "GetShardIterator", "SubscribeToShard":
			return true
		}
	case "mailbox":
		return reads(service, operation) // cameras wait in them all the time; what changes a box is worth a look-up
	case "s3":
		return strings.Contains(operation, "Object") && !strings.HasSuffix(operation, "LockConfiguration") ||
			strings.Contains(operation, "Multipart") || strings.HasPrefix(operation, "UploadPart") || operation == "ListParts"
	}
	return false
}
