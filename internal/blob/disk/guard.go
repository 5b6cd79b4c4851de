// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/blob"
)

// guardStep is how many bytes are admitted between two looks at the free space.
const guardStep = 1 << 20

// guard refuses writes while the disk has less free space than its floor, and holds
// the ballast. Its methods are called under Store.mu.
type guard struct {
	fs      vfs.FS
	dir     string
	floor   int64
	ballast string // path

	sinceLook int64
	full      bool
	looked    bool
}

// admit answers blob.ErrFull when n bytes more would go below the floor.
func (g *guard) admit(n int64) error {
	if g.floor < 0 {
		return nil
	}
	if g.sinceLook += n; g.looked && !g.full && g.sinceLook < guardStep {
		return nil
	}
	g.looked, g.sinceLook = true, 0
	free, ok, err := g.free()
	if err != nil || !ok {
		return err
	}
	if free < g.floor/2 {
		_ = g.drop() // makes what room it can
	}
	if g.full = free-n < g.floor; g.full {
		return fmt.Errorf("%w: %d bytes free, floor %d", blob.ErrFull, free, g.floor)
	}
	return nil
}

// free returns the free space; not ok when the file system cannot tell.
func (g *guard) free() (free int64, ok bool, err error) {
	usage, err := g.fs.GetDiskUsage(g.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("blob: free space: %w", err)
	}
	return int64(min(usage.AvailBytes, 1<<62)), true, nil
}

// prepare makes the ballast of n bytes if there is ample room for it, and drops
// it if there is little room at all.
func (g *guard) prepare(n int64) error {
	free, ok, err := g.free()
	switch {
	case err != nil:
		return err
	case ok && free < g.floor/2 || n == 0:
		return g.drop()
	case ok && free < g.floor+2*n:
		return nil
	}
	if _, err := g.fs.Stat(g.ballast); err == nil {
		return nil
	}
	f, err := g.fs.Create(g.ballast, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(f.Preallocate(0, n), f.Close())
}

func (g *guard) drop() error {
	if err := g.fs.Remove(g.ballast); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
