// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
)

func (f *fixture) create(t *testing.T, name string) *api.CreateTrailOutput {
	t.Helper()
	out, err := f.CreateTrail(t.Context(), &api.CreateTrailInput{Name: new(name), S3BucketName: new("trails")})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTrailLivesFromCreateToDelete(t *testing.T) {
	f := setup(t)
	out, err := f.CreateTrail(t.Context(), &api.CreateTrailInput{
		Name: new("cams"), S3BucketName: new("trails"), S3KeyPrefix: new("p"), EnableLogFileValidation: new(true),
		KmsKeyId: new("alias/trails"), TagsList: []*api.Tag{{Key: new("site"), Value: new("north")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:cloudtrail:us-east-1:000000000000:trail/cams"
	if *out.TrailARN != arn || !*out.LogFileValidationEnabled || !*out.IncludeGlobalServiceEvents || *out.IsMultiRegionTrail ||
		*out.KmsKeyId != "arn:aws:kms:us-east-1:000000000000:key/1" || *out.S3KeyPrefix != "p" {
		t.Errorf("%+v", out)
	}
	status := func() *api.GetTrailStatusOutput {
		t.Helper()
		s, err := f.GetTrailStatus(t.Context(), &api.GetTrailStatusInput{Name: new(arn)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := status(); *s.IsLogging || s.StartLoggingTime != nil {
		t.Error("a new trail logs")
	}
	for range 2 { // idempotent
		if _, err := f.StartLogging(t.Context(), &api.StartLoggingInput{Name: new("cams")}); err != nil {
			t.Fatal(err)
		}
		f.now = f.now.Add(time.Minute)
	}
	if s := status(); !*s.IsLogging || !s.StartLoggingTime.Equal(f.now.Add(-2*time.Minute)) {
		t.Errorf("%+v", s)
	}
	if _, err := f.StopLogging(t.Context(), &api.StopLoggingInput{Name: new("cams")}); err != nil {
		t.Fatal(err)
	}
	if s := status(); *s.IsLogging || !s.StopLoggingTime.Equal(f.now) {
		t.Errorf("%+v", s)
	}
	up, err := f.UpdateTrail(t.Context(), &api.UpdateTrailInput{Name: new(arn), S3KeyPrefix: new(""), KmsKeyId: new("")})
	if err != nil || up.S3KeyPrefix != nil || up.KmsKeyId != nil || !*up.LogFileValidationEnabled {
		t.Fatalf("%+v, %v", up, err)
	}
	list, err := f.ListTrails(t.Context(), &api.ListTrailsInput{})
	if err != nil || len(list.Trails) != 1 || *list.Trails[0].HomeRegion != "us-east-1" {
		t.Fatal(list, err)
	}
	desc, err := f.DescribeTrails(t.Context(), &api.DescribeTrailsInput{TrailNameList: []string{"cams", "other"}})
	if err != nil || len(desc.TrailList) != 1 || *desc.TrailList[0].HasCustomEventSelectors {
		t.Fatal(desc, err)
	}
	if _, err := f.DeleteTrail(t.Context(), &api.DeleteTrailInput{Name: new("cams")}); err != nil {
		t.Fatal(err)
	}
	_, err = f.GetTrail(t.Context(), &api.GetTrailInput{Name: new("cams")})
	wantCode(t, err, "TrailNotFoundException")
	_, err = f.DeleteTrail(t.Context(), &api.DeleteTrailInput{Name: new("cams")})
	wantCode(t, err, "TrailNotFoundException")
}

func TestCreateTrailRefuses(t *testing.T) {
	f := setup(t)
	f.create(t, "taken")
	in := func(change func(*api.CreateTrailInput)) *api.CreateTrailInput {
		i := &api.CreateTrailInput{Name: new("fresh"), S3BucketName: new("trails")}
		change(i)
		return i
	}
	many := make([]*api.Tag, 51)
	for i := range many {
		many[i] = &api.Tag{Key: new(fmt.Sprint("k", i))}
	}
	for _, tt := range []struct {
		change func(*api.CreateTrailInput)
		code   string
	}{
		{func(i *api.CreateTrailInput) { i.Name = new("taken") }, "TrailAlreadyExistsException"},
		{func(i *api.CreateTrailInput) { i.Name = new("ab") }, "InvalidTrailNameException"},
		{func(i *api.CreateTrailInput) { i.Name = new("arn:aws:cloudtrail:us-east-1:000000000000:trail/fresh") }, "InvalidTrailNameException"},
		{func(i *api.CreateTrailInput) { i.Name = new("arn:aws:kms:us-east-1:000000000000:key/fresh") }, "InvalidTrailNameException"},
		{func(i *api.CreateTrailInput) { i.Name = new(strings.Repeat("a", 129)) }, "InvalidTrailNameException"},
		{func(i *api.CreateTrailInput) { i.Name = new("a_-b") }, "InvalidTrailNameException"},
		{func(i *api.CreateTrailInput) { i.Name = new("abc-") }, "InvalidTrailNameException"},
		{func(i *api.CreateTrailInput) { i.Name = new("a b") }, "InvalidTrailNameException"},
		{func(i *api.CreateTrailInput) { i.Name = new("192.168.5.4") }, "InvalidTrailNameException"},
		{func(i *api.CreateTrailInput) { i.S3BucketName = new("missing") }, "S3BucketDoesNotExistException"},
		{func(i *api.CreateTrailInput) { i.S3BucketName = new("closed") }, "InsufficientS3BucketPolicyException"},
		{func(i *api.CreateTrailInput) { i.S3BucketName = new("No Bucket") }, "InvalidS3BucketNameException"},
		{func(i *api.CreateTrailInput) { i.S3KeyPrefix = new(strings.Repeat("p", 201)) }, "InvalidS3PrefixException"},
		{func(i *api.CreateTrailInput) { i.KmsKeyId = new("NotFoundException") }, "KmsKeyNotFoundException"},
		{func(i *api.CreateTrailInput) { i.KmsKeyId = new("DisabledException") }, "KmsKeyDisabledException"},
		{func(i *api.CreateTrailInput) { i.KmsKeyId = new("InvalidArnException") }, "InvalidKmsKeyIdException"},
		{func(i *api.CreateTrailInput) { i.KmsKeyId = new("InvalidKeyUsageException") }, "KmsException"},
		{func(i *api.CreateTrailInput) {
			i.KmsKeyId = new("for arn:aws:cloudtrail:us-east-1:000000000000:trail/fresh")
		}, "InsufficientEncryptionPolicyException"},
		{func(i *api.CreateTrailInput) { i.SnsTopicName = new("t") }, "UnsupportedOperationException"},
		{func(i *api.CreateTrailInput) { i.CloudWatchLogsRoleArn = new("t") }, "UnsupportedOperationException"},
		{func(i *api.CreateTrailInput) { i.IsOrganizationTrail = new(true) }, "OrganizationsNotInUseException"},
		{func(i *api.CreateTrailInput) {
			i.IsMultiRegionTrail, i.IncludeGlobalServiceEvents = new(true), new(false)
		}, "InvalidParameterCombinationException"},
		{func(i *api.CreateTrailInput) { i.TagsList = many }, "TagsLimitExceededException"},
		{func(i *api.CreateTrailInput) { i.TagsList = []*api.Tag{{Key: new("AWS:x")}} }, "InvalidTagParameterException"},
		{func(i *api.CreateTrailInput) { i.TagsList = []*api.Tag{{Key: new("x")}, {Key: new("x")}} }, "InvalidTagParameterException"},
	} {
		_, err := f.CreateTrail(t.Context(), in(tt.change))
		wantCode(t, err, tt.code)
	}
	for i := range maxTrails - 1 {
		f.create(t, fmt.Sprintf("trail%d", i))
	}
	_, err := f.CreateTrail(t.Context(), in(func(*api.CreateTrailInput) {}))
	wantCode(t, err, "MaximumNumberOfTrailsExceededException")
}

// TestWithoutBucketsATrailIsStoredAndSaysThatNothingIsDelivered, rather than pretending that it were.
func TestWithoutBucketsATrailIsStoredAndSaysThatNothingIsDelivered(t *testing.T) {
	f := setup(t)
	f.Buckets = nil
	if _, err := f.CreateTrail(t.Context(), &api.CreateTrailInput{Name: new("cams"), S3BucketName: new("any"), EnableLogFileValidation: new(true)}); err != nil {
		t.Fatal(err)
	}
	_, err := f.CreateTrail(t.Context(), &api.CreateTrailInput{Name: new("more"), S3BucketName: new("No Bucket")})
	wantCode(t, err, "InvalidS3BucketNameException")
	for _, on := range []bool{false, true} {
		if on {
			if _, err := f.StartLogging(t.Context(), &api.StartLoggingInput{Name: new("cams")}); err != nil {
				t.Fatal(err)
			}
		}
		s, err := f.GetTrailStatus(t.Context(), &api.GetTrailStatusInput{Name: new("cams")})
		if err != nil {
			t.Fatal(err)
		}
		says := s.LatestDeliveryError != nil && *s.LatestDeliveryError == "NoSuchBucket" && s.LatestDigestDeliveryError != nil
		if says != on || s.LatestDeliveryTime != nil {
			t.Errorf("logging %v: %+v", on, s)
		}
	}
}

func TestTrailsAreNamedByNameOrARN(t *testing.T) {
	f := setup(t)
	f.create(t, "cams")
	for ref, code := range map[string]string{
		"cams": "",
		"arn:aws:cloudtrail:us-east-1:000000000000:trail/cams":  "",
		"arn:aws:cloudtrail:eu-west-1:000000000000:trail/cams":  "TrailNotFoundException",
		"arn:aws:cloudtrail:us-east-1:111111111111:trail/cams":  "TrailNotFoundException",
		"arn:aws:cloudtrail:us-east-1:000000000000:channel/x-y": "CloudTrailARNInvalidException",
		"arn:aws:s3:::cams": "CloudTrailARNInvalidException",
		"?":                 "InvalidTrailNameException",
	} {
		_, err := f.GetTrail(t.Context(), &api.GetTrailInput{Name: new(ref)})
		wantCode(t, err, code)
	}
}

func TestEventSelectorsReplaceEachOther(t *testing.T) {
	f := setup(t)
	f.create(t, "cams")
	get := func() *api.GetEventSelectorsOutput {
		t.Helper()
		out, err := f.GetEventSelectors(t.Context(), &api.GetEventSelectorsInput{TrailName: new("cams")})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := get(); len(out.EventSelectors) != 1 || *out.EventSelectors[0].ReadWriteType != "All" || !*out.EventSelectors[0].IncludeManagementEvents {
		t.Fatalf("%+v", out)
	}
	put := func(in *api.PutEventSelectorsInput) error {
		in.TrailName = new("cams")
		_, err := f.PutEventSelectors(t.Context(), in)
		return err
	}
	basic := []*api.EventSelector{{
		ReadWriteType: new("WriteOnly"), ExcludeManagementEventSources: []string{"kms.amazonaws.com"},
		DataResources: []*api.DataResource{{Type: new("AWS::S3::Object"), Values: []string{"arn:aws:s3:::b/", "arn:aws:s3"}}},
	}}
	if err := put(&api.PutEventSelectorsInput{EventSelectors: basic}); err != nil {
		t.Fatal(err)
	}
	field := func(name string, equals ...string) *api.AdvancedFieldSelector {
		return &api.AdvancedFieldSelector{Field: new(name), Equals: equals}
	}
	rule := func(f ...*api.AdvancedFieldSelector) []*api.AdvancedEventSelector {
		return []*api.AdvancedEventSelector{{FieldSelectors: f}}
	}
	good := rule(field("eventCategory", "Data"), field("resources.type", "AWS::KinesisVideo::Stream"))
	if err := put(&api.PutEventSelectorsInput{AdvancedEventSelectors: good}); err != nil {
		t.Fatal(err)
	}
	if out := get(); len(out.EventSelectors) != 0 || len(out.AdvancedEventSelectors) != 1 {
		t.Fatalf("%+v", out)
	}
	for name, in := range map[string]*api.PutEventSelectorsInput{
		"none": {}, "both": {EventSelectors: basic, AdvancedEventSelectors: good},
		"too many":       {EventSelectors: make6()},
		"type":           {EventSelectors: []*api.EventSelector{{DataResources: []*api.DataResource{{Type: new("AWS::KinesisVideo::Stream")}}}}},
		"value":          {EventSelectors: []*api.EventSelector{{DataResources: []*api.DataResource{{Type: new("AWS::S3::Object"), Values: []string{"arn:aws:s3x"}}}}}},
		"source":         {EventSelectors: []*api.EventSelector{{ExcludeManagementEventSources: []string{"iam.amazonaws.com"}}}},
		"no category":    {AdvancedEventSelectors: rule(field("eventName", "x"))},
		"category":       {AdvancedEventSelectors: rule(field("eventCategory", "Insight"))},
		"data, no type":  {AdvancedEventSelectors: rule(field("eventCategory", "Data"))},
		"field":          {AdvancedEventSelectors: rule(field("eventCategory", "Management"), field("x", "y"))},
		"no operator":    {AdvancedEventSelectors: rule(field("eventCategory", "Management"), field("eventName"))},
		"repeated field": {AdvancedEventSelectors: rule(field("eventCategory", "Management"), field("eventCategory", "Data"))},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, put(in), "InvalidEventSelectorsException") })
	}
	_, err := f.GetInsightSelectors(t.Context(), &api.GetInsightSelectorsInput{TrailName: new("cams")})
	wantCode(t, err, "InsightNotEnabledException")
}

func make6() (s []*api.EventSelector) {
	for range 6 {
		s = append(s, &api.EventSelector{})
	}
	return s
}

func TestInsightsAreOfOneTrail(t *testing.T) {
	f := setup(t)
	store := new("arn:aws:cloudtrail:us-east-1:000000000000:eventdatastore/12345678-1234-1234-1234-123456789012")
	for code, in := range map[string]*api.GetInsightSelectorsInput{
		"InvalidParameterException":            {},
		"InvalidParameterCombinationException": {TrailName: new("cams"), EventDataStore: store},
		"UnsupportedOperationException":        {EventDataStore: store},
	} {
		_, err := f.GetInsightSelectors(t.Context(), in)
		wantCode(t, err, code)
	}
}

func TestTagsAreCheckedWhenTheyAreRemoved(t *testing.T) {
	f := setup(t)
	arn := f.create(t, "cams").TrailARN
	for _, tags := range [][]*api.Tag{{{Key: new("aws:x")}}, {{Key: new("x")}, {Key: new("x")}}} {
		_, err := f.RemoveTags(t.Context(), &api.RemoveTagsInput{ResourceId: arn, TagsList: tags})
		wantCode(t, err, "InvalidTagParameterException")
	}
	_, err := f.ListTags(t.Context(), &api.ListTagsInput{ResourceIdList: []string{*arn}, NextToken: new("x")})
	wantCode(t, err, "InvalidTokenException")
}

func TestTagsAreSetListedAndRemoved(t *testing.T) {
	f := setup(t)
	arn := f.create(t, "cams").TrailARN
	tag := func(k, v string) *api.Tag { return &api.Tag{Key: new(k), Value: new(v)} }
	if _, err := f.AddTags(t.Context(), &api.AddTagsInput{ResourceId: arn, TagsList: []*api.Tag{tag("b", "1"), tag("a", "2")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.AddTags(t.Context(), &api.AddTagsInput{ResourceId: arn, TagsList: []*api.Tag{tag("b", "3")}}); err != nil {
		t.Fatal(err)
	}
	list := func() string {
		out, err := f.ListTags(t.Context(), &api.ListTagsInput{ResourceIdList: []string{*arn}})
		if err != nil {
			t.Fatal(err)
		}
		s := ""
		for _, tag := range out.ResourceTagList[0].TagsList {
			s += *tag.Key + "=" + *tag.Value + " "
		}
		return s
	}
	if got := list(); got != "a=2 b=3 " {
		t.Error(got)
	}
	if _, err := f.RemoveTags(t.Context(), &api.RemoveTagsInput{ResourceId: arn, TagsList: []*api.Tag{{Key: new("a")}, tag("b", "other"), {Key: new("c")}}}); err != nil {
		t.Fatal(err)
	}
	if got := list(); got != "b=3 " {
		t.Error(got)
	}
	for ref, code := range map[string]string{
		"arn:aws:cloudtrail:us-east-1:000000000000:trail/none":       "ResourceNotFoundException",
		"arn:aws:cloudtrail:us-east-1:000000000000:eventdatastore/x": "ResourceTypeNotSupportedException",
		"cams": "CloudTrailARNInvalidException",
	} {
		_, err := f.AddTags(t.Context(), &api.AddTagsInput{ResourceId: new(ref), TagsList: []*api.Tag{tag("a", "b")}})
		wantCode(t, err, code)
	}
}

func TestListPublicKeysGivesPKCS1AndKeepsTheKey(t *testing.T) {
	f := setup(t)
	list := func(from, to *time.Time) []*api.PublicKey {
		t.Helper()
		out, err := f.ListPublicKeys(t.Context(), &api.ListPublicKeysInput{StartTime: from, EndTime: to})
		if err != nil {
			t.Fatal(err)
		}
		return out.PublicKeyList
	}
	first := list(nil, nil)
	if len(first) != 1 || len(*first[0].Fingerprint) != 32 {
		t.Fatalf("%+v", first)
	}
	if _, err := x509.ParsePKCS1PublicKey(first[0].Value); err != nil {
		t.Error(err)
	}
	f.now = f.now.Add(time.Hour)
	if again := list(new(f.now.Add(-48*time.Hour)), new(f.now)); len(again) != 1 || *again[0].Fingerprint != *first[0].Fingerprint {
		t.Error("another key")
	}
	if before := list(new(f.now.Add(-48*time.Hour)), new(f.now.Add(-24*time.Hour))); len(before) != 0 {
		t.Error("a key from before it was made")
	}
	_, err := f.ListPublicKeys(t.Context(), &api.ListPublicKeysInput{StartTime: new(f.now), EndTime: new(f.now.Add(-time.Second))})
	wantCode(t, err, "InvalidTimeRangeException")
}
