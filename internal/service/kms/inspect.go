// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

// ErrKeyDeleted says that the KMS key was deleted, so that nobody can open the blob any more.
var ErrKeyDeleted = errors.New("kms: key was deleted")

// Custodian judges the rows of a KMS and opens ciphertext blobs with nothing but these rows and the root key. It
// decides nothing and records nothing: it is for the operator's tools, which hold the root key anyway, and never
// for the server.
type Custodian struct {
	DB   meta.DB
	Root RootKey
}

// Decrypt opens a ciphertext blob with the keys of the home Region; the plaintext is the caller's to clear.
// Errors: ErrKeyDeleted; others when blob, context or rows are damaged.
func (c *Custodian) Decrypt(ctx context.Context, blob []byte, context map[string]string) ([]byte, error) {
	parsed, err := parseCiphertext(blob)
	if err != nil {
		return nil, err
	}
	material, err := c.material(ctx, rows{}, parsed.keyID, parsed.materialID)
	if err != nil {
		return nil, err
	}
	defer clear(material)
	return parsed.open(material, context)
}

// material unwraps one key material and compares it with its id.
func (c *Custodian) material(ctx context.Context, of rows, keyID, id string) ([]byte, error) {
	var wrapped []byte
	err := c.DB.View(ctx, func(r meta.Reader) (err error) {
		if _, err = r.Get(of.key(keyID)); errors.Is(err, meta.ErrNotFound) {
			return fmt.Errorf("%w: %s", ErrKeyDeleted, keyID)
		} else if err != nil {
			return err
		}
		wrapped, err = r.Get(of.material(keyID, id))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kms: material of key %s: %w", keyID, err)
	}
	plain, err := c.Root.Unwrap(ctx, wrapped, wrapContext(keyID, id))
	if err != nil {
		return nil, fmt.Errorf("kms: material of key %s: %w", keyID, err)
	}
	mac := hmac.New(sha256.New, plain)
	mac.Write([]byte(materialIDLabel + "\x00" + keyID))
	if hex.EncodeToString(mac.Sum(nil)) != id {
		clear(plain)
		return nil, fmt.Errorf("kms: material of key %s is not the one that its row names", keyID)
	}
	return plain, nil
}

// Verify checks every key: its row parses, each of its materials unwraps and is the one named, and its grants are
// found by their index, which says the same of them. fault is called
// for each that does not. It returns how many keys there are; the error is of reading the store.
func (c *Custodian) Verify(ctx context.Context, fault func(keyID string, err error)) (keys int, err error) {
	regions, err := storedRegions(ctx, c.DB)
	if err != nil {
		return 0, err
	}
	for _, of := range regions {
		n, err := c.verify(ctx, of, fault)
		keys += n
		if err != nil {
			return keys, err
		}
	}
	return keys, nil
}

// verify is Verify for one Region.
func (c *Custodian) verify(ctx context.Context, of rows, fault func(keyID string, err error)) (keys int, err error) {
	records, err := c.records(ctx, of, fault)
	for _, r := range records {
		all := r.Materials
		if r.Pending != nil {
			all = append(slices.Clone(all), *r.Pending)
		}
		for _, m := range all {
			if m.Missing {
				continue
			}
			material, err := c.material(ctx, of, r.ID, m.ID)
			if ctx.Err() != nil {
				return len(records), ctx.Err()
			}
			if err != nil {
				fault(r.ID, err)
			}
			clear(material)
		}
	}
	if err != nil {
		return len(records), err
	}
	return len(records), c.verifyGrants(ctx, of, records, fault)
}

// verifyGrants checks that every grant parses and is found by its index rows, and that no index row stands for a grant
// that is not there. Of a key that is being deleted some may be missing, and all in a store that was written without:
// the next start makes them.
func (c *Custodian) verifyGrants(ctx context.Context, of rows, records []record, fault func(string, error)) error {
	dying := map[string]bool{}
	for _, r := range records {
		dying[r.ID] = r.State == kmsapi.KeyStatePendingDeletion
	}
	older, err := awaitsIndex(ctx, c.DB, of)
	if err != nil {
		return err
	}
	each := func(kind string, check func(r meta.Reader, row meta.KV) error) error {
		prefix := of.of(kind)
		return c.DB.View(ctx, func(r meta.Reader) error {
			for row, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
				if err != nil {
					return err
				}
				if err := check(r, row); err != nil {
					fault("", fmt.Errorf("row %q: %w", row.Key, err))
				}
			}
			return nil
		})
	}
	if err := each("g", func(r meta.Reader, row meta.KV) error {
		g, err := parseGrant(row.Value)
		if err == nil && !dying[g.KeyID] {
			err = g.indexed(r, of, row.Value)
		}
		if older && errors.Is(err, meta.ErrNotFound) {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	return each("gp", func(r meta.Reader, row meta.KV) error {
		keyID, id, err := of.cutGrantee(row.Key)
		if err == nil {
			_, err = r.Get(of.grant(keyID, id))
		}
		return err
	})
}

func (c *Custodian) records(ctx context.Context, of rows, fault func(string, error)) (records []record, err error) {
	prefix := of.of("k")
	err = c.DB.View(ctx, func(r meta.Reader) error {
		records = nil
		for row, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			var v record
			if err := json.Unmarshal(row.Value, &v); err != nil {
				fault("", fmt.Errorf("kms: row %q: %w", row.Key, err))
				continue
			}
			if _, ok := parseKeyName(v.ID); !ok || v.Version != recordVersion {
				fault(v.ID, fmt.Errorf("kms: row %q is of no key of this version", row.Key))
				continue
			}
			records = append(records, v)
		}
		return nil
	})
	return records, err
}
