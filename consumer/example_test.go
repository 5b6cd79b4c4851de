// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/obscura-video/obscura/consumer"
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
