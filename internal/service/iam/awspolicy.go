// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"time"

	"github.com/obscura-video/obscura/internal/policy"
)

const administratorAccess = "arn:aws:iam::aws:policy/AdministratorAccess"

// awsPolicies makes the managed policies that belong to the server and not to the account, under AWS's names
// because tools attach them by those. They grant what AWS's grant as far as the services here go.
func awsPolicies() []*managedPolicy {
	readers := []string{
		"cloudfront:Get*", "cloudfront:List*", "cloudtrail:Describe*", "cloudtrail:Get*", "cloudtrail:List*",
		"cloudtrail:LookupEvents", "elastictranscoder:List*", "elastictranscoder:Read*", "iam:Generate*", "iam:Get*",
		"iam:List*", "iam:Simulate*", "iot:Describe*", "iot:Get*", "iot:List*", "kinesis:Describe*", "kinesis:Get*",
		"kinesis:List*", "kinesisvideo:Describe*", "kinesisvideo:Get*", "kinesisvideo:List*", "kms:Describe*",
		"kms:Get*", "kms:List*", "s3:Describe*", "s3:Get*", "s3:List*", "sts:GetAccessKeyInfo", "sts:GetCallerIdentity",
	}
	return []*managedPolicy{
		awsPolicy("AdministratorAccess", "Provides full access to all services and resources.", "*"),
		awsPolicy("ReadOnlyAccess", "Provides read-only access to all services and resources.", readers...),
		awsPolicy("IAMFullAccess", "Provides full access to IAM.", "iam:*"),
		awsPolicy("IAMReadOnlyAccess", "Provides read-only access to IAM.", "iam:Generate*", "iam:Get*", "iam:List*", "iam:Simulate*"),
		awsPolicy("AmazonKinesisFullAccess", "Provides full access to all streams.", "kinesis:*"),
		awsPolicy("AmazonKinesisReadOnlyAccess", "Provides read-only access to all streams.",
			"kinesis:Get*", "kinesis:List*", "kinesis:Describe*"),
		awsPolicy("AmazonKinesisVideoStreamsFullAccess", "Provides full access to all video streams.", "kinesisvideo:*"),
		awsPolicy("AmazonKinesisVideoStreamsReadOnlyAccess", "Provides read-only access to all video streams.",
			"kinesisvideo:Describe*", "kinesisvideo:Get*", "kinesisvideo:List*"),
		awsPolicy("AmazonS3FullAccess", "Provides full access to all buckets.", "s3:*"),
		awsPolicy("AmazonS3ReadOnlyAccess", "Provides read-only access to all buckets.", "s3:Get*", "s3:List*", "s3:Describe*"),
		awsPolicy("AWSKeyManagementServicePowerUser", "Provides access to KMS, without the management of keys.",
			"kms:CreateAlias", "kms:CreateKey", "kms:DeleteAlias", "kms:Describe*", "kms:GenerateRandom", "kms:Get*",
			"kms:List*", "kms:TagResource", "kms:UntagResource", "iam:ListGroups", "iam:ListRoles", "iam:ListUsers"),
		awsPolicy("AWSCloudTrail_FullAccess", "Provides full access to CloudTrail.", "cloudtrail:*"),
		awsPolicy("AWSCloudTrail_ReadOnlyAccess", "Provides read-only access to CloudTrail.",
			"cloudtrail:Get*", "cloudtrail:Describe*", "cloudtrail:List*", "cloudtrail:LookupEvents"),
		awsPolicy("CloudFrontFullAccess", "Provides full access to distributions.", "cloudfront:*"),
		awsPolicy("CloudFrontReadOnlyAccess", "Provides read-only access to distributions.", "cloudfront:Get*", "cloudfront:List*"),
		awsPolicy("AmazonElasticTranscoder_FullAccess", "Provides full access to Elastic Transcoder.", "elastictranscoder:*"),
		awsPolicy("AmazonElasticTranscoder_ReadOnlyAccess", "Provides read-only access to Elastic Transcoder.",
			"elastictranscoder:Read*", "elastictranscoder:List*"),
	}
}

// awsPolicy makes a policy that allows actions on everything. Its ID follows from its name.
func awsPolicy(name, description string, actions ...string) *managedPolicy {
	type statement struct {
		Effect   string
		Action   any
		Resource string
	}
	st := statement{Effect: "Allow", Action: actions, Resource: "*"}
	if len(actions) == 1 {
		st.Action = actions[0]
	}
	text, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{policy.Version2012, []statement{st}}, "", "  ")
	d := &document{Text: string(text)}
	if err == nil {
		err = d.compile()
	}
	if err != nil {
		panic("iam: " + name + ": " + err.Error()) // the table above is wrong
	}
	sum := sha256.Sum256([]byte(name))
	created := time.Date(2015, 2, 6, 18, 39, 46, 0, time.UTC)
	return &managedPolicy{
		ID: "ANPA" + base32.StdEncoding.EncodeToString(sum[:])[:17], Name: name, Path: "/",
		ARN: "arn:aws:iam::aws:policy/" + name, Description: description, Created: created, Updated: created,
		Default: "v1", Last: 1, versions: []*policyVersion{{ID: "v1", Created: created, Document: d}},
	}
}
