// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/server"
)

const (
	redrawEvery = 250 * time.Millisecond // on a terminal
	tellEvery   = 10 * time.Second       // elsewhere
)

// bulk tells on standard error how far a long job is: one redrawn line on a terminal, else a line now and then.
type bulk struct {
	t     *terminal
	verb  string
	begun time.Time
	told  time.Time
	drawn bool
	say   func(int64) string // how amounts are written, where there is a total
}

func newBulk(t *terminal, verb string) *bulk {
	now := time.Now()
	return &bulk{t: t, verb: verb, begun: now, told: now, say: byteCount}
}

// show says that done of total are done, bytes unless say writes something else (or, without total, done things), and
// what is next.
func (b *bulk) show(what string, done, total int64) {
	now, every := time.Now(), tellEvery
	if b.t.live() {
		every = redrawEvery
	}
	if now.Sub(b.told) < every {
		return
	}
	b.told = now
	if !b.t.live() {
		fmt.Fprintf(b.t.err, "%s=%q done=%d total=%d\n", b.verb, what, done, total)
		return
	}
	line := fmt.Sprintf("%s  %d  %s", b.verb, done, what)
	if total > 0 {
		rate := float64(done) / now.Sub(b.begun).Seconds()
		line = fmt.Sprintf("%s  %s of %s  %s/s", b.verb, b.say(done), b.say(total), b.say(int64(rate)))
		if rate > 0 {
			line += "  " + time.Duration(float64(total-done)/rate*1e9).Round(time.Second).String() + " left"
		}
		line += "  " + what
	}
	if most := b.t.width() - 1; len(line) > most {
		line = line[:most]
	}
	fmt.Fprintf(b.t.err, "\r\x1b[K%s", line)
	b.drawn = true
}

// end removes the line.
func (b *bulk) end() {
	if b.drawn {
		fmt.Fprint(b.t.err, "\r\x1b[K")
	}
}

// byteCount writes bytes as people read them.
func byteCount(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB"} {
		if f /= 1000; f < 999.5 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// explainData turns what stopped a command on a data directory or a backup into what a person can do about it.
func explainData(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p := &problem{What: what, Why: strings.ReplaceAll(err.Error(), "\n", "; "), Exit: exitFailed, Err: err}
	switch {
	case errors.Is(err, server.ErrNoData):
		p.Exit, p.Next = exitNotFound, "name the data directory with --data"
	case errors.Is(err, server.ErrForeign):
		p.Exit, p.Next = exitConflict, "name the data directory with --data; nothing in this folder was touched"
	case errors.Is(err, server.ErrNotEmpty):
		p.Exit, p.Next = exitConflict, "name a new or an empty folder; nothing in this one was touched"
	case errors.Is(err, server.ErrInUse):
		p.Exit, p.Next = exitConflict, "a process that does not answer has the data open: wait until it has started, or stop it"
	case errors.Is(err, server.ErrNewerFormat):
		p.Next = "use the Obscura that wrote it, or a later one"
	case errors.Is(err, server.ErrConfig):
		p.Exit = exitUsage
	case errors.Is(err, rootkey.ErrLocked):
		p.Exit, p.Next = exitNoKey, "give the right passphrase or PIN, or make its token or service reachable"
	case errors.Is(err, rootkey.ErrMissing), errors.Is(err, rootkey.ErrWrongKey), errors.Is(err, rootkey.ErrMalformed):
		p.Exit, p.Next = exitNoKey, "name the root key that the data was made with: --root-file FILE"
	case errors.Is(err, server.ErrIncomplete), errors.Is(err, server.ErrDamaged):
		p.Exit, p.Next = exitDamaged, "use another backup"
	case errors.Is(err, fs.ErrPermission):
		p.Exit, p.Next = exitRefused, "run this as the user that the server runs as"
	}
	return p
}
