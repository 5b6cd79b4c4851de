// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

const (
	// leastWait is how long a wait for what does not come takes at least, whatever the mailbox answers at once.
	leastWait = 500 * time.Millisecond
	// retryPause is the pause before a call that did not get through is made again.
	retryPause = time.Second
)

// steady is a Mailbox to wait at. One that does not wait makes nobody spin; and where a person is in the middle of something, a network
// that is away for a moment ends nothing.
type steady struct {
	Mailbox
	patience time.Duration // how long a call is made again that does not get through; 0 for not at all
}

// Put is Mailbox's. It may be made again, since the same bytes are no error.
func (s steady) Put(ctx context.Context, key string, body []byte, keep time.Duration) error {
	return s.try(ctx, func() error { return s.Mailbox.Put(ctx, key, body, keep) })
}

// Get is Mailbox's.
func (s steady) Get(ctx context.Context, key string, wait time.Duration) (body []byte, err error) {
	begun := time.Now()
	err = s.try(ctx, func() error { body, err = s.Mailbox.Get(ctx, key, wait); return err })
	if errors.Is(err, ErrNoObject) {
		hold(ctx, begun, wait)
	}
	return body, err
}

// List is Mailbox's.
func (s steady) List(ctx context.Context, prefix, after string, wait time.Duration) (list []Object, err error) {
	begun := time.Now()
	err = s.try(ctx, func() error { list, err = s.Mailbox.List(ctx, prefix, after, wait); return err })
	if err == nil && len(list) == 0 {
		hold(ctx, begun, wait)
	}
	return list, err
}

// hold lets a wait that came to nothing take leastWait, or all of it if it is shorter.
func hold(ctx context.Context, begun time.Time, wait time.Duration) {
	_ = sleep(ctx, min(wait, leastWait)-time.Since(begun))
}

// try makes a call until it gets through, one way or the other, or patience is over.
func (s steady) try(ctx context.Context, call func() error) error {
	for until := time.Now().Add(s.patience); ; {
		err := call()
		if err == nil || !passing(err) || ctx.Err() != nil || time.Until(until) < retryPause {
			return err
		}
		if sleep(ctx, retryPause) != nil {
			return err
		}
	}
}

// passing tells whether a call did not get through, and might if it is made again.
func passing(err error) bool {
	var said *ResponseError
	if errors.As(err, &said) {
		return said.Status >= http.StatusInternalServerError || said.Status == http.StatusTooManyRequests
	}
	var cert *tls.CertificateVerificationError
	var network net.Error
	return errors.As(err, &network) && !errors.As(err, &cert)
}

// sleep waits for d. It returns the cause of ctx when that ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
