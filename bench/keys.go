// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// keys measures KMS calls each second, as shares of two ceilings: what a bare echo and the bare primitive would do one
// after the other, 1 / (1/echo + 1/primitive); and what an echo does that also runs the primitive once for each request.
// The same client calls all of them; the primitive runs on as many goroutines.
func keys(o options, r *report) error {
	t, c, stop, err := startBoth(o)
	if err != nil {
		return err
	}
	defer stop()
	bare, err := primitives()
	if err != nil {
		return err
	}
	for _, http2 := range []bool{false, true} {
		for _, callers := range []int{1, 8, 16} {
			hs, hc := newHTTP(t.roots, callers, http2), newHTTP(c.roots, callers, http2)
			ceiling := func(path string) *kmsapi.Client {
				return kmsapi.NewClient(newClient("https://"+c.Echo+path, hc, t.creds, t.at.Region, "kms"))
			}
			b := keyBench{
				options: o, report: r, callers: callers, over: "HTTP/1.1", primitives: bare,
				server: kmsapi.NewClient(t.client("kms", t.at.API, hs)), serverPID: t.cmd.Process.Pid,
				echo: ceiling(""), worker: ceiling(workPath), ceilingPID: c.cmd.Process.Pid,
			}
			if http2 {
				b.over = "HTTP/2"
			}
			err := b.run()
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

// keyCase is one operation.
type keyCase struct {
	name string
	call func(*kmsapi.Client) error
	// primitive is the name of what the operation is for, without all else; slow says that it takes longer than an echo.
	primitive string
	slow      bool
}

// keyBench measures with one number of callers over one protocol.
type keyBench struct {
	options
	report     *report
	callers    int
	over       string
	primitives map[string]func() error
	// worker is the echo that runs the primitive.
	server, echo, worker  *kmsapi.Client
	serverPID, ceilingPID int
}

func (b keyBench) run() error {
	cases, err := keyCases(b.server)
	if err != nil {
		return err
	}
	for _, k := range cases {
		if err := b.measure(k); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return nil
}

func (b keyBench) measure(k keyCase) error {
	name := fmt.Sprintf("%s, %s, %d callers", k.name, b.over, b.callers)
	if !strings.Contains(name, b.calls) {
		return nil
	}
	sides := []contender{
		{call: func() error { return k.call(b.server) }, pid: b.serverPID},
		{call: func() error { return k.call(b.echo) }, pid: b.ceilingPID},
		{call: func() error { return k.call(b.worker) }, pid: b.ceilingPID},
		{call: b.primitives[k.primitive]},
	}
	if err := turns(b.rounds, b.callers, b.round/2, sides); err != nil {
		return err
	}
	server, echo, worker, primitive := sides[0], sides[1], sides[2], sides[3]
	ideal := make([]float64, len(echo.rates))
	for i := range ideal {
		ideal[i] = 1 / (1/echo.rates[i] + 1/primitive.rates[i])
	}
	b.report.add(result{
		Suite: "kms", Case: name, Unit: "calls/s", Server: server.rates, Ceiling: ideal, Measured: worker.rates,
		Echo: echo.rates, Primitive: primitive.rates,
	})
	if b.callers != tailCallers {
		return nil
	}
	b.report.add(result{Suite: "kms", Case: name + ", processor", Unit: "µs", Server: server.busy, Ceiling: echo.busy, Measured: worker.busy})
	b.report.add(result{Suite: "kms", Case: name + ", client's", Unit: "µs", Server: server.own, Ceiling: echo.own, Measured: worker.own})
	tails := slices.Clone(echo.tails)
	if k.slow {
		for i := range tails {
			tails[i] += primitive.tails[i]
		}
	}
	b.report.add(result{Suite: "kms", Case: name + ", p99", Unit: "ms", Server: server.tails, Ceiling: tails, Measured: worker.tails})
	return nil
}

// tailCallers is with how many callers the 99th percentile is of interest.
const tailCallers = 8

// contender is one of those that take turns, and what was measured of it, a value for each round.
type contender struct {
	call func() error
	pid  int // of the process that is called; 0 when none is
	// rates are calls each second, tails the 99th percentile of their durations in milliseconds.
	rates, tails []float64
	// busy is the processor time of a call in the process that is called, own in this one, both in microseconds.
	busy, own []float64
}

// turns runs all sides in turns, so that what disturbs the machine disturbs them all.
func turns(rounds, callers int, d time.Duration, sides []contender) error {
	for range rounds {
		for i := range sides {
			if err := sides[i].turn(callers, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *contender) turn(callers int, d time.Duration) error {
	var calls atomic.Int64
	counted := func() error { calls.Add(1); return s.call() }
	before, err := s.processors()
	if err != nil {
		return err
	}
	rate, took, err := timedRate(callers, d, counted)
	if err != nil {
		return err
	}
	after, err := s.processors()
	if err != nil {
		return err
	}
	perCall := func(i int) float64 { return float64((after[i] - before[i]).Microseconds()) / float64(calls.Load()) }
	s.rates, s.tails = append(s.rates, rate), append(s.tails, quantile(took, 0.99))
	s.busy, s.own = append(s.busy, perCall(0)), append(s.own, perCall(1))
	return nil
}

// processors is the processor time of the process that is called, and of this one.
func (s *contender) processors() (t [2]time.Duration, err error) {
	for i, pid := range []int{s.pid, os.Getpid()} {
		if t[i], err = processorTime(pid); err != nil {
			return t, err
		}
	}
	return t, nil
}

// keyCases makes a key for each operation.
func keyCases(server *kmsapi.Client) ([]keyCase, error) {
	ctx := context.Background()
	create := func(spec, usage string) (*string, error) {
		out, err := server.CreateKey(ctx, &kmsapi.CreateKeyInput{KeySpec: &spec, KeyUsage: &usage})
		if err != nil {
			return nil, err
		}
		return out.KeyMetadata.KeyId, nil
	}
	symmetric, err := create(kmsapi.KeySpecSymmetricDefault, kmsapi.KeyUsageTypeEncryptDecrypt)
	if err != nil {
		return nil, err
	}
	cases, err := sealCases(ctx, server, symmetric)
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		spec, algorithm string
		slow            bool
	}{
		{kmsapi.KeySpecEccNistP256, kmsapi.SigningAlgorithmSpecEcdsaSha256, false},
		{kmsapi.KeySpecRsa2048, kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha256, true},
	} {
		id, err := create(s.spec, kmsapi.KeyUsageTypeSignVerify)
		if err != nil {
			return nil, err
		}
		in := &kmsapi.SignInput{KeyId: id, Message: make([]byte, 32), MessageType: new(kmsapi.MessageTypeDigest), SigningAlgorithm: &s.algorithm}
		cases = append(cases, keyCase{"Sign " + s.spec, func(c *kmsapi.Client) error { _, err := c.Sign(ctx, in); return err }, s.algorithm, s.slow})
	}
	return cases, nil
}

func sealCases(ctx context.Context, server *kmsapi.Client, id *string) ([]keyCase, error) {
	purpose := map[string]string{"purpose": "bench"}
	generate := &kmsapi.GenerateDataKeyInput{KeyId: id, KeySpec: new(kmsapi.DataKeySpecAes256), EncryptionContext: purpose}
	encrypt := &kmsapi.EncryptInput{KeyId: id, Plaintext: make([]byte, sealedBytes), EncryptionContext: purpose}
	sealed, err := server.Encrypt(ctx, encrypt)
	if err != nil {
		return nil, err
	}
	decrypt := &kmsapi.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, KeyId: id, EncryptionContext: purpose}
	return []keyCase{
		{"GenerateDataKey", func(c *kmsapi.Client) error { _, err := c.GenerateDataKey(ctx, generate); return err }, "GenerateDataKey", false},
		{"Encrypt 1 KiB", func(c *kmsapi.Client) error { _, err := c.Encrypt(ctx, encrypt); return err }, "Encrypt", false},
		{"Decrypt 1 KiB", func(c *kmsapi.Client) error { _, err := c.Decrypt(ctx, decrypt); return err }, "Decrypt", false},
	}, nil
}

// rate calls from n goroutines for a while and returns calls each second. The first tenth is for warming up.
func rate(n int, d time.Duration, call func() error) (float64, error) {
	perSecond, _, err := timedRate(n, d, call)
	return perSecond, err
}

// timedRate is rate that says how long each call took as well.
func timedRate(n int, d time.Duration, call func() error) (float64, []time.Duration, error) {
	var work sync.WaitGroup
	errs := make(chan error, n)
	all := make([][]time.Duration, n)
	start := time.Now()
	begin := start.Add(d / 10)
	for i := range n {
		work.Go(func() {
			took := make([]time.Duration, 0, 1<<12)
			for before := start; before.Sub(start) < d; {
				if err := call(); err != nil {
					errs <- err
					return
				}
				now := time.Now()
				if now.After(begin) {
					took = append(took, now.Sub(before))
				}
				before = now
			}
			all[i] = took
		})
	}
	work.Wait()
	took := time.Since(begin)
	select {
	case err := <-errs:
		return 0, nil, err
	default:
		calls := slices.Concat(all...)
		return float64(len(calls)) / took.Seconds(), calls, nil
	}
}
