// SPDX-License-Identifier: Apache-2.0

package household

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Errors of a Mailbox, for errors.Is.
var (
	// ErrNoObject says that there is no object of that name, and none came while waiting.
	ErrNoObject = errors.New("household: no such object in the mailbox")
	// ErrObjectExists says that there is another object of that name already.
	ErrObjectExists = errors.New("household: another object of that name is in the mailbox")
)

// MaxObjectBytes is the most that an object holds: a signed roster.
const MaxObjectBytes = 520 << 10

// MaxWait is the longest that a Mailbox may be asked to wait at once.
const MaxWait = 20 * time.Second

// Object is what a Mailbox lists. All of it is the server's word.
type Object struct {
	Key     string
	Size    int64
	Created time.Time
	Writer  string // who put it there, in the server's words; may be empty
}

// Mailbox is a household's box on a server: objects under names, written once. It may be used concurrently, and nothing that it
// answers is believed. NewMailbox makes one that speaks to a server.
type Mailbox interface {
	// Put leaves an object; for keep, or for ever when keep is 0. The same bytes again are no error.
	// Errors: ErrObjectExists when there are other bytes; others of the service and the connection.
	Put(ctx context.Context, key string, body []byte, keep time.Duration) error
	// Get returns an object, waiting for it up to wait, at most MaxWait. The bytes are the caller's.
	// Errors: ErrNoObject; others of the service and the connection.
	Get(ctx context.Context, key string, wait time.Duration) ([]byte, error)
	// List returns the objects whose names begin with prefix and come after after, in the order of their names; when there are
	// none it waits for one up to wait. It may return fewer than there are: ask again after the last. No objects and no error
	// mean that there are no more.
	List(ctx context.Context, prefix, after string, wait time.Duration) ([]Object, error)
}

// Prefixes of names in the box, docs/formats/household.md.
const (
	prefixRoster      = "roster/"
	prefixProposal    = "proposal/"
	prefixCertificate = "certificate/"
	prefixPairing     = "pairing/"
	prefixGrant       = "grant/"
)

func rosterKey(version uint32) string { return fmt.Sprintf("%s%010d", prefixRoster, version) }

// rosterVersion reads what rosterKey wrote.
func rosterVersion(key string) (uint32, bool) {
	digits, ok := strings.CutPrefix(key, prefixRoster)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && key == rosterKey(uint32(n))
}

func certificatePrefix(device e2ee.Fingerprint) string {
	return fmt.Sprintf("%s%x/", prefixCertificate, device[:])
}

func certificateKey(device e2ee.Fingerprint, number uint32) string {
	return fmt.Sprintf("%s%010d", certificatePrefix(device), number)
}

// parseCertificateKey reads what certificateKey wrote.
func parseCertificateKey(key string) (device e2ee.Fingerprint, number uint32, ok bool) {
	rest, ok := strings.CutPrefix(key, prefixCertificate)
	name, digits, ok2 := strings.Cut(rest, "/")
	b, err := hex.DecodeString(name)
	n, err2 := strconv.ParseUint(digits, 10, 32)
	if !ok || !ok2 || err != nil || err2 != nil || len(b) != len(device) || len(digits) != 10 {
		return device, 0, false
	}
	return e2ee.Fingerprint(b), uint32(n), true
}

// grantPrefix is where grants for a device and a stream lie.
func grantPrefix(to e2ee.Fingerprint, stream e2ee.StreamID) string {
	return fmt.Sprintf("%s%x/%x-", prefixGrant, to[:], stream[:])
}

const (
	// maxPages bounds how often a listing goes on: a server could list for ever.
	maxPages = 64
	// maxListed bounds how many objects a listing has.
	maxListed = 1 << 15
)

// listAll lists all objects under a prefix, up to a bound: whole says that there are no more.
func listAll(ctx context.Context, box Mailbox, prefix string) (all []Object, whole bool, err error) {
	after := ""
	for range maxPages {
		page, err := box.List(ctx, prefix, after, 0)
		if err != nil {
			return nil, false, err
		}
		for _, o := range page {
			if !strings.HasPrefix(o.Key, prefix) || o.Key <= after {
				return nil, false, fmt.Errorf("household: the mailbox lists %q where names after %q were asked for", o.Key, cmp.Or(after, prefix))
			}
			after = o.Key
			all = append(all, o)
		}
		if len(page) == 0 {
			return all, true, nil
		}
		if len(all) >= maxListed {
			return all[:maxListed], false, nil
		}
	}
	return all, false, nil
}
