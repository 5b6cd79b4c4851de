// SPDX-License-Identifier: Apache-2.0

// Package cloudtrail is the conformance cases of AWS CloudTrail: looking up events, and trails. See kit for what a
// case is.
//
// Source: CloudTrail API Reference.
package cloudtrail

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"

	trailapi "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// API is the cases of CloudTrail. They run one after the other, since an account can have five trails only.
func API() *kit.API {
	a := &kit.API{
		Model: trailapi.New(trailapi.Unimplemented{}), Denied: "AccessDeniedException",
		Never: map[string]string{
			"ThrottlingException":                                    "callers are throttled before the service is asked, and only where that is configured",
			"ConflictException":                                      "changes are made one after the other",
			"OperationNotPermittedException":                         "nothing is forbidden to who has the permission",
			"UnsupportedOperationException":                          "what is there is supported",
			"NoManagementAccountSLRExistsException":                  noOrganizations,
			"NotOrganizationMasterAccountException":                  noOrganizations,
			"InsufficientDependencyServiceAccessPermissionException": noOrganizations,
			"CloudTrailAccessNotEnabledException":                    noOrganizations,
			"OrganizationNotInAllFeaturesModeException":              noOrganizations,
			"CloudTrailInvalidClientTokenIdException":                noOrganizations,
			"InvalidHomeRegionException":                             "there is one Region",
			"ChannelARNInvalidException":                             noLake,
			"ChannelNotFoundException":                               noLake,
			"EventDataStoreARNInvalidException":                      noLake,
			"EventDataStoreNotFoundException":                        noLake,
			"InactiveEventDataStoreException":                        noLake,
			"S3BucketDoesNotExistException":                          noBuckets,
			"InsufficientS3BucketPolicyException":                    noBuckets,
			"InsufficientSnsTopicPolicyException":                    notSent,
			"InvalidSnsTopicNameException":                           notSent,
			"InvalidCloudWatchLogsLogGroupArnException":              notSent,
			"InvalidCloudWatchLogsRoleArnException":                  notSent,
			"CloudWatchLogsDeliveryUnavailableException":             notSent,
			"InvalidParameterException":                              "the errors of a trail's settings are more exact",
			"TrailNotProvidedException":                              "is no longer in use, on AWS neither",
		},
		Cases: slices.Concat(trailCases(), describeCases(), loggingCases(), selectorCases(), tagCases(), eventCases()),
	}
	for i := range a.Cases {
		a.Cases[i].Alone = true
	}
	return a
}

// Reasons that several errors share.
const (
	noOrganizations = "there are no organizations"
	noLake          = "there is no CloudTrail Lake"
	noBuckets       = "buckets are not looked at until there are some"
	notSent         = "SNS and CloudWatch Logs are refused as unsupported"
)

const (
	// absent is a name that no trail has.
	absent = "conformance-absent"
	// misnomer is too short for a name.
	misnomer = "a"
)

func arn(w *kit.World, name string) string { return w.ARN("cloudtrail", "trail/"+name) }

// newTrail makes a trail that is deleted at the end of the test.
func newTrail(w *kit.World) (name string) {
	w.T.Helper()
	name = w.Name()
	w.Must(create(w.Admin, &cloudtrail.CreateTrailInput{Name: &name, S3BucketName: bucket(w)}))
	removeAfterwards(w, name)
	return name
}

func removeAfterwards(w *kit.World, name string) {
	w.Afterwards("trail "+name, func(c *kit.Clients) error {
		err := remove(c, name)
		if code, _ := kit.CodeOf(err); code == "TrailNotFoundException" {
			return nil
		}
		return err
	})
}

// bucket is where trails are to deliver.
func bucket(w *kit.World) *string { return &w.Options.Bucket }

// named is an operation on a trail, with all else as it should be; trails are called by their names or their ARNs.
type named func(c *kit.Clients, trail string) error

// detail is what a case has besides.
type detail struct {
	// prepare makes what the operation needs of its trail.
	prepare func(w *kit.World, name string)
	// changes looks at what the operation changes.
	changes func(w *kit.World, name string) any
	errors  kit.Errors
	never   map[string]string
}

// on is the case of an operation on a trail.
func on(op string, do named, d detail) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			name := newTrail(w)
			if d.prepare != nil {
				d.prepare(w, name)
			}
			good := kit.Call{Needs: kit.On(arn(w, name)), Do: func(c *kit.Clients) error { return do(c, name) }}
			if d.changes != nil {
				good.Changes = func() any { return d.changes(w, name) }
			}
			return good
		},
		Errors: kit.Merge(missing(do), misnamed(do), d.errors),
		Never:  d.never,
	}
}

// missing trails do not exist.
func missing(do named) kit.Errors {
	return kit.Errors{"TrailNotFoundException": func(w *kit.World) error {
		return kit.Saying(do(w.Admin, absent), "Unknown trail: "+arn(w, absent)+" for the user: "+w.Account)
	}}
}

// misnamed is a text that can be no name, and an ARN that is no trail's.
func misnamed(do named) kit.Errors {
	return kit.Errors{
		"InvalidTrailNameException":     func(w *kit.World) error { return do(w.Admin, misnomer) },
		"CloudTrailARNInvalidException": func(w *kit.World) error { return do(w.Admin, w.ARN("cloudtrail", "nothing/"+absent)) },
	}
}
