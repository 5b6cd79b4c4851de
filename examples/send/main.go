// SPDX-License-Identifier: Apache-2.0

// Command send puts a minute of made-up sensor readings into a video stream, as a track of metadata. It takes its
// configuration from AWS's variables:
//
//	eval "$(obscura env)"
//	eval "$(aws configure export-credentials --format env)"
//	go run ./examples/send readings
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/obscura-video/obscura/producer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "send:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: send STREAM")
	}
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(os.Getenv("AWS_CA_BUNDLE")); err != nil || !roots.AppendCertsFromPEM(pem) {
		roots = nil // the system's
	}
	p, err := producer.Open(producer.Options{
		StreamName: args[0],
		Endpoint:   os.Getenv("AWS_ENDPOINT_URL"),
		Region:     os.Getenv("AWS_REGION"),
		RootCAs:    roots,
		Credentials: func(context.Context) (producer.Credentials, error) {
			return producer.Credentials{
				AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
			}, nil
		},
		Tracks: []producer.Track{{Number: 1, Type: producer.Metadata, CodecID: "S_TEXT/UTF8", Name: "readings"}},
		Create: true, Retention: time.Hour,
		OnPersisted: func(f producer.Persisted) { fmt.Println("durable until", f.End.Format(time.TimeOnly)) },
	})
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < 600 && ctx.Err() == nil; n++ {
		at := <-tick.C
		reading := fmt.Sprintf("%.1f °C", 20+float64(n%50)/10)
		if err := p.Put(ctx, producer.Frame{Track: 1, Time: at, Key: true, Data: []byte(reading)}); err != nil {
			return errors.Join(err, p.Close(ctx))
		}
	}
	return p.Close(context.WithoutCancel(ctx)) // nil: everything is durable
}
