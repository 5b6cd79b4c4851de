// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Errors about the data directory that the CLI explains.
var (
	// ErrForeign says that the folder holds something that is not Obscura's. Nothing in it was touched.
	ErrForeign = errors.New("not an Obscura data directory, and not empty")
	// ErrNewerFormat says that a later version of Obscura wrote the folder.
	ErrNewerFormat = errors.New("written by a newer version of Obscura")
	// ErrNoData says that there is no data directory.
	ErrNoData = errors.New("no data directory")
	// ErrInUse says that another process has the data directory open.
	ErrInUse = errors.New("in use by another process")
)

const (
	// formatFile marks a data directory and says how it is laid out.
	formatFile   = "FORMAT"
	formatPrefix = "obscura data directory v"
	// formatVersion has what version 1 does not know and would not keep whole: the index of grants, keys of further
	// Regions, the key of digests, sealed fragments.
	formatVersion = formatPrefix + "2"
	// olderFormat is read as it is; a server that opens it makes it the present one (upgradeData).
	olderFormat = formatPrefix + "1"
)

// prepareData makes dir a data directory, or makes sure that it is one. It changes nothing in a folder that
// is not.
func prepareData(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, formatFile))
	switch {
	case err == nil:
		return checkFormat(dir, strings.TrimSpace(string(text)))
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s: %w", dir, ErrForeign)
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, formatFile), []byte(formatVersion+"\n"), 0o600)
}

// makeDir makes dir and the folders above it, durable on return: each new name is synced in the folder that has it, or
// a power cut could take the folder with all that was acknowledged in it.
func makeDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		return makeDir(dir)
	} else if err != nil {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil
		}
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// upgradeData makes sure that no older version opens dir any more. It is called before anything is written that such a
// version does not know.
func upgradeData(dir string) error {
	path := filepath.Join(dir, formatFile)
	text, err := os.ReadFile(path)
	if err != nil || strings.TrimSpace(string(text)) == formatVersion {
		return err
	}
	return writeFile(path, []byte(formatVersion+"\n"), 0o600)
}

// CheckData makes sure that dir is a data directory of this version, or of one that it can upgrade, and changes nothing.
// Errors: ErrNoData, ErrForeign, ErrNewerFormat.
func CheckData(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, formatFile))
	if err == nil {
		return checkFormat(dir, strings.TrimSpace(string(text)))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", dir, ErrNoData)
	}
	return fmt.Errorf("%s: %w", dir, ErrForeign)
}

func checkFormat(dir, text string) error {
	if text == formatVersion || text == olderFormat {
		return nil
	}
	if strings.HasPrefix(text, formatPrefix) {
		return fmt.Errorf("%s: %w (%s)", dir, ErrNewerFormat, text)
	}
	return fmt.Errorf("%s: %w", dir, ErrForeign)
}

// writeFile replaces path with data, durable on return: written beside, synced, renamed, the folder synced.
func writeFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		os.Remove(tmp.Name())
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
