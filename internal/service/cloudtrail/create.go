// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/meta"
)

// CreateTrail stores a trail, which does not log until StartLogging.
//
// Errors: InvalidTrailNameException, TrailAlreadyExistsException, MaximumNumberOfTrailsExceededException;
// S3BucketDoesNotExistException, InsufficientS3BucketPolicyException, InvalidS3BucketNameException,
// InvalidS3PrefixException; the KMS's by their CloudTrail names; UnsupportedOperationException for SNS and
// CloudWatch Logs; OrganizationsNotInUseException; InvalidParameterCombinationException; tag errors.
//
// Source: CloudTrail API Reference, CreateTrail.
func (s *Service) CreateTrail(ctx context.Context, in *api.CreateTrailInput) (*api.CreateTrailOutput, error) {
	name, err := s.begin(ctx, "CreateTrail", *in.Name)
	if errors.As(err, new(*access.Denied)) {
		return nil, err
	}
	if strings.HasPrefix(*in.Name, "arn:") { // of whatever
		return nil, &api.InvalidTrailNameException{Message: "A new trail needs a name, not an ARN."}
	}
	if err != nil {
		return nil, err
	}
	t := &trail{Name: name, GlobalEvents: true}
	if err := t.addTags(in.TagsList); err != nil {
		return nil, err
	}
	err = s.apply(ctx, t, settings{
		bucket: in.S3BucketName, prefix: in.S3KeyPrefix, key: in.KmsKeyId,
		global: in.IncludeGlobalServiceEvents, multi: in.IsMultiRegionTrail,
		validation: in.EnableLogFileValidation, organization: in.IsOrganizationTrail,
		topic: in.SnsTopicName, logGroup: in.CloudWatchLogsLogGroupArn, logRole: in.CloudWatchLogsRoleArn,
	})
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(ctx, func(tx meta.Tx) error {
		all, err := loadAll(tx)
		if err != nil {
			return err
		}
		for _, other := range all {
			if other.Name == name {
				return &api.TrailAlreadyExistsException{Message: "Trail " + name + " already exists for customer: " + s.Account}
			}
		}
		if len(all) >= maxTrails {
			return &api.MaximumNumberOfTrailsExceededException{Message: fmt.Sprintf("User: %s already has %d trails in %s.", s.Account, maxTrails, s.Region)}
		}
		return t.store(tx)
	})
	if err != nil {
		return nil, err
	}
	return (*api.CreateTrailOutput)(s.settingsOf(t)), nil
}

// UpdateTrail changes what is given and leaves the rest; an empty prefix or key takes that away.
//
// Errors: TrailNotFoundException, CloudTrailARNInvalidException, and those of CreateTrail.
func (s *Service) UpdateTrail(ctx context.Context, in *api.UpdateTrailInput) (*api.UpdateTrailOutput, error) {
	name, err := s.begin(ctx, "UpdateTrail", *in.Name)
	if err != nil {
		return nil, err
	}
	change := settings{
		bucket: in.S3BucketName, prefix: in.S3KeyPrefix, key: in.KmsKeyId,
		global: in.IncludeGlobalServiceEvents, multi: in.IsMultiRegionTrail,
		validation: in.EnableLogFileValidation, organization: in.IsOrganizationTrail,
		topic: in.SnsTopicName, logGroup: in.CloudWatchLogsLogGroupArn, logRole: in.CloudWatchLogsRoleArn,
	}
	probed, err := s.view(ctx, name)
	if err != nil {
		return nil, err
	}
	// Bucket and key are tried outside the transaction, which then sets only what the caller gave.
	if err := s.apply(ctx, probed, change); err != nil {
		return nil, err
	}
	t, err := s.update(ctx, name, func(t *trail) error {
		if change.key != nil {
			t.KeyARN = probed.KeyARN
		}
		return change.set(t)
	})
	if err != nil {
		return nil, err
	}
	return s.settingsOf(t), nil
}

