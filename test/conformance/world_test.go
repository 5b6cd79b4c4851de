// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"
	"github.com/aws/smithy-go"

	"github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

// clients are AWS's own, all with the credentials of one caller.
type clients struct {
	ctx   context.Context
	creds sigv4.Credentials
	kms   *kms.Client
	iam   *iam.Client
	sts   *sts.Client
	video *kinesisvideo.Client
	trail *cloudtrail.Client
	boxes *mailbox.Client
	// The SDK of version 2 has no media APIs in reach of this module; version 1 has.
	media   *kinesisvideomedia.KinesisVideoMedia
	archive *kinesisvideoarchivedmedia.KinesisVideoArchivedMedia
}

func newClients(t *testing.T, s *rig.Server, c sigv4.Credentials) *clients {
	v2, v1 := s.V2(c), s.V1(c)
	return &clients{
		ctx: t.Context(), creds: c, kms: kms.NewFromConfig(v2), iam: iam.NewFromConfig(v2), sts: sts.NewFromConfig(v2),
		video: kinesisvideo.NewFromConfig(v2), trail: cloudtrail.NewFromConfig(v2), boxes: s.Mailbox(c),
		media: kinesisvideomedia.New(v1), archive: kinesisvideoarchivedmedia.New(v1),
	}
}

// world is a server with its root, a worker whose permissions the steps set, and somebody who has none.
type world struct {
	*rig.Server
	t                    *testing.T
	root, worker, nobody *clients
	id                   map[string]string // what steps made and later ones use
	blob                 map[string][]byte
}

func newWorld(t *testing.T) *world { return worldOf(t, rig.Start(t)) }

func worldOf(t *testing.T, s *rig.Server) *world {
	return &world{
		Server: s, t: t, id: map[string]string{}, blob: map[string][]byte{},
		root:   newClients(t, s, s.Root),
		worker: newClients(t, s, s.User(t, "worker", "")),
		nobody: newClients(t, s, s.User(t, "nobody", "")),
	}
}

// s is what a step made, as the SDK wants it.
func (w *world) s(name string) *string {
	v, ok := w.id[name]
	if !ok {
		w.t.Errorf("no step has made %q", name)
	}
	return &v
}

// keep returns a function that notes what a call made.
func (w *world) keep(name string, v *string) {
	if v == nil {
		w.t.Errorf("the answer has no %s", name)
		return
	}
	w.id[name] = *v
}

// step is the good way of one operation.
type step struct {
	action string
	call   func(w *world, c *clients) error
	// needs are the other actions that the caller must be allowed.
	needs []string
	// want is the code of an operation whose end is an error by design; empty is success.
	want string
	// free needs no permission.
	free bool
	// denial is what the denial says, where that is not that the caller is not authorized to perform the action.
	denial string
}

// run calls an operation of the SDK and hands on what it answered.
func run[I, O, P any](c *clients, f func(context.Context, *I, ...func(*P)) (*O, error), in *I, got ...func(*O)) error {
	out, err := f(c.ctx, in)
	if err != nil {
		return err
	}
	for _, g := range got {
		g(out)
	}
	return nil
}

// walk takes the steps: each is denied to who has no permission, in AWS's words, and done for who has this one.
func (w *world) walk(steps []step) {
	for i, s := range steps {
		w.t.Run(fmt.Sprintf("%02d %s", i, s.action), func(t *testing.T) {
			if !s.free {
				wantDenied(t, s.call(w, w.nobody), cmp.Or(s.denial, "is not authorized to perform: "+s.action))
			}
			var pairs []string
			for _, a := range append([]string{s.action}, s.needs...) {
				pairs = append(pairs, a, "*")
			}
			if !s.free {
				w.Permit(t, "worker", rig.Allow(pairs...))
			}
			wantCode(t, s.call(w, w.worker), s.want)
		})
	}
}

// wantCode checks how a call ended; want is empty for success.
func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if code, _ := kit.CodeOf(err); code != want || (err == nil) != (want == "") {
		t.Errorf("want %q, got %v", want, err)
	}
}

// wantModelled is wantCode for an error that the service's model declares: the SDK must have made its type of it.
func wantModelled(t *testing.T, err error, want string) {
	t.Helper()
	wantCode(t, err, want)
	if _, generic := errors.AsType[*smithy.GenericAPIError](err); generic {
		t.Errorf("%s: the SDK did not know the error", want)
	}
}

func wantDenied(t *testing.T, err error, text string) {
	t.Helper()
	if code, message := kit.CodeOf(err); !slices.Contains(denied, code) || !strings.Contains(message, text) {
		t.Errorf("without permission: want a denial with %q, got %v", text, err)
	}
}
