// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is an independent client of the same models

package awsapi_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	sdkcloudtrail "github.com/aws/aws-sdk-go/service/cloudtrail"
	sdkiam "github.com/aws/aws-sdk-go/service/iam"
	sdkiot "github.com/aws/aws-sdk-go/service/iot"
	sdkvideo "github.com/aws/aws-sdk-go/service/kinesisvideo"
	sdkarchived "github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"
	sdkmedia "github.com/aws/aws-sdk-go/service/kinesisvideomedia"
	sdkkms "github.com/aws/aws-sdk-go/service/kms"
	sdksts "github.com/aws/aws-sdk-go/service/sts"
	"github.com/google/go-cmp/cmp"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// peer answers the SDK's calls with out, and keeps what it decoded of them.
type peer struct {
	t      *testing.T
	router *protocol.Router
	in     any // decoded into
	out    any // answered
	op     string
}

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	service, op, err := p.router.Match(w, r, scope(r))
	if err != nil {
		p.t.Error(err)
		service.WriteError(w, "id", err)
		return
	}
	p.op = op.Name
	req, err := op.Read(w, r, "id")
	if err != nil {
		p.t.Error(err)
		return
	}
	if err := p.decode(op, r, req.Body); err != nil {
		p.t.Errorf("%s: %v", op.Name, err)
	}
	if err := op.Encode(w, "id", p.out); err != nil {
		p.t.Errorf("%s: %v", op.Name, err)
	}
}

// decode is op.Decode without the validation, which filled values do not pass.
func (p *peer) decode(op *protocol.Operation, r *http.Request, body []byte) error {
	switch in := p.in.(type) {
	case jsonType:
		if v, ok := p.in.(bound); ok {
			b, err := op.Bound(r)
			if err != nil {
				return err
			}
			v.Bind(b)
		}
		if len(body) == 0 {
			return nil
		}
		reader := protocol.NewJSONReader(body)
		in.DecodeJSON(reader)
		return reader.Finish()
	case interface{ DecodeForm(*protocol.Form) }:
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := r.ParseForm(); err != nil {
			return err
		}
		form, err := protocol.ParseForm(r.Form)
		if err != nil {
			return err
		}
		in.DecodeForm(form)
		return form.Err()
	}
	return nil
}

// scope is the service in the credential scope of a signed request.
func scope(r *http.Request) string {
	if parts := strings.Split(r.Header.Get("Authorization"), "/"); len(parts) > 3 {
		return parts[3]
	}
	return ""
}

// TestOfficialSDKAgrees calls every operation with the SDK whose models ours were
// made of, all members set, and compares both ways over real HTTP.
func TestOfficialSDKAgrees(t *testing.T) {
	p := &peer{t: t, router: router()}
	server := httptest.NewServer(p)
	defer server.Close()
	s := session.Must(session.NewSession(&aws.Config{
		Endpoint: &server.URL, Region: aws.String("us-east-1"), MaxRetries: aws.Int(0),
		Credentials: credentials.NewStaticCredentials("AKIDEXAMPLE", "secret", ""), DisableParamValidation: aws.Bool(true),
	}))
	clients := map[string]any{
		"kms": sdkkms.New(s), "iam": sdkiam.New(s), "sts": sdksts.New(s), "cloudtrail": sdkcloudtrail.New(s), "iot": sdkiot.New(s),
		"kinesisvideo": sdkvideo.New(s), "kinesisvideomedia": sdkmedia.New(s), "kinesisvideoarchivedmedia": sdkarchived.New(s),
	}
	for _, a := range apis() {
		if clients[a.service.Name] == nil {
			continue // an API of our own
		}
		for _, op := range a.service.Operations {
			call := reflect.ValueOf(clients[a.service.Name]).MethodByName(op.Name)
			if in, out, ok := a.types(op.Name); ok && call.IsValid() {
				t.Run(a.service.Name+"/"+op.Name, func(t *testing.T) { p.compare(t, op.Name, call, in, out) })
			}
		}
	}
}

func (p *peer) compare(t *testing.T, op string, call reflect.Value, in, out reflect.Type) {
	sent := reflect.New(call.Type().In(0).Elem())
	fill(sent.Elem(), &counted{})
	if f := sent.Elem().FieldByName("Principal"); f.IsValid() {
		f.Set(reflect.ValueOf(aws.String("arn:aws:iot:us-east-1:000000000000:cert/1"))) // a header takes no control characters
	}
	answer := reflect.New(out)
	fill(answer.Elem(), &counted{})
	if f := answer.Elem().FieldByName("Payload"); f.IsValid() {
		clearHeaders(answer.Elem())
		f.Set(reflect.ValueOf(protocol.Stream(func(w protocol.StreamWriter) error {
			_, err := io.WriteString(w, "media")
			return err
		})))
		answer.Elem().FieldByName("ContentType").Set(reflect.ValueOf(aws.String("video/webm")))
	}
	p.t, p.in, p.out = t, reflect.New(in).Interface(), answer.Interface()
	result := call.Call([]reflect.Value{sent})
	if err, _ := result[1].Interface().(error); err != nil {
		t.Fatal(err)
	}
	if p.op != op {
		t.Errorf("routed to %s", p.op)
	}
	// The patch has members that the SDK is too old for; what both know must agree.
	if d := cmp.Diff(plain(sent), common(plain(reflect.ValueOf(p.in)), plain(sent))); d != "" {
		t.Errorf("request: %s", d)
	}
	received := plain(result[0])
	if d := cmp.Diff(common(plain(answer), received), received); d != "" {
		t.Errorf("response: %s", d)
	}
}

// plain makes values of both sides comparable: maps by lower-case name, no pointers.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			return at.UnixMilli()
		}
		out := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				if x := plain(v.Field(i)); x != nil {
					out[strings.ToLower(f.Name)] = x
				}
			}
		}
		return out
	case reflect.Slice:
		if b, ok := v.Interface().([]byte); ok {
			return string(b)
		}
		out := []any{}
		for i := range v.Len() {
			out = append(out, plain(v.Index(i)))
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for _, k := range v.MapKeys() {
			out["="+k.String()] = plain(v.MapIndex(k))
		}
		return out
	case reflect.Func, reflect.Interface:
		return nil
	}
	return v.Interface()
}

// common is v without the members that other does not have.
func common(v, other any) any {
	switch v := v.(type) {
	case map[string]any:
		o, ok := other.(map[string]any)
		if !ok {
			return v
		}
		out := map[string]any{}
		for k, x := range v {
			if y, ok := o[k]; ok {
				out[k] = common(x, y)
			}
		}
		return out
	case []any:
		o, ok := other.([]any)
		if !ok || len(o) != len(v) {
			return v
		}
		out := []any{}
		for i := range v {
			out = append(out, common(v[i], o[i]))
		}
		return out
	}
	return v
}
