// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/server"
)

// modes looks at who else may read what is secret.
func (e *examination) modes(context.Context) {
	if runtime.GOOS == "windows" {
		return // has no mode bits
	}
	loose := 0
	for _, name := range []string{".", "root.key", "credentials", "control.sock", "tls/ca.key"} {
		path := filepath.Join(e.data, name)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 == 0 {
			continue
		}
		loose++
		e.add(levelFail, "modes", fmt.Sprintf("%s can be read by others (mode %04o)", path, info.Mode().Perm()), "chmod go= "+shellQuote(path))
	}
	if loose == 0 {
		e.add(levelOK, "modes", "only their owner can read the data", "")
	}
}

// disk looks at free space, and whether anything can be written.
func (e *examination) disk(context.Context) {
	usage, err := vfs.Default.GetDiskUsage(e.data)
	if err != nil {
		e.add(levelWarn, "disk", "free space is not known: "+err.Error(), "")
		return
	}
	floor := uint64(server.DefaultFreeSpace)
	if e.status != nil && e.status.FreeSpace >= 0 {
		floor = uint64(e.status.FreeSpace)
	}
	free := fmt.Sprintf("%s free; below %s new footage is refused", byteCount(int64(usage.AvailBytes)), byteCount(int64(floor)))
	const next = "make room, or lower the retention of streams"
	switch {
	case usage.AvailBytes < floor:
		e.add(levelFail, "disk", free, next)
	case usage.AvailBytes < 2*floor, usage.AvailBytes < usage.TotalBytes/20:
		e.add(levelWarn, "disk", free, next)
	default:
		e.add(levelOK, "disk", free, "")
	}
	e.writable()
}

func (e *examination) writable() {
	f, err := os.CreateTemp(e.data, ".doctor-")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		e.add(levelFail, "disk", "cannot be written: "+err.Error(), "run this, and the server, as the owner of "+shellQuote(e.data))
	}
}

const (
	// aheadAllowed is how far in the future a file may be that the server wrote.
	aheadAllowed = 2 * time.Minute
	// clockLook is how long the two clocks are compared, clockApart what they may differ by then.
	clockLook, clockApart = 50 * time.Millisecond, time.Second
)

// clock compares the time with what lies on the disk, and the clock of the wall with the monotonic one.
func (e *examination) clock(context.Context) {
	begun := time.Now()
	time.Sleep(clockLook)
	now := time.Now()
	if d := now.Round(0).Sub(begun.Round(0)) - now.Sub(begun); d.Abs() > clockApart {
		e.add(levelWarn, "clock", fmt.Sprintf("jumped by %s just now", d), "let one time service alone set the clock, slowly")
	}
	newest, name := e.newestFile()
	ahead := newest.Sub(now)
	switch {
	case ahead > aheadAllowed:
		e.add(levelFail, "clock", fmt.Sprintf("%s is of %s, which is in the future: the clock was set back by %s or more", name, newest.UTC().Format(time.RFC3339), ahead.Round(time.Second)),
			"set the clock right (timedatectl), then restart the server; signatures and retention depend on it")
	case now.Year() < 2025:
		e.add(levelFail, "clock", "says "+now.UTC().Format(time.RFC3339), "set the clock right (timedatectl)")
	default:
		e.add(levelOK, "clock", now.UTC().Format(time.RFC3339)+" fits what was written last", "")
	}
}

// newestFile returns the time and name of the file of the metadata that was written last.
func (e *examination) newestFile() (newest time.Time, name string) {
	entries, err := os.ReadDir(filepath.Join(e.data, "meta"))
	if err != nil {
		return newest, "" // seal says so
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().After(newest) {
			newest, name = info.ModTime(), filepath.Join("meta", entry.Name())
		}
	}
	return newest, name
}

// seal looks whether the root key is the right one, and whether it lies where it protects anything.
func (e *examination) seal(ctx context.Context) {
	file, id, ok := e.rootKey(ctx)
	if !ok {
		return
	}
	if info, err := os.Stat(file); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 && filepath.Dir(file) != filepath.Clean(e.data) {
		e.add(levelFail, "root key", fmt.Sprintf("%s can be read by others (mode %04o)", file, info.Mode().Perm()), "chmod 0600 "+shellQuote(file))
	}
	data, err := filepath.Abs(e.data)
	d, describeErr := rootkey.Describe(file)
	bare := describeErr == nil && d.Provider == rootkey.ProviderFile
	if rel, relErr := filepath.Rel(data, file); bare && err == nil && relErr == nil && filepath.IsLocal(rel) {
		e.add(levelWarn, "root key", "lies beside the data: whoever takes the disk can read everything",
			"stop the server, move "+shellQuote(file)+" to another disk, and start with --root-file")
		return
	}
	e.add(levelOK, "root key", "key "+id+" at "+file+" opens the data, and is protected or lies elsewhere", "")
}

// rootKey finds the root key and makes sure that it is the right one.
func (e *examination) rootKey(ctx context.Context) (file, id string, ok bool) {
	file = e.rootFile
	if file == "" {
		file = filepath.Join(e.data, "root.key")
	}
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	var err error
	if e.status != nil {
		file, id = e.status.RootFile, e.status.RootKeyID
		var d rootkey.Description
		if d, err = rootkey.Describe(file); err == nil && d.ID != id {
			err = rootkey.ErrWrongKey
		}
	} else {
		id, err = server.CheckRootKey(ctx, e.data, file)
	}
	switch {
	case err == nil:
		return file, id, true
	case errors.Is(err, rootkey.ErrLocked):
		e.add(levelOK, "root key", "at "+file+" is protected; only a start can tell that it opens the data", "")
	case errors.Is(err, rootkey.ErrMissing):
		e.add(levelFail, "root key", "is not at "+file+": the server cannot be started again", "put it back from your copy, or name it with --root-file")
	case errors.Is(err, rootkey.ErrWrongKey), errors.Is(err, rootkey.ErrMalformed):
		e.add(levelFail, "root key", file+" does not open this data: "+err.Error(), "put the right one back from your copy, or name it with --root-file")
	case errors.Is(err, fs.ErrPermission):
		e.add(levelWarn, "root key", err.Error(), "run this as the user that the server runs as")
	default:
		e.add(levelFail, "root key", err.Error(), "obscura fsck --data "+shellQuote(e.data))
	}
	return "", "", false
}
