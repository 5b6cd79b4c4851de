// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

func credentials(context.Context) (consumer.Credentials, error) {
	return consumer.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
	}, nil
}

func ExampleConsumer_Fragments() {
	c, err := consumer.Open(consumer.Options{
		StreamName: "front-door", Endpoint: "https://127.0.0.1:8443", Credentials: credentials,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for f, err := range c.Fragments(context.Background(), consumer.Now()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(f.Producer, len(f.Frames), "frames, behind", f.Behind)
	}
}

func ExampleConsumer_Archive() {
	c, err := consumer.Open(consumer.Options{
		StreamName: "front-door", Endpoint: "https://127.0.0.1:8443", Credentials: credentials,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	hour := consumer.Range{Start: time.Now().Add(-time.Hour), End: time.Now()}
	for f, err := range c.Archive(context.Background(), hour) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(f.Number, f.Producer)
	}
}

func ExampleConsumer_Opened() {
	c, err := consumer.Open(consumer.Options{
		StreamName: "front-door", Endpoint: "https://127.0.0.1:8443", Credentials: credentials,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	device, err := household.Open("/home/ana/.config/obscura/keys", e2ee.Passphrase([]byte("as she typed it")))
	if err != nil {
		fmt.Println(err)
		return
	}
	opener, err := device.Opener("front-door", func(o *e2ee.OpenerConfig) { o.LiveWindow = e2ee.DefaultLiveWindow })
	if err != nil {
		fmt.Println(err)
		return
	}
	defer opener.Close()
	ctx := context.Background()
	for s, err := range c.Opened(ctx, c.Events(ctx, consumer.Now()), opener) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch s.Kind {
		case consumer.Provisional:
			fmt.Println(len(s.Frames), "frames to show; the signature is still to come")
		case consumer.Confirmed:
			fmt.Println("signed by the camera,", s.Report.Missing, "fragments missing before")
		case consumer.Refused:
			fmt.Println(s.Err, "tampered:", s.Err.Code.Tampered())
			if s.Err.Code.Tampered() {
				return
			}
		}
	}
}
