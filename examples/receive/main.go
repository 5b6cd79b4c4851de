// SPDX-License-Identifier: Apache-2.0

// Command receive prints what comes in a video stream, frame by frame as it arrives. It takes its configuration
// from AWS's variables:
//
//	eval "$(obscura env)"
//	eval "$(aws configure export-credentials --format env)"
//	go run ./examples/receive front-door
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/obscura-video/obscura/consumer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "receive:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: receive STREAM")
	}
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(os.Getenv("AWS_CA_BUNDLE")); err != nil || !roots.AppendCertsFromPEM(pem) {
		roots = nil // the system's
	}
	c, err := consumer.Open(consumer.Options{
		StreamName: args[0],
		Endpoint:   os.Getenv("AWS_ENDPOINT_URL"),
		Region:     os.Getenv("AWS_REGION"),
		RootCAs:    roots,
		Credentials: func(context.Context) (consumer.Credentials, error) {
			return consumer.Credentials{
				AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
			}, nil
		},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	for ev, err := range c.Events(ctx, consumer.Now()) {
		if err != nil {
			return err
		}
		switch ev.Kind {
		case consumer.Begin:
			fmt.Println("fragment", ev.Fragment.Number)
		case consumer.Arrived:
			fmt.Printf("  track %d  %s  %d bytes\n", ev.Frame.Track, ev.Frame.Time.Format("15:04:05.000"), len(ev.Frame.Data))
		case consumer.Complete:
			fmt.Println("  complete, behind", ev.Fragment.Behind)
		case consumer.Aborted:
			fmt.Println("  given up; its frames do not count")
		}
	}
	return nil
}
