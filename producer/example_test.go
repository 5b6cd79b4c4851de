// SPDX-License-Identifier: Apache-2.0

package producer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
	"github.com/obscura-video/obscura/producer"
)

func Example() {
	p, err := producer.Open(producer.Options{
		StreamName: "front-door",
		Endpoint:   "https://127.0.0.1:8443",
		Credentials: func(context.Context) (producer.Credentials, error) {
			return producer.Credentials{
				AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			}, nil
		},
		Tracks:    []producer.Track{{Number: 1, Type: producer.Video, CodecID: "V_MPEG4/ISO/AVC", Width: 1280, Height: 720}},
		BufferDir: "/var/lib/camera/buffer",
		Create:    true, Retention: 24 * time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for frame := range camera() {
		if err := p.Put(ctx, frame); err != nil {
			fmt.Println(err)
			break
		}
	}
	// Nil means that everything is durable.
	if err := p.Close(ctx); err != nil {
		fmt.Println(err)
	}
}

// camera stands for whatever gives coded pictures.
func camera() <-chan producer.Frame {
	frames := make(chan producer.Frame)
	close(frames)
	return frames
}

// A camera that is paired with a household (obscura camera pair) seals end to end.
func ExampleSeal() {
	device, err := household.Open("/var/lib/camera/keys", e2ee.Passphrase([]byte("from wherever it is kept")))
	if err != nil {
		fmt.Println(err)
		return
	}
	box := household.NewMailbox(household.Server{Endpoint: "https://127.0.0.1:8443"}, device.Household())
	go device.Follow(context.Background(), box, nil) // takes every new roster, which counts from the next fragment on
	p, err := producer.Open(producer.Options{
		StreamName: "front-door",
		Endpoint:   "https://127.0.0.1:8443",
		Tracks:     []producer.Track{{Number: 1, Type: producer.Video, CodecID: "V_MPEG4/ISO/AVC", Width: 1280, Height: 720}},
		Seal: &producer.Seal{
			New: func(stream string, tracks []e2ee.Track) (*e2ee.Sealer, error) {
				s, err := device.Sealer(stream, tracks, nil)
				if err != nil {
					return nil, err
				}
				return s.Sealer, nil
			},
			Keep: func(l e2ee.Link) error { return device.KeepSent("front-door", l) },
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	for frame := range camera() {
		switch err := p.Put(context.Background(), frame); {
		case errors.Is(err, e2ee.ErrProducer), errors.Is(err, e2ee.ErrNoRecipients):
			fmt.Println("nothing more may be recorded:", err)
			return
		case err != nil:
			fmt.Println(err)
		}
	}
}
