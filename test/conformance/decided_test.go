// SPDX-License-Identifier: Apache-2.0

// Package conformance asks a running server what AWS's own SDKs ask, and expects what AWS's documentation says:
// each operation's good way, its main errors, and who may call it.
package conformance

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	cloudtrailapi "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	iotapi "github.com/obscura-video/obscura/internal/awsapi/iot"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	mailboxapi "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

// apis are all services' tables of operations.
func apis() []*protocol.Service {
	return []*protocol.Service{
		kmsapi.New(kmsapi.Unimplemented{}), kvapi.New(kvapi.Unimplemented{}),
		mediaapi.New(mediaapi.Unimplemented{}), archiveapi.New(archiveapi.Unimplemented{}),
		iamapi.New(iamapi.Unimplemented{}), stsapi.New(stsapi.Unimplemented{}), cloudtrailapi.New(cloudtrailapi.Unimplemented{}),
		iotapi.New(iotapi.Unimplemented{}), mailboxapi.New(mailboxapi.Unimplemented{}),
	}
}

// asked is one operation with a request that the wire's validation lets through.
type asked struct {
	op     *protocol.Operation
	target string // path and query
	header http.Header
	body   string
}

func (a asked) name() string { return a.op.Service.Name + "/" + a.op.Name }

// action is how IAM calls it.
func (a asked) action() string {
	switch a.op.Name { // the condition of the action is another's
	case "ReEncrypt":
		return "kms:ReEncryptFrom"
	}
	return a.op.Service.SigningName + ":" + a.op.Name
}

func askedOf(t *testing.T, op *protocol.Operation) asked {
	if op.StreamsIn {
		return asked{op: op, target: op.Path}
	}
	in := exampleInput(t, op)
	if op.Service.Protocol == protocol.Query {
		return asked{op: op, target: op.Path, body: form(op, in)}
	}
	return written(t, op, in)
}

// written is what a client sends of an input.
func written(t *testing.T, op *protocol.Operation, in any) (a asked) {
	t.Helper()
	errNotSent := errors.New("not sent")
	c := protocol.Client{Service: op.Service, Endpoint: "https://example.org", Sign: func(r *http.Request, payload []byte) error {
		a = asked{op, r.URL.RequestURI(), r.Header, string(payload)}
		return errNotSent
	}}
	if err := c.Do(t.Context(), op.Name, in, nil); !errors.Is(err, errNotSent) {
		t.Fatalf("%s: %v", op.Name, err)
	}
	return a
}

// answer is what came of a call; code is empty for success.
type answer struct {
	status        int
	code, message string
}

func (a answer) String() string { return fmt.Sprintf("%d %s: %s", a.status, a.code, a.message) }

// ask sends the request, signed unless the credentials are empty.
func (a asked) ask(t *testing.T, s *rig.Server, c sigv4.Credentials) answer {
	t.Helper()
	op := a.op
	r, err := http.NewRequestWithContext(t.Context(), op.Method, s.API+a.target, strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, a.header)
	if op.Service.Protocol == protocol.Query {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	hash := sigv4.HashBody([]byte(a.body))
	if op.StreamsIn {
		r.Header.Set("x-amzn-stream-name", "nothing")
		r.Header.Set("x-amzn-fragment-timecode-type", "ABSOLUTE")
		hash = sigv4.EmptyHash
	}
	if c.AccessKeyID != "" {
		sigv4.Sign(r, hash, c, s.Region, op.Service.SigningName, time.Now())
	}
	resp, err := s.HTTP.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", a.name(), err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("x-amzn-RequestId") == "" {
		t.Errorf("%s: answer without a request ID", a.name())
	}
	return readAnswer(op.Service, resp)
}