// DeleteTrail removes a trail. What was delivered stays in its bucket.
func (s *Service) DeleteTrail(ctx context.Context, in *api.DeleteTrailInput) (*api.DeleteTrailOutput, error) {
	name, err := s.begin(ctx, "DeleteTrail", *in.Name)
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(ctx, func(tx meta.Tx) error {
		if _, err := s.load(tx, name); err != nil {
			return err
		}
		tx.Delete(trailKey(name))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteTrailOutput{}, nil
}

// settings are what CreateTrail and UpdateTrail have in common; nil leaves a setting as it is.
type settings struct {
	bucket, prefix, key, topic, logGroup, logRole *string
	global, multi, validation, organization       *bool
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// apply checks in, with the services that it names too, and puts it into t.
func (s *Service) apply(ctx context.Context, t *trail, in settings) error {
	if err := in.supported(); err != nil {
		return err
	}
	if err := in.set(t); err != nil {
		return err
	}
	if err := s.probe(ctx, t); err != nil {
		return err
	}
	if in.key == nil {
		return nil
	}
	t.KeyARN = ""
	if *in.key == "" {
		return nil
	}
	var err error
	t.KeyARN, err = s.resolveKey(ctx, *in.key, s.trailARN(t.Name))
	return err
}

// set puts everything but the key into t.
func (in settings) set(t *trail) error {
	set(&t.Bucket, in.bucket)
	set(&t.Prefix, in.prefix)
	set(&t.GlobalEvents, in.global)
	set(&t.MultiRegion, in.multi)
	set(&t.Validation, in.validation)
	if t.MultiRegion && !t.GlobalEvents {
		return &api.InvalidParameterCombinationException{Message: "Multi-Region trail must include global service events."}
	}
	if !bucketName.MatchString(t.Bucket) || strings.Contains(t.Bucket, "..") {
		return &api.InvalidS3BucketNameException{Message: "Bucket name is not valid: " + t.Bucket}
	}
	if len(t.Prefix) > 200 {
		return &api.InvalidS3PrefixException{Message: "S3 key prefix cannot be longer than 200 characters."}
	}
	return nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (in settings) supported() error {
	given := func(p *string) bool { return p != nil && *p != "" }
	switch {
	case in.organization != nil && *in.organization:
		return &api.OrganizationsNotInUseException{Message: "This server has no organizations."}
	case given(in.topic):
		return &api.UnsupportedOperationException{Message: "This server has no SNS topics."}
	case given(in.logGroup), given(in.logRole):
		return &api.UnsupportedOperationException{Message: "This server has no CloudWatch Logs."}
	}
	return nil
}

func (s *Service) probe(ctx context.Context, t *trail) error {
	if s.Buckets == nil {
		return nil // GetTrailStatus says that nothing is delivered
	}
	err := s.Buckets.ProbeBucket(ctx, t.Bucket, t.Prefix, s.trailARN(t.Name))
	if errors.Is(err, ErrNoBucket) {
		return &api.S3BucketDoesNotExistException{Message: "S3 bucket " + t.Bucket + " does not exist!"}
	}
	if err != nil {
		return &api.InsufficientS3BucketPolicyException{Message: "Incorrect S3 bucket policy is detected for bucket: " + t.Bucket}
	}
	return nil
}

// resolveKey translates the KMS's errors into CloudTrail's; what it does not know passes as it is.
func (s *Service) resolveKey(ctx context.Context, keyID, trailARN string) (string, error) {
	if s.Keys == nil {
		return "", &api.KmsException{Message: "This server cannot encrypt log files with a KMS key."}
	}
	arn, err := s.Keys.KeyARN(ctx, keyID, trailARN)
	if errors.Is(err, ErrKeyPolicy) {
		return "", &api.InsufficientEncryptionPolicyException{Message: "Insufficient permissions to access S3 bucket or KMS key " + keyID + "."}
	}
	var coded interface{ ErrorCode() string }
	if err == nil || !errors.As(err, &coded) {
		return arn, err
	}
	switch coded.ErrorCode() {
	case "NotFoundException":
		return "", &api.KmsKeyNotFoundException{Message: "KMS key " + keyID + " does not exist."}
	case "DisabledException", "KMSInvalidStateException":
		return "", &api.KmsKeyDisabledException{Message: "KMS key " + keyID + " is not usable."}
	case "InvalidArnException", "ValidationException":
		return "", &api.InvalidKmsKeyIdException{Message: "KMS key ID is not valid: " + keyID}
	case "InvalidKeyUsageException", "UnsupportedOperationException":
		return "", &api.KmsException{Message: "KMS key " + keyID + " cannot encrypt log files: a symmetric encryption key is needed."}
	}
	return "", err
}

// settingsOf is the answer of CreateTrail and UpdateTrail.
func (s *Service) settingsOf(t *trail) *api.UpdateTrailOutput {
	d := s.describe(t)
	return &api.UpdateTrailOutput{
		Name: d.Name, S3BucketName: d.S3BucketName, S3KeyPrefix: d.S3KeyPrefix, TrailARN: d.TrailARN,
		IncludeGlobalServiceEvents: d.IncludeGlobalServiceEvents, IsMultiRegionTrail: d.IsMultiRegionTrail,
		LogFileValidationEnabled: d.LogFileValidationEnabled, KmsKeyId: d.KmsKeyId, IsOrganizationTrail: d.IsOrganizationTrail,
	}
}
