// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// keys measures KMS calls each second, as a share of those of a bare echo which the same client calls.
func keys(o options, r *report) error {
	t, c, stop, err := startBoth(o)
	if err != nil {
		return err
	}
	defer stop()
	key, err := t.createKey()
	if err != nil {
		return err
	}
	for _, http2 := range []bool{false, true} {
		for _, callers := range []int{1, 16} {
			hs, hc := newHTTP(t.roots, callers, http2), newHTTP(c.roots, callers, http2)
			err := keysOver(o, r, key, callers, http2,
				kmsapi.NewClient(t.client("kms", t.at.API, hs)),
				kmsapi.NewClient(newClient("https://"+c.Echo, hc, t.creds, t.at.Region, "kms")))
			closeAll(hs, hc)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func closeAll(clients ...*http.Client) {
	for _, h := range clients {
		h.CloseIdleConnections()
	}
}

func keysOver(o options, r *report, key string, callers int, http2 bool, server, echo *kmsapi.Client) error {
	ctx := context.Background()
	purpose := map[string]string{"purpose": "bench"}
	generate := &kmsapi.GenerateDataKeyInput{KeyId: &key, KeySpec: new(kmsapi.DataKeySpecAes256), EncryptionContext: purpose}
	made, err := server.GenerateDataKey(ctx, generate)
	if err != nil {
		return err
	}
	decrypt := &kmsapi.DecryptInput{CiphertextBlob: made.CiphertextBlob, KeyId: &key, EncryptionContext: purpose}
	over := "HTTP/1.1"
	if http2 {
		over = "HTTP/2"
	}
	for _, op := range []struct {
		name string
		call func(*kmsapi.Client) error
	}{
		{"GenerateDataKey", func(c *kmsapi.Client) error { _, err := c.GenerateDataKey(ctx, generate); return err }},
		{"Decrypt", func(c *kmsapi.Client) error { _, err := c.Decrypt(ctx, decrypt); return err }},
	} {
		s, e, err := alternate(o.rounds,
			func() (float64, error) { return rate(callers, o.round/2, func() error { return op.call(server) }) },
			func() (float64, error) { return rate(callers, o.round/2, func() error { return op.call(echo) }) })
		if err != nil {
			return err
		}
		r.add(result{
			Suite: "kms", Case: fmt.Sprintf("%s, %s, %d callers", op.name, over, callers), Unit: "calls/s",
			Server: s, Ceiling: e,
		})
	}
	return nil
}

// rate calls from n goroutines for a while and returns calls each second. The first tenth is for warming up.
func rate(n int, d time.Duration, call func() error) (float64, error) {
	var calls atomic.Int64
	var work sync.WaitGroup
	errs := make(chan error, n)
	start := time.Now()
	begin := start.Add(d / 10)
	for range n {
		work.Go(func() {
			for now := start; now.Sub(start) < d; now = time.Now() {
				if err := call(); err != nil {
					errs <- err
					return
				}
				if now.After(begin) {
					calls.Add(1)
				}
			}
		})
	}
	work.Wait()
	took := time.Since(begin)
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(calls.Load()) / took.Seconds(), nil
	}
}