func readAnswer(s *protocol.Service, resp *http.Response) answer {
	if resp.StatusCode == http.StatusOK {
		return answer{status: resp.StatusCode}
	}
	if s.Protocol != protocol.Query {
		e := protocol.ReadError(resp)
		return answer{e.Status, e.Code, e.Message}
	}
	var e struct {
		Error struct{ Code, Message string }
	}
	body, _ := io.ReadAll(resp.Body)
	if err := xml.Unmarshal(body, &e); err != nil {
		e.Error.Code = string(body)
	}
	return answer{resp.StatusCode, e.Error.Code, e.Error.Message}
}

// forEverybody are the operations that need no permission.
var forEverybody = []string{"sts/GetCallerIdentity", "sts/GetSessionToken"}

// federated are called without a signature; what they carry instead is their authentication.
var federated = []string{"sts/AssumeRoleWithSAML", "sts/AssumeRoleWithWebIdentity"}

// requestFirst are refused for what their request lacks, before there is anything to decide upon: a ciphertext, the
// grant of a call that names none.
var requestFirst = map[string]string{
	"kms/Decrypt": "ValidationException", "kms/ReEncrypt": "ValidationException",
	"kms/RetireGrant": "ValidationException",
}

// denied are the names under which services say that access is denied.
var denied = []string{"AccessDenied", "AccessDeniedException", "NotAuthorizedException"}

// TestEveryOperationIsDecided goes through every operation that the wire knows, built or not. Without a
// signature it must not get past the door; without permission it must be denied, by AWS's text, and not tell
// whether what it is about exists; and for root it must come to an end that is not the server's fault.
func TestEveryOperationIsDecided(t *testing.T) {
	t.Parallel()
	s := rig.Start(t)
	nobody := s.User(t, "nobody", "")
	everything := apis()
	built := 0
	for _, service := range everything {
		for _, op := range service.Operations {
			a := askedOf(t, op)
			if got := a.ask(t, s, sigv4.Credentials{}); !slices.Contains(federated, a.name()) {
				if !strings.HasPrefix(got.code, "MissingAuthenticationToken") && got.code != "AccessDeniedException" || got.status != wantUnsigned(service) {
					t.Errorf("%s unsigned: %v", a.name(), got)
				}
			} else if got.status < 400 {
				t.Errorf("%s without any token: %v", a.name(), got)
			}
			checkDenied(t, a, a.ask(t, s, nobody))
			got := a.ask(t, s, s.Root)
			if got.status >= 500 && got.status != http.StatusNotImplemented || slices.Contains(denied, got.code) && !rootMayNot(a) {
				t.Errorf("%s as root: %v", a.name(), got)
			}
			if got.status != http.StatusNotImplemented {
				built++
			}
		}
	}
	t.Logf("%d operations answer as root", built)
	if built < 150 {
		t.Errorf("only %d operations answered: looking at the wrong server?", built)
	}
	if log := s.Log.String(); strings.Contains(log, "no access decision") || strings.Contains(log, "panicked") {
		t.Error("the gateway withheld an answer or caught a panic:\n" + linesWith(log, "decision", "panicked"))
	}
}

func wantUnsigned(s *protocol.Service) int {
	switch s.Protocol {
	case protocol.JSON11:
		return http.StatusBadRequest
	}
	return http.StatusForbidden
}

// rootMayNot are what AWS denies even to root: to assume a role; and what does not look at the signature at all.
func rootMayNot(a asked) bool {
	return a.name() == "sts/AssumeRole" || slices.Contains(federated, a.name())
}

func checkDenied(t *testing.T, a asked, got answer) {
	t.Helper()
	switch {
	case slices.Contains(forEverybody, a.name()):
		if got.status != http.StatusOK {
			t.Errorf("%s needs no permission: %v", a.name(), got)
		}
	case slices.Contains(federated, a.name()):
	case got.code == requestFirst[a.name()]:
	case !slices.Contains(denied, got.code):
		t.Errorf("%s without permission: %v", a.name(), got)
	case !strings.Contains(got.message, "user/nobody is not authorized to perform: "+a.action()):
		t.Errorf("%s: denied by another text: %v", a.name(), got)
	}
}

func linesWith(text string, words ...string) string {
	var found []string
	for line := range strings.Lines(text) {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) }) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}
