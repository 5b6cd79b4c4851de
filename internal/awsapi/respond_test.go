// SPDX-License-Identifier: Apache-2.0

package awsapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/awsapi/sts"
)

// TestDenialIsTheOneThatTheModelDeclares: the SDK has a type for no other.
func TestDenialIsTheOneThatTheModelDeclares(t *testing.T) {
	video, keys := kinesisvideo.New(kinesisvideo.Unimplemented{}), kms.New(kms.Unimplemented{})
	for _, c := range []struct {
		s        *protocol.Service
		op, code string
		status   int
	}{
		{video, "DescribeStream", "NotAuthorizedException", 401},
		{video, "TagResource", "AccessDeniedException", 401},
		{video, "CreateStream", "NotAuthorizedException", 401}, // declares neither
		{keys, "DescribeKey", "AccessDeniedException", 400},
	} {
		op, _ := c.s.Operation(c.op)
		if err := op.Denied("no"); err.ErrorCode() != c.code || err.HTTPStatus() != c.status || err.ErrorMessage() != "no" {
			t.Errorf("%s: %v with status %d", c.op, err, err.HTTPStatus())
		}
	}
}

func TestErrorsTakeTheFormOfTheProtocol(t *testing.T) {
	json := kms.New(kms.Unimplemented{})
	video := kinesisvideo.New(kinesisvideo.Unimplemented{})
	query := iam.New(iam.Unimplemented{})
	secret := errors.New("open /data/secret: no such file")
	const ns = `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>`
	const id = `</Error><RequestId>r-1</RequestId></ErrorResponse>`
	for _, c := range []struct {
		name   string
		s      *protocol.Service
		err    error
		status int
		body   string
	}{
		{"json", json, &kms.NotFoundException{Message: `no "key"`}, 400, `{"__type":"NotFoundException","message":"no \"key\""}`},
		{"json without text", json, &kms.InvalidCiphertextException{}, 400, `{"__type":"InvalidCiphertextException"}`},
		{"json fault", json, &kms.DependencyTimeoutException{}, 500, `{"__type":"DependencyTimeoutException"}`},
		{"json wrapped", json, errors.Join(secret, &kms.DisabledException{Message: "m"}), 400, `{"__type":"DisabledException","message":"m"}`},
		{"json internal", json, secret, 500, `{"__type":"InternalFailureException"}`},
		{"json denied", json, json.Error(protocol.AccessDenied, "no"), 400, `{"__type":"AccessDeniedException","message":"no"}`},
		{"json signature", json, json.Error(protocol.UnrecognizedClient, ""), 400, `{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}`},
		{"video", video, &kinesisvideo.ResourceNotFoundException{Message: "gone"}, 404, `{"message":"gone","Message":"gone"}`},
		{"video denied", video, video.Error(protocol.AccessDenied, "no"), 401, `{"message":"no","Message":"no"}`},
		{"video signature", video, video.Error(protocol.BadSignature, "bad"), 403, `{"message":"bad","Message":"bad"}`},
		{"video throttle", video, video.Error(protocol.Throttling, ""), 400, `{"message":"Rate exceeded","Message":"Rate exceeded"}`},
		{"video unknown", video, video.Error(protocol.UnknownOperation, ""), 404, `{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`},
		{"video internal", video, secret, 500, `{}`},
		{"query", query, &iam.NoSuchEntityException{Message: "a<b"}, 404, ns + `<Type>Sender</Type><Code>NoSuchEntity</Code><Message>a&lt;b</Message>` + id},
		{"query internal", query, secret, 500, ns + `<Type>Receiver</Type><Code>InternalFailure</Code>` + id},
		{"query denied", query, query.Error(protocol.AccessDenied, "no"), 403, ns + `<Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message>` + id},
		{"query token", query, query.Error(protocol.MissingAuthToken, ""), 403, ns + `<Type>Sender</Type><Code>MissingAuthenticationToken</Code><Message>Request is missing Authentication Token</Message>` + id},
	} {
		w := httptest.NewRecorder()
		c.s.WriteError(w, "r-1", c.err)
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: got %d %s, want %d %s", c.name, w.Code, w.Body, c.status, c.body)
		}
	}
}

