// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/obscura-video/obscura/internal/server"
)

// profiledRole is the argument with which bench starts itself as a server that writes a processor profile.
const profiledRole = "profiled"

// serveProfiled is the server over a data directory until SIGTERM. Its profile becomes a file of its own in the folder into.
func serveProfiled(data, into string) (err error) {
	f, err := os.CreateTemp(into, "*.pprof")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	free, off := server.Listener{Listen: "127.0.0.1:0"}, server.Listener{Listen: server.Off}
	s, err := server.Open(ctx, server.Config{
		Data: data, API: free, Media: free, Device: off, Admin: free,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, s.Close())
	}
	defer pprof.StopCPUProfile()
	return s.Run(ctx)
}
