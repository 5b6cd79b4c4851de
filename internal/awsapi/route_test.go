// SPDX-License-Identifier: Apache-2.0

package awsapi_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

func request(method, target, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

const (
	targetHeader = "X-Amz-Target"
	formType     = "application/x-www-form-urlencoded; charset=utf-8"
)

func TestRouterFindsTheOperation(t *testing.T) {
	form := []string{"Content-Type", formType}
	for _, c := range []struct {
		name    string
		r       *http.Request
		signing string
		want    string // service/operation, or service/code
	}{
		{"target", request("POST", "/", "{}", targetHeader, "TrentService.Encrypt"), "kms", "kms/Encrypt"},
		{"target unsigned", request("POST", "/", "{}", targetHeader, "TrentService.Encrypt"), "", "kms/Encrypt"},
		{"unknown target", request("POST", "/", "{}", targetHeader, "TrentService.Nope"), "kms", "kms/UnknownOperationException"},
		{"target without dot", request("POST", "/", "{}", targetHeader, "Nope"), "kms", "kms/UnknownOperationException"},
		{"long target", request("POST", "/", "{}", targetHeader, "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"), "cloudtrail", "cloudtrail/LookupEvents"},
		{"short target", request("POST", "/", "{}", targetHeader, "CloudTrail_20131101.LookupEvents"), "cloudtrail", "cloudtrail/LookupEvents"},
		{"short target unsigned", request("POST", "/", "{}", targetHeader, "CloudTrail_20131101.LookupEvents"), "", "cloudtrail/LookupEvents"},
		{"foreign target unsigned", request("POST", "/", "{}", targetHeader, "DynamoDB.PutItem"), "", "unknown/UnknownOperationException"},
		{"target of our own", request("POST", "/", "{}", targetHeader, "ObscuraMailbox_20261128.GetObject"), "mailbox", "mailbox/GetObject"},
		{"form", request("POST", "/", "Action=ListUsers&Version=2010-05-08", form...), "iam", "iam/ListUsers"},
		{"form by version", request("POST", "/", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15", form...), "", "sts/AssumeRoleWithWebIdentity"},
		{"form by action", request("POST", "/", "Action=AssumeRoleWithSAML", form...), "", "sts/AssumeRoleWithSAML"},
		{"signing name beats version", request("POST", "/", "Action=ListUsers&Version=2011-06-15", form...), "iam", "iam/ListUsers"},
		{"query", request("GET", "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Signature=0", ""), "sts", "sts/GetCallerIdentity"},
		{"unknown action", request("POST", "/", "Action=Nope&Version=2010-05-08", form...), "iam", "iam/InvalidAction"},
		{"no action", request("POST", "/", "", form...), "iam", "iam/InvalidAction"},
		{"malformed form", request("POST", "/", "Action=%zz", form...), "iam", "iam/MalformedInput"},
		{"control path", request("POST", "/createStream", "{}"), "kinesisvideo", "kinesisvideo/CreateStream"},
		{"upper path", request("POST", "/TagResource", "{}"), "kinesisvideo", "kinesisvideo/TagResource"},
		{"media path", request("POST", "/getMedia", "{}"), "kinesisvideo", "kinesisvideomedia/GetMedia"},
		{"put media", request("POST", "/putMedia?X-Amz-Expires=600", ""), "kinesisvideo", "kinesisvideomedia/PutMedia"},
		{"archived path", request("POST", "/listFragments", "{}"), "kinesisvideo", "kinesisvideoarchivedmedia/ListFragments"},
		{"path unsigned", request("POST", "/listStreams", "{}"), "", "kinesisvideo/ListStreams"},
		{"path, wrong method", request("GET", "/listStreams", ""), "kinesisvideo", "kinesisvideo/UnknownOperationException"},
		{"unknown path", request("POST", "/nope", ""), "kinesisvideo", "kinesisvideo/UnknownOperationException"},
		{"path of another service", request("POST", "/listStreams", "{}"), "kms", "kms/UnknownOperationException"},
		{"unknown service", request("POST", "/", "{}"), "dynamodb", "unknown/UnknownOperationException"},
		{"nothing", request("GET", "/", ""), "", "unknown/UnknownOperationException"},
	} {
		service, op, err := router().Match(httptest.NewRecorder(), c.r, c.signing)
		var api protocol.APIError
		got := service.Name + "/"
		switch {
		case op != nil:
			got += op.Name
		case errors.As(err, &api):
			got += api.ErrorCode()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRouterBoundsForms(t *testing.T) {
	r := request("POST", "/", "Action="+strings.Repeat("x", 2<<20), "Content-Type", formType)
	_, _, err := router().Match(httptest.NewRecorder(), r, "iam")
	var api protocol.APIError
	if !errors.As(err, &api) || api.HTTPStatus() != http.StatusRequestEntityTooLarge {
		t.Errorf("got %v", err)
	}
}

func TestOperationNamesAndPathsAreUnique(t *testing.T) {
	paths := map[string]string{}
	for _, a := range apis() {
		seen := map[string]bool{}
		for _, op := range a.service.Operations {
			if seen[op.Name] || op.Service != a.service {
				t.Errorf("%s/%s is listed twice or belongs elsewhere", a.service.Name, op.Name)
			}
			seen[op.Name] = true
			if a.service.Protocol == protocol.RestJSON {
				if other, dup := paths[op.Method+op.Path]; dup {
					t.Errorf("%s and %s share %s", op.Name, other, op.Path)
				}
				paths[op.Method+op.Path] = op.Name
			}
		}
	}
}

func TestOnlyFederationIsUnsigned(t *testing.T) {
	for _, a := range apis() {
		for _, op := range a.service.Operations {
			want := op.Name == "AssumeRoleWithSAML" || op.Name == "AssumeRoleWithWebIdentity"
			if op.Unsigned != want {
				t.Errorf("%s: unsigned is %t", op.Name, op.Unsigned)
			}
		}
	}
}

// failing decodes a body with an operation and returns the error.
func failing(t *testing.T, service, operation, contentType, body string) protocol.APIError {
	t.Helper()
	for _, s := range router().Services() {
		op, ok := s.Operation(operation)
		if s.Name != service || !ok {
			continue
		}
		w := httptest.NewRecorder()
		req, err := op.Read(w, request("POST", op.Path, body, "Content-Type", contentType), "id")
		if err == nil {
			_, err = op.Decode(req)
		}
		var api protocol.APIError
		if !errors.As(err, &api) {
			t.Fatalf("%s: got %v", operation, err)
		}
		return api
	}
	t.Fatalf("no operation %s/%s", service, operation)
	return nil
}

func TestRequestsAreCheckedBeforeTheCall(t *testing.T) {
	const one = "1 validation error detected: "
	for _, c := range []struct{ service, op, contentType, body, code, message string }{
		{"kms", "Encrypt", "", `{"KeyId":"k","Plaintext":"` + strings.Repeat("AAAA", 1366) + `"}`, "ValidationException", one + "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"kms", "Encrypt", "", `{}`, "ValidationException", "2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; Value null at 'plaintext' failed to satisfy constraint: Member must not be null"},
		{"kms", "Encrypt", "", `{"KeyId":1}`, "SerializationException", "NUMBER_VALUE can not be converted to a String at offset 9"},
		{"kms", "Encrypt", "", `{"KeyId`, "SerializationException", "string is not closed at offset 7"},
		{"kms", "CreateKey", "", `{"KeySpec":"DES"}`, "ValidationException", one + "Value 'DES' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1, SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, HMAC_384, HMAC_512, SM2, ML_DSA_44, ML_DSA_65, ML_DSA_87, ECC_NIST_EDWARDS25519]"},
		{"kms", "CreateKey", "", `{"Tags":[{"TagKey":"k","TagValue":"v"},{"TagKey":""}]}`, "ValidationException", "2 validation errors detected: Value '' at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1; Value null at 'tags.2.member.tagValue' failed to satisfy constraint: Member must not be null"},
		{"kms", "ListKeys", "", `{"Limit":0}`, "ValidationException", one + "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"kms", "CreateAlias", "", `{"AliasName":"alias/a b","TargetKeyId":"k"}`, "ValidationException", one + "Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"kms", "CreateAlias", "", `{"AliasName":"alias/a\n","TargetKeyId":"k"}`, "ValidationException", one + "Value 'alias/a\n' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"kinesisvideo", "CreateStream", "", `{"StreamName":"a/b"}`, "InvalidArgumentException", one + "Value 'a/b' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"},
		{"kinesisvideo", "CreateStream", "", `[]`, "SerializationException", "START_ARRAY can not be converted to an object at offset 0"},
		{"iam", "CreateUser", formType, "Action=CreateUser", "ValidationError", one + "Value null at 'userName' failed to satisfy constraint: Member must not be null"},
		{"iam", "ListUsers", formType, "Action=ListUsers&MaxItems=ten", "MalformedInput", "parameter MaxItems is not well formed"},
		{"iam", "ChangePassword", formType, "OldPassword=hunter2&NewPassword=" + strings.Repeat("x", 129), "ValidationError", one + "Value at 'newPassword' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"kms", "Encrypt", "", strings.Repeat(" ", 600<<10), "RequestEntityTooLargeException", "The request body is too large."},
	} {
		err := failing(t, c.service, c.op, c.contentType, c.body)
		if err.ErrorCode() != c.code || err.ErrorMessage() != c.message {
			t.Errorf("%s %.80s:\ngot  %s: %s\nwant %s: %s", c.op, c.body, err.ErrorCode(), err.ErrorMessage(), c.code, c.message)
		}
	}
}

func TestModelledErrorsKeepTheirShape(t *testing.T) {
	var err error = &kms.NotFoundException{Message: "Key 'x' does not exist"}
	if err.Error() != "NotFoundException: Key 'x' does not exist" {
		t.Error(err)
	}
	if err = (&kms.InvalidCiphertextException{}); err.Error() != "InvalidCiphertextException" {
		t.Error(err)
	}
	if got := (&kms.KMSInternalException{}).HTTPStatus(); got != 500 {
		t.Errorf("a fault has status %d", got)
	}
}

// FuzzFrontDoor: no request makes the wire layer panic, and what it refuses it
// refuses with an error that may be shown.
func FuzzFrontDoor(f *testing.F) {
	f.Add("/", "TrentService.Encrypt", "", `{"KeyId":"k","Plaintext":"aGk=","EncryptionContext":{"a":"b"},"GrantTokens":["x"]}`)
	f.Add("/", "TrentService.CreateKey", "", `{"Tags":[{"TagKey":"k","TagValue":"v"}],"XksKeyId":null}`)
	f.Add("/", "CloudTrail_20131101.PutEventSelectors", "", `{"TrailName":"t","AdvancedEventSelectors":[{"FieldSelectors":[{"Field":"f","Equals":["x"]}]}]}`)
	f.Add("/createStream", "", "", `{"StreamName":"cam","Tags":{"k":"v"}}`)
	f.Add("/getClip", "", "", `{"ClipFragmentSelector":{"FragmentSelectorType":"SERVER_TIMESTAMP","TimestampRange":{"StartTimestamp":1.5}}}`)
	f.Add("/", "", formType, "Action=CreateRole&Version=2010-05-08&Tags.member.1.Key=k&Tags.member.1.Value=v&MaxSessionDuration=1")
	f.Add("/?Action=GetCallerIdentity&Version=2011-06-15", "", "", "")
	rt := router()
	f.Fuzz(func(t *testing.T, path, target, contentType, body string) {
		u, err := url.Parse(path)
		if err != nil {
			return
		}
		r := request(http.MethodPost, "/", body, targetHeader, target, "Content-Type", contentType)
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		w := httptest.NewRecorder()
		s, op, err := rt.Match(w, r, "")
		if err == nil {
			var req *protocol.Request
			if req, err = op.Read(w, r, "id"); err == nil {
				_, err = op.Decode(req)
			}
		}
		var api protocol.APIError
		if err != nil && !errors.As(err, &api) {
			t.Fatalf("%v is no APIError", err)
		}
		if err != nil {
			s.WriteError(w, "id", err)
		}
	})
}