func TestKinesisVideoErrorsNameTheirTypeTwice(t *testing.T) {
	s := kinesisvideo.New(kinesisvideo.Unimplemented{})
	w := httptest.NewRecorder()
	s.WriteError(w, "r-1", &kinesisvideo.ResourceNotFoundException{})
	// The C producer reads these spellings; Header.Get would look for another.
	for name, want := range map[string]string{
		"X-Amzn-Errortype": "ResourceNotFoundException", "x-amz-ErrorType": "ResourceNotFoundException",
		"x-amzn-RequestId": "r-1", "x-amz-RequestId": "r-1",
	} {
		if got := w.Header()[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestUnimplementedSaysSo(t *testing.T) {
	s := kms.New(kms.Unimplemented{})
	op, _ := s.Operation("CreateGrant")
	_, err := op.Call(t.Context(), &kms.CreateGrantInput{})
	w := httptest.NewRecorder()
	s.WriteError(w, "r-1", err)
	want := `{"__type":"NotImplementedException","message":"CreateGrant is not implemented by Obscura; see docs/compat/kms.md"}`
	if w.Code != 501 || w.Body.String() != want {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestQueryResponsesHaveTheirEnvelope(t *testing.T) {
	for _, c := range []struct {
		s    *protocol.Service
		op   string
		out  any
		want string
	}{
		{
			sts.New(sts.Unimplemented{}), "GetCallerIdentity", &sts.GetCallerIdentityOutput{Account: new("000000000000"), Arn: new("arn:aws:iam::000000000000:root"), UserId: new("000000000000")},
			`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>000000000000</Account><Arn>arn:aws:iam::000000000000:root</Arn><UserId>000000000000</UserId></GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`,
		},
		{
			iam.New(iam.Unimplemented{}), "DeleteUser", &iam.DeleteUserOutput{},
			`<DeleteUserResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></DeleteUserResponse>`,
		},
	} {
		op, _ := c.s.Operation(c.op)
		w := httptest.NewRecorder()
		if err := op.Encode(w, "r-1", c.out); err != nil || w.Body.String() != c.want {
			t.Errorf("%s: %v %s", c.op, err, w.Body)
		}
	}
}

func TestEncodeRefusesNoOutput(t *testing.T) {
	s := kms.New(kms.Unimplemented{})
	op, _ := s.Operation("CreateKey")
	var none *kms.CreateKeyOutput
	for _, out := range []any{nil, none, &kms.EncryptOutput{}} {
		if err := op.Encode(httptest.NewRecorder(), "r-1", out); err == nil {
			t.Errorf("%T was encoded", out)
		}
	}
}

// serve runs a service over HTTP as a gateway does, without any of its checks.
func serve(t *testing.T, s *protocol.Service) *httptest.Server {
	t.Helper()
	rt := protocol.NewRouter(s)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service, op, err := rt.Match(w, r, "")
		if err != nil {
			service.WriteError(w, "r-1", err)
			return
		}
		if err := handle(op, w, r); err != nil {
			service.WriteError(w, "r-1", err)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func handle(op *protocol.Operation, w http.ResponseWriter, r *http.Request) error {
	req, err := op.Read(w, r, "r-1")
	if err != nil {
		return err
	}
	in, err := op.Decode(req)
	if err != nil {
		return err
	}
	out, err := op.Call(r.Context(), in)
	if err != nil {
		return err
	}
	return op.Encode(w, "r-1", out)
}

type keys struct{ kms.Unimplemented }

func (keys) DescribeKey(_ context.Context, in *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
	if *in.KeyId != "k" {
		return nil, &kms.NotFoundException{Message: "Key '" + *in.KeyId + "' does not exist"}
	}
	return &kms.DescribeKeyOutput{KeyMetadata: &kms.KeyMetadata{KeyId: in.KeyId}}, nil
}

func TestClientCallsAndReportsErrors(t *testing.T) {
	server := serve(t, kms.New(keys{}))
	signed := 0
	c := kms.NewClient(protocol.Client{Endpoint: server.URL + "/", Sign: func(r *http.Request, payload []byte) error {
		signed += len(payload)
		return nil
	}})
	out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("k")})
	if err != nil || *out.KeyMetadata.KeyId != "k" || signed != len(`{"KeyId":"k"}`) {
		t.Fatalf("got %+v, %v, %d bytes signed", out, err, signed)
	}
	_, err = c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("x")})
	var failure *protocol.ResponseError
	if !errors.As(err, &failure) || *failure != (protocol.ResponseError{Code: "NotFoundException", Message: "Key 'x' does not exist", Status: 400, RequestID: "r-1"}) {
		t.Errorf("got %#v", err)
	}
}

type media struct {
	kinesisvideomedia.Unimplemented
	stream protocol.Stream
}

func (m media) GetMedia(context.Context, *kinesisvideomedia.GetMediaInput) (*kinesisvideomedia.GetMediaOutput, error) {
	return &kinesisvideomedia.GetMediaOutput{ContentType: new("video/webm"), Payload: m.stream}, nil
}

func getMedia(t *testing.T, stream protocol.Stream) (*kinesisvideomedia.GetMediaOutput, io.ReadCloser, error) {
	c := kinesisvideomedia.NewClient(protocol.Client{Endpoint: serve(t, kinesisvideomedia.New(media{stream: stream})).URL})
	return c.GetMedia(t.Context(), &kinesisvideomedia.GetMediaInput{
		StreamName:    new("cam"),
		StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: new(kinesisvideomedia.StartSelectorTypeNow)},
	})
}

func TestStreamIsPushedAsItComes(t *testing.T) {
	more := make(chan struct{})
	out, body, err := getMedia(t, func(w protocol.StreamWriter) error {
		_, _ = io.WriteString(w, "one")
		_ = w.Flush()
		<-more
		_, err := io.WriteString(w, "two")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	first := make([]byte, 3)
	if _, err := io.ReadFull(body, first); err != nil || string(first) != "one" || *out.ContentType != "video/webm" {
		t.Errorf("got %q, %v", first, err)
	}
	close(more)
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "two" {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestStreamErrorBeforeTheFirstByteIsAnErrorResponse(t *testing.T) {
	_, _, err := getMedia(t, func(protocol.StreamWriter) error {
		return &kinesisvideomedia.ConnectionLimitExceededException{Message: "busy"}
	})
	var failure *protocol.ResponseError
	if !errors.As(err, &failure) || failure.Code != "ConnectionLimitExceededException" {
		t.Errorf("got %v", err)
	}
}

func TestStreamErrorLaterCutsTheConnection(t *testing.T) {
	_, body, err := getMedia(t, func(w protocol.StreamWriter) error {
		_, _ = io.WriteString(w, "half")
		_ = w.Flush()
		return errors.New("disk gone")
	})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadAll(body); err == nil {
		t.Error("the client takes a truncated stream for a whole one")
	}
}

func TestEmptyStreamIsAGoodResponse(t *testing.T) {
	_, body, err := getMedia(t, func(protocol.StreamWriter) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if rest, err := io.ReadAll(body); err != nil || len(rest) != 0 {
		t.Errorf("got %q, %v", rest, err)
	}
}
