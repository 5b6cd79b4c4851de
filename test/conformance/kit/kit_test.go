// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package kit

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"
	"github.com/aws/smithy-go"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// recorder is a test that notes what is wrong instead of failing.
type recorder struct {
	testing.TB
	faults []string
}

func (r *recorder) Helper() {}

func (r *recorder) Error(args ...any) { r.faults = append(r.faults, fmt.Sprint(args...)) }

func (r *recorder) Errorf(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// TestACaseThatIsNotSoIsFound: each thing that the kit judges can be wrong.
func TestACaseThatIsNotSoIsFound(t *testing.T) {
	tg := Open(t, Options{Region: "us-east-1", OtherRegion: "us-west-2"})
	var key string
	made := tg.World(t)
	made.Must(Run(made.Admin, made.Admin.KMS.CreateKey, &kms.CreateKeyInput{}, func(o *kms.CreateKeyOutput) error {
		key = *o.KeyMetadata.Arn
		return nil
	}))
	describe := func(c *Clients) error { return Run(c, c.KMS.DescribeKey, &kms.DescribeKeyInput{KeyId: &key}) }
	count := 0
	counted := func(c *Clients) error { count++; return describe(c) }
	tests := []struct {
		name  string
		op    string
		call  Call
		fault string
	}{
		{"good", "DescribeKey", Call{Needs: On(key), Do: describe}, ""},
		{"needs another action", "GetKeyPolicy", Call{Needs: On(key), Do: describe}, "want AccessDeniedException with \"is not authorized to perform: kms:GetKeyPolicy\""},
		{"needs another resource", "DescribeKey", Call{Needs: On(key + "0"), Do: describe}, `want "", got operation error KMS: DescribeKey`},
		{"needs less", "DescribeKey", Call{Needs: []Need{{Resource: key}, {Action: "kms:Decrypt", Resource: "*"}}, Do: describe}, "without kms:Decrypt on *: want AccessDeniedException"},
		{"needs nothing", "DescribeKey", Call{Needs: On(key), Do: func(*Clients) error { return nil }}, "want AccessDeniedException"},
		{"does what is denied", "DescribeKey", Call{Needs: On(key), Do: counted, Changes: func() any { return count }}, "a denied call changed 0 to 2"},
		{"does nothing", "DescribeKey", Call{Needs: On(key), Do: describe, Changes: func() any { return 1 }}, "the call changed nothing"},
		{"answers wrongly", "DescribeKey", Call{Needs: On(key), Do: func(c *Clients) error {
			return Run(c, c.KMS.DescribeKey, &kms.DescribeKeyInput{KeyId: &key}, func(*kms.DescribeKeyOutput) error { return errors.New("not that") })
		}}, "wrong answer: not that"},
		{"denied to all", "DescribeKey", Call{Needs: On(key), Do: func(c *Clients) error {
			return Run(c, c.KMS.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: &key})
		}}, "not authorized to perform: kms:GetKeyPolicy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &recorder{TB: t}
			w := tg.World(r)
			w.Worker = w.NewUser("worker")
			w.attempt(&API{Model: protocolOf("DescribeKey"), Denied: "AccessDeniedException"}, &Case{Op: tt.op, Good: func(*World) Call { return tt.call }})
			got := strings.Join(r.faults, "\n")
			if tt.fault == "" && got != "" || !strings.Contains(got, tt.fault) {
				t.Errorf("want %q, got %q", tt.fault, got)
			}
		})
	}
}

// protocolOf is a model of one operation that can end in two ways.
func protocolOf(op string) *protocol.Service {
	return protocol.NewService(protocol.Service{Name: "kms", SigningName: "kms"},
		&protocol.Operation{Name: op, Method: http.MethodPost, Errors: []string{"Broken", "Gone"}})
}

