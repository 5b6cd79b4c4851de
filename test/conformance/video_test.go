// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package conformance

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/test/rig"
)

// putOne sends one fragment and waits until it is durable. A refusal is an error of the SDK's kind.
func (w *world) putOne(c *clients, stream string, timecode uint64) error {
	p, err := w.PutMedia(c.ctx, c.creds, stream)
	if e, ok := errors.AsType[*protocol.ResponseError](err); ok {
		return awserr.New(e.Code, e.Message, err)
	}
	if err != nil {
		return err
	}
	if _, err := p.Write(rig.Header()); err != nil {
		return err
	}
	if _, err := p.Send(rig.Fragment(timecode, rig.Frames(stream, timecode, 3, 100))); err != nil {
		p.Cut()
		return err
	}
	_, err = p.End()
	return err
}

// getOne reads one fragment and checks that it is the one sent at its timecode.
func (w *world) getOne(c *clients, stream, start string) error {
	out, err := c.media.GetMediaWithContext(c.ctx, &kinesisvideomedia.GetMediaInput{
		StreamName: &stream, StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: &start},
	})
	if err != nil {
		return err
	}
	defer out.Payload.Close()
	got, err := rig.ReadMedia(out.Payload, 1)
	if err != nil {
		return err
	}
	if !got[0].Equal(rig.Frames(stream, got[0].Timecode, 3, 100)) {
		return fmt.Errorf("fragment %s is not what was sent", got[0].Number)
	}
	return nil
}

func (c *clients) listFragments(stream string) (numbers []string, err error) {
	in := &kinesisvideoarchivedmedia.ListFragmentsInput{StreamName: &stream}
	err = c.archive.ListFragmentsPagesWithContext(c.ctx, in, func(o *kinesisvideoarchivedmedia.ListFragmentsOutput, _ bool) bool {
		for _, f := range o.Fragments {
			numbers = append(numbers, *f.FragmentNumber)
		}
		return true
	})
	return numbers, err
}

func (w *world) createStream(name string, in kinesisvideo.CreateStreamInput) string {
	w.t.Helper()
	in.StreamName = &name
	if in.DataRetentionInHours == nil {
		in.DataRetentionInHours = aws.Int32(1)
	}
	out, err := w.root.video.CreateStream(w.t.Context(), &in)
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.StreamARN
}

// eventually tries until it is so, or the test is lost.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("not within 30 s: %s", what)
}
