// SPDX-License-Identifier: Apache-2.0

package pebble

import (
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// privateFS makes directories readable by their owner only.
type privateFS struct{ vfs.FS }

func (f privateFS) MkdirAll(dir string, _ fs.FileMode) error { return f.FS.MkdirAll(dir, 0o700) }

// Unwrap gives Pebble the file system below.
func (f privateFS) Unwrap() vfs.FS { return f.FS }

// logger passes Pebble's messages on.
type logger struct {
	log   *slog.Logger
	fatal func(error)
}

// Infof implements pebble.Logger.
func (l logger) Infof(format string, args ...any) {
	if l.log != nil {
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l logger) Errorf(format string, args ...any) {
	if l.log != nil {
		l.log.Error(fmt.Sprintf(format, args...))
	}
}

// Fatalf implements pebble.Logger. It never returns: Pebble would go on, and
// acknowledge what it could not write.
func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("meta: "+format, args...)
	if l.fatal != nil {
		l.fatal(err)
	}
	panic(err)
}
