// SPDX-License-Identifier: Apache-2.0

package producer_test

import (
	"context"
	"fmt"
	"os"
	"time"

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