func TestWhatAnAPILacksIsSaid(t *testing.T) {
	way := func(*World) error { return nil }
	tests := []struct {
		name   string
		never  map[string]string
		cases  []Case
		built  bool
		faults []string
	}{
		{"complete", map[string]string{"Broken": "never breaks"}, []Case{{Op: "Look", Errors: Errors{"Gone": way}}}, true, nil},
		{"no case", nil, nil, true, []string{"Look: is built and has no case"}},
		{"not built", nil, nil, false, nil},
		{"not built and a case", nil, []Case{{Op: "Look"}}, false, []string{"Look: has a case and is not built"}},
		{"two cases", map[string]string{"Broken": "x", "Gone": "x"}, []Case{{Op: "Look"}, {Op: "Look"}}, true, []string{"Look: has two cases"}},
		{"unknown operation", map[string]string{"Broken": "x", "Gone": "x"}, []Case{{Op: "Look"}, {Op: "See"}}, true, []string{"See: the model has no such operation"}},
		{"an error without a way", map[string]string{"Broken": "x"}, []Case{{Op: "Look"}}, true, []string{"Look: neither a way to Gone nor a reason why there is none"}},
		{"a reason in spite of a way", nil, []Case{{Op: "Look", Errors: Errors{"Gone": way, "Broken": way}, Never: map[string]string{"Gone": "x"}}}, true, []string{"Look: a needless reason why there is no Gone"}},
		{"an undeclared error", nil, []Case{{Op: "Look", Errors: Errors{"Gone": way, "Broken": way, "Other": way}}}, true, []string{"Look: does not declare Other"}},
		{"a declared one among the others", map[string]string{"Broken": "x", "Gone": "x"}, []Case{{Op: "Look", Others: Errors{"Gone": way}}}, true, []string{"Look: declares Gone"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &API{Model: protocolOf("Look"), Never: tt.never, Cases: tt.cases}
			if got := a.Incomplete(func(string) bool { return tt.built }); !slices.Equal(got, tt.faults) {
				t.Errorf("want %q, got %q", tt.faults, got)
			}
		})
	}
}

// TestAnErrorThatTheSDKHasNoTypeForIsFound, in either version of it.
func TestAnErrorThatTheSDKHasNoTypeForIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		known bool
	}{
		"typed by version 2":   {&types.NotFoundException{}, true},
		"untyped by version 2": {&smithy.GenericAPIError{Code: "NotFoundException"}, false},
		"typed by version 1":   {&kinesisvideomedia.ResourceNotFoundException{}, true},
		"untyped by version 1": {awserr.New("ResourceNotFoundException", "", nil), false},
	} {
		r := &recorder{TB: t}
		code, _ := CodeOf(c.err)
		wantModelled(r, c.err, code)
		if known := len(r.faults) == 0; known != c.known {
			t.Errorf("%s: %q", name, r.faults)
		}
	}
}

// TestADenialIsCalledAsTheModelDoes, where it declares one.
func TestADenialIsCalledAsTheModelDoes(t *testing.T) {
	model := protocol.NewService(protocol.Service{Name: "video"},
		&protocol.Operation{Name: "Own", Errors: []string{"NotAuthorized"}}, &protocol.Operation{Name: "Usual", Errors: []string{"AccessDeniedException"}}, &protocol.Operation{Name: "None"})
	a := &API{Model: model, Denied: "NotAuthorized"}
	for op, want := range map[string]string{"Own": "NotAuthorized", "Usual": "AccessDeniedException", "None": "NotAuthorized"} {
		if got := a.denial(&Case{Op: op}); got != want {
			t.Errorf("%s: %s", op, got)
		}
	}
}

func TestSayingMindsTheText(t *testing.T) {
	err := protocol.NewError("Gone", 400, "it is gone for good")
	if code, _ := CodeOf(Saying(err, "gone")); code != "Gone" {
		t.Error("the right text was not taken")
	}
	if code, _ := CodeOf(Saying(err, "away")); code != "" {
		t.Error("another text was taken")
	}
	if Saying(nil, "gone") != nil {
		t.Error("success became an error")
	}
}

func TestAllowIsOneStatementForEachNeed(t *testing.T) {
	got := Allow(Need{Action: "a:B", Resource: "*"}, Need{Action: "c:D", Resource: `x"y`})
	if want := `{"Statement":[{"Effect":"Allow","Action":"a:B","Resource":"*"},{"Effect":"Allow","Action":"c:D","Resource":"x\"y"}],"Version":"2012-10-17"}`; got != want {
		t.Error(got)
	}
}
