// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func create(c *kit.Clients, in *cloudtrail.CreateTrailInput, got ...func(*cloudtrail.CreateTrailOutput) error) error {
	return kit.Run(c, c.Trail.CreateTrail, in, got...)
}

func remove(c *kit.Clients, name string) error {
	return kit.Run(c, c.Trail.DeleteTrail, &cloudtrail.DeleteTrailInput{Name: &name})
}

// trail is what GetTrail says of it, nil where there is none.
func trail(w *kit.World, name string) any {
	w.T.Helper()
	out, err := w.Admin.Trail.GetTrail(w.Admin.Ctx, &cloudtrail.GetTrailInput{Name: &name})
	if code, _ := kit.CodeOf(err); code == "TrailNotFoundException" {
		return nil
	}
	w.Must(err)
	return *out.Trail
}

func trailCases() []kit.Case {
	update := func(c *kit.Clients, name string) error {
		return kit.Run(c, c.Trail.UpdateTrail, &cloudtrail.UpdateTrailInput{Name: &name, EnableLogFileValidation: aws.Bool(true)}, func(o *cloudtrail.UpdateTrailOutput) error {
			return kit.True("log files are validated", *o.LogFileValidationEnabled)
		})
	}
	// with updates a trail, with one thing wrong.
	with := func(w *kit.World, s settings) error {
		in := &cloudtrail.UpdateTrailInput{
			Name: aws.String(newTrail(w)), S3BucketName: s.bucket, S3KeyPrefix: s.prefix, KmsKeyId: s.key, SnsTopicName: s.topic,
			IncludeGlobalServiceEvents: s.global, IsMultiRegionTrail: s.multi, IsOrganizationTrail: s.organization,
		}
		return kit.Run(w.Admin, w.Admin.Trail.UpdateTrail, in)
	}
	return []kit.Case{
		createTrail(),
		on("UpdateTrail", update, detail{
			changes: trail, errors: wrongSettings(with),
			never: map[string]string{"InvalidEventSelectorsException": "sets no selectors"},
		}),
		on("DeleteTrail", remove, detail{changes: trail}),
	}
}

// settings are those of a trail that can be wrong.
type settings struct {
	bucket, prefix, key, topic  *string
	global, multi, organization *bool
}

// wrongSettings are the errors of making and of changing a trail.
func wrongSettings(with func(w *kit.World, s settings) error) kit.Errors {
	encrypted := func(key func(w *kit.World) string) func(w *kit.World) error {
		return func(w *kit.World) error { return with(w, settings{key: aws.String(key(w))}) }
	}
	fixed := func(s settings) func(w *kit.World) error {
		return func(w *kit.World) error { return with(w, s) }
	}
	return kit.Errors{
		"InvalidS3BucketNameException":         fixed(settings{bucket: aws.String("No Bucket")}),
		"InvalidS3PrefixException":             fixed(settings{prefix: aws.String(strings.Repeat("x", 201))}),
		"InvalidParameterCombinationException": fixed(settings{global: aws.Bool(false), multi: aws.Bool(true)}),
		"OrganizationsNotInUseException":       fixed(settings{organization: aws.Bool(true)}),
		"UnsupportedOperationException":        fixed(settings{topic: aws.String("topic")}),
		"KmsKeyNotFoundException":              encrypted(func(w *kit.World) string { return w.ARN("kms", "key/12345678-1234-1234-1234-123456789012") }),
		"InvalidKmsKeyIdException":             encrypted(func(w *kit.World) string { return w.ARN("kms", "nothing/x") }),
		"KmsKeyDisabledException": encrypted(func(w *kit.World) string {
			id := newKey(w, &kms.CreateKeyInput{Policy: lettingTrails(w)})
			w.Must(kit.Run(w.Admin, w.Admin.KMS.DisableKey, &kms.DisableKeyInput{KeyId: &id}))
			return id
		}),
		"KmsException": encrypted(func(w *kit.World) string {
			return newKey(w, &kms.CreateKeyInput{KeySpec: kmstypes.KeySpecEccNistP256, KeyUsage: kmstypes.KeyUsageTypeSignVerify, Policy: lettingTrails(w)})
		}),
		// The policy that a key has by itself does not let CloudTrail use it.
		"InsufficientEncryptionPolicyException": encrypted(func(w *kit.World) string { return newKey(w, &kms.CreateKeyInput{}) }),
	}
}

