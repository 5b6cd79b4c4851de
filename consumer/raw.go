// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
)

// MaxRawBytes bounds a fragment as the service sends it.
const MaxRawBytes = 80 << 20

// errRawTooLarge would come again.
var errRawTooLarge = fmt.Errorf("consumer: fragment of more than %d bytes", MaxRawBytes)

// Raw returns one stored fragment as the service sends it, byte for byte: a whole file of Matroska, which Parse reads. It is for who
// hands fragments on as they are. It has been parsed once, so that it is the fragment that was asked for.
//
// Errors: *ResponseError; *MediaError when it is not there any more; those of Parse; the connection's.
func (c *Consumer) Raw(ctx context.Context, number string) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		b, err := c.raw(ctx, number)
		switch {
		case err == nil:
			return b, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case permanent(err), errors.Is(err, errRawTooLarge), attempt == maxAttempts:
			return nil, err
		}
		if err := pause(ctx, c.backoff<<attempt); err != nil {
			return nil, err
		}
	}
}

func (c *Consumer) raw(ctx context.Context, number string) ([]byte, error) {
	endpoint, err := c.endpoint(ctx, "GET_MEDIA_FOR_FRAGMENT_LIST")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &archiveapi.GetMediaForFragmentListInput{StreamName: c.name, StreamARN: c.arn, Fragments: []string{number}}
	_, body, err := archiveapi.NewClient(c.client(ctx, endpoint)).GetMediaForFragmentList(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, MaxRawBytes+1))
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	if len(b) > MaxRawBytes {
		return nil, errRawTooLarge
	}
	f, err := Parse(b)
	if err == nil && f.Number != number {
		err = fmt.Errorf("%w: %s", errNotAsked, f.Number)
	}
	return b, err
}

// Parse reads media that holds exactly one fragment, as Raw returns it. The result does not alias it.
//
// Errors: *MediaError, when it says why there is none; others when it is no Matroska, or not one whole fragment.
func Parse(media []byte) (*Fragment, error) {
	var out *Fragment
	var frames []Frame
	p := &parser{listed: true, emit: func(ev Event) error {
		switch ev.Kind {
		case Arrived:
			frames = append(frames, ev.Frame)
		case Complete:
			if out != nil {
				return errors.New("consumer: more than one fragment")
			}
			out = ev.Fragment
			out.Frames = frames
		case Aborted:
			return fmt.Errorf("consumer: fragment %s is not whole: %w", ev.Fragment.Number, io.ErrUnexpectedEOF)
		}
		return nil
	}}
	if err := p.parse(bytes.NewReader(media)); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, fmt.Errorf("consumer: no fragment: %w", io.ErrUnexpectedEOF)
	}
	return out, nil
}
