// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/obscura-video/obscura/internal/blob/disk"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	"github.com/obscura-video/obscura/internal/meta/sealed"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/seal"
)

// metaCacheBytes keeps an idle server small; index rows are few hundred bytes each.
const metaCacheBytes = 8 << 20

// stores are what lies on disk, opened. They are closed in the reverse order.
type stores struct {
	root    *rootkey.File
	metaKey *seal.Key
	pebble  *pebble.DB
	db      *sealed.DB
	blobs   *disk.Store
	journal *journal.Journal
	// spool holds the window of streams without retention: the same journal over an index in memory and
	// segments that are emptied at each start.
	spool      *journal.Journal
	spoolBlobs *disk.Store
	spoolMeta  meta.DB
	// copying is held for reading while somebody copies the segments, for writing while any is deleted.
	copying sync.RWMutex
}

// openStores opens the data directory. On an error everything that was opened is closed again, and nothing of
// what the directory held was changed.
func openStores(ctx context.Context, c Config, fatal func(error)) (_ *stores, err error) {
	s := new(stores)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	if err := prepareData(c.Data); err != nil {
		return nil, err
	}
	if s.root, err = openRoot(ctx, c); err != nil {
		return nil, err
	}
	if err := s.openMeta(ctx, c, fatal); err != nil {
		return nil, err
	}
	if err := s.openJournal(ctx, c, fatal); err != nil {
		return nil, err
	}
	return s, s.openSpool(ctx, c, fatal)
}

func (s *stores) openMeta(ctx context.Context, c Config, fatal func(error)) (err error) {
	dir := filepath.Join(c.Data, "meta")
	s.pebble, err = pebble.Open(dir, pebble.Options{FS: c.FS, Fatal: fatal, Logger: c.Log, CacheBytes: metaCacheBytes})
	if err != nil {
		if isLocked(err) {
			return fmt.Errorf("%s: %w", c.Data, ErrInUse)
		}
		return fmt.Errorf("open %s: %w", dir, err)
	}
	wrapped, err := sealed.WrappedKey(ctx, s.pebble)
	if errors.Is(err, meta.ErrNotFound) {
		return s.createMeta(ctx)
	}
	if err != nil {
		return err
	}
	if s.metaKey, err = unwrapMetaKey(ctx, s.root, wrapped); err != nil {
		return err
	}
	s.db, err = sealed.Open(ctx, s.pebble, s.metaKey)
	return err
}

// unwrapMetaKey opens the meta key from a store's header. Errors: rootkey.ErrWrongKey.
func unwrapMetaKey(ctx context.Context, root *rootkey.File, wrapped []byte) (*seal.Key, error) {
	material, err := root.Unwrap(ctx, wrapped, metaKeyAAD())
	if err != nil {
		return nil, fmt.Errorf("meta key: %w", err)
	}
	defer clear(material)
	return seal.NewKey(material)
}

func (s *stores) createMeta(ctx context.Context) error {
	material := make([]byte, seal.KeySize)
	rand.Read(material) // never fails
	defer clear(material)
	wrapped, err := s.root.Wrap(ctx, material, metaKeyAAD())
	if err != nil {
		return err
	}
	if s.metaKey, err = seal.NewKey(material); err != nil {
		return err
	}
	s.db, err = sealed.Create(ctx, s.pebble, wrapped, s.metaKey)
	return err
}

func metaKeyAAD() []byte { return []byte("obscura meta key v1") }

func (s *stores) openJournal(ctx context.Context, c Config, fatal func(error)) (err error) {
	s.blobs, err = disk.Open(filepath.Join(c.Data, "blob"), disk.Options{FS: c.FS, MinFreeBytes: c.FreeSpace, Fatal: fatal})
	if err != nil {
		return err
	}
	s.journal, err = journal.Open(ctx, s.db, s.blobs, journal.Options{Horizon: c.BackupHorizon, Now: c.Now})
	return err
}

func (s *stores) openSpool(ctx context.Context, c Config, fatal func(error)) (err error) {
	s.spoolMeta = mem.New()
	s.spoolBlobs, err = disk.Open(filepath.Join(c.Data, "spool"), disk.Options{
		FS: c.FS, MinFreeBytes: c.FreeSpace, Fatal: fatal, Volatile: true,
	})
	if err != nil {
		return err
	}
	s.spool, err = journal.Open(ctx, s.spoolMeta, s.spoolBlobs, journal.Options{Now: c.Now})
	return err
}

// close releases what is open, in the reverse order, and zeroes the keys.
func (s *stores) close(ctx context.Context) error {
	var errs []error
	for _, j := range []*journal.Journal{s.spool, s.journal} {
		if j != nil {
			errs = append(errs, j.Close(ctx))
		}
	}
	for _, b := range []*disk.Store{s.spoolBlobs, s.blobs} {
		if b != nil {
			errs = append(errs, b.Close())
		}
	}
	if s.spoolMeta != nil {
		errs = append(errs, s.spoolMeta.Close())
	}
	switch {
	case s.db != nil:
		errs = append(errs, s.db.Close())
	case s.pebble != nil:
		errs = append(errs, s.pebble.Close())
	}
	if s.metaKey != nil {
		s.metaKey.Destroy()
	}
	if s.root != nil {
		s.root.Destroy()
	}
	return errors.Join(errs...)
}

// isLocked recognises the errors by which another holder of a lock file shows.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held by current process")
}

// identityKey is the row that binds a data directory to the region and account in its ARNs.
func identityKey() []byte { return []byte("server/identity") }

// cutIdentity takes apart what bind has stored.
func cutIdentity(value []byte) (region, account string) {
	region, account, _ = strings.Cut(string(value), "/")
	return region, account
}

// bind refuses a region or account other than those the directory was made with: the ARNs in it name them.
func (s *stores) bind(ctx context.Context, c Config) error {
	want := c.Region + "/" + c.Account
	return s.db.Update(ctx, func(tx meta.Tx) error {
		got, err := tx.Get(identityKey())
		switch {
		case errors.Is(err, meta.ErrNotFound):
			tx.Put(identityKey(), []byte(want))
			return nil
		case err != nil:
			return err
		case string(got) != want:
			return fmt.Errorf("%w: %s was made for region and account %s, not %s", ErrConfig, c.Data, got, want)
		}
		return nil
	})
}

// reapArchive frees the segments that nothing refers to any more. It reads every index row, so it is not for often.
// While a backup runs it waits for the next time.
func (s *stores) reapArchive(ctx context.Context) error {
	if !s.copying.TryLock() {
		return nil
	}
	defer s.copying.Unlock()
	return reap(ctx, s.journal)
}

// reapSpool does the same for the window of streams without retention.
func (s *stores) reapSpool(ctx context.Context) error { return reap(ctx, s.spool) }

func reap(ctx context.Context, j *journal.Journal) error {
	_, err := j.Reap(ctx, journal.ReapOptions{Alone: true})
	return err
}