// lettingTrails is a key policy that lets CloudTrail use the key.
func lettingTrails(w *kit.World) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + w.ARN("iam", "root") + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"kms:GenerateDataKey*","Resource":"*"}]}`)
}

// newKey makes a KMS key and returns its ARN.
func newKey(w *kit.World, in *kms.CreateKeyInput) (arn string) {
	w.T.Helper()
	out, err := w.Admin.KMS.CreateKey(w.Admin.Ctx, in)
	w.Must(err)
	w.Cleanup("key "+*out.KeyMetadata.KeyId, func(c *kit.Clients) error {
		return kit.Run(c, c.KMS.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: out.KeyMetadata.KeyId, PendingWindowInDays: aws.Int32(7)})
	})
	return *out.KeyMetadata.Arn
}

// tags are so many.
func tags(n int) (all []types.Tag) {
	for i := range n {
		all = append(all, types.Tag{Key: aws.String(fmt.Sprint("key", i)), Value: aws.String("v")})
	}
	return all
}

// twice is a tag that is given twice.
func twice() []types.Tag { return append(tags(1), tags(1)...) }

func createTrail() kit.Case {
	with := func(w *kit.World, s settings) error {
		in := &cloudtrail.CreateTrailInput{
			Name: aws.String(w.Name()), S3BucketName: bucket(w), S3KeyPrefix: s.prefix, KmsKeyId: s.key, SnsTopicName: s.topic,
			IncludeGlobalServiceEvents: s.global, IsMultiRegionTrail: s.multi, IsOrganizationTrail: s.organization,
		}
		if s.bucket != nil {
			in.S3BucketName = s.bucket
		}
		return create(w.Admin, in)
	}
	tagged := func(tags []types.Tag) func(w *kit.World) error {
		return func(w *kit.World) error {
			return create(w.Admin, &cloudtrail.CreateTrailInput{Name: aws.String(w.Name()), S3BucketName: bucket(w), TagsList: tags})
		}
	}
	return kit.Case{
		Op: "CreateTrail",
		Good: func(w *kit.World) kit.Call {
			name := w.Name()
			removeAfterwards(w, name)
			return kit.Call{
				Needs:   kit.On(arn(w, name)),
				Changes: func() any { return trail(w, name) },
				Do: func(c *kit.Clients) error {
					return create(c, &cloudtrail.CreateTrailInput{Name: &name, S3BucketName: bucket(w)}, func(o *cloudtrail.CreateTrailOutput) error {
						return kit.Want("trail", []any{*o.Name, *o.TrailARN, *o.S3BucketName, *o.IncludeGlobalServiceEvents, *o.IsMultiRegionTrail}, []any{name, arn(w, name), *bucket(w), true, false})
					})
				},
			}
		},
		Errors: kit.Merge(wrongSettings(with), kit.Errors{
			"InvalidTrailNameException": func(w *kit.World) error {
				return create(w.Admin, &cloudtrail.CreateTrailInput{Name: aws.String(misnomer), S3BucketName: bucket(w)})
			},
			"TrailAlreadyExistsException": func(w *kit.World) error {
				return create(w.Admin, &cloudtrail.CreateTrailInput{Name: aws.String(newTrail(w)), S3BucketName: bucket(w)})
			},
			"MaximumNumberOfTrailsExceededException": func(w *kit.World) error {
				for { // the target may have trails already
					name := w.Name()
					if err := create(w.Admin, &cloudtrail.CreateTrailInput{Name: &name, S3BucketName: bucket(w)}); err != nil {
						return err
					}
					removeAfterwards(w, name)
				}
			},
			"InvalidTagParameterException": tagged(twice()),
			"TagsLimitExceededException":   tagged(tags(51)),
		}),
	}
}
