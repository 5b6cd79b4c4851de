// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/server"
)

// A store with a million grants is not to be had through the API in reasonable time, since each call is durable. So
// the rows are written as the server writes them (package documentation of internal/service/kms), in large
// transactions. That they are right is for fsck to say, which runs at the end.

const (
	grantees = "arn:aws:iam::000000000000:user/"
	retiring = "arn:aws:iam::000000000000:role/retiring"
	// granteeName is the user who may use every key by a grant.
	granteeName = "grantee"
	// busiestShare is which part of all grants lies on one key.
	busiestShare = 50
	// fillBatch is how many rows a transaction writes.
	fillBatch = 4000
)

var grantedOperations = []string{"Decrypt", "GenerateDataKey"} // sorted, as the rows have them

// filler writes rows in large transactions.
type filler struct {
	db    meta.DB
	root  *rootkey.File
	batch []meta.KV
}

// fillStore adds keys like the template, and grants on them, to a stopped server's store, and returns the keys' ids.
func fillStore(data, template string, keys, grants int) (ids []string, err error) {
	ctx := context.Background()
	err = openMade(data, true, func(db meta.DB, root *rootkey.File) (err error) {
		f := &filler{db: db, root: root}
		ids, err = f.fill(ctx, template, keys, grants)
		return errors.Join(err, f.flush(ctx))
	})
	if err != nil {
		return nil, err
	}
	report, err := server.Fsck(ctx, server.FsckConfig{Data: data})
	if err == nil && (!report.Clean() || report.Keys < keys) {
		err = fmt.Errorf("the store that was filled is not right: %d keys, %+v", report.Keys, report.Damage)
	}
	return ids, err
}

func (f *filler) fill(ctx context.Context, template string, keys, grants int) (ids []string, err error) {
	var record map[string]any
	err = f.db.View(ctx, func(r meta.Reader) error {
		row, err := r.Get(meta.Key("kms", "k", template))
		if err == nil {
			err = json.Unmarshal(row, &record)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for range keys {
		id := newKeyID()
		if err := f.key(ctx, record, id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	for i := range grants {
		id := ids[i%len(ids)]
		if i >= len(ids) && i%busiestShare == 0 {
			id = ids[0]
		}
		if err := f.grant(ctx, record["created"], id, i, len(ids)); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// newKeyID is a UUID of version 4.
func newKeyID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (f *filler) key(ctx context.Context, record map[string]any, id string) error {
	var secret [32]byte
	rand.Read(secret[:])
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("obscura/kms/material-id/v1\x00" + id))
	material := hex.EncodeToString(mac.Sum(nil))
	wrapped, err := f.root.Wrap(ctx, secret[:], []byte("obscura/kms/material/v1\x00"+id+"\x00"+material))
	if err != nil {
		return err
	}
	record["id"], record["materials"] = id, []map[string]any{{"id": material, "created": record["created"]}}
	row, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return f.put(ctx, meta.KV{Key: meta.Key("kms", "k", id), Value: row}, meta.KV{Key: meta.Key("kms", "m", id, material), Value: wrapped})
}

// grant adds grant number i. The first ones, one for each of the keys, are the grantee's.
func (f *filler) grant(ctx context.Context, created any, keyID string, i, keys int) error {
	var raw [32]byte
	rand.Read(raw[:])
	id, grantee := hex.EncodeToString(raw[:]), grantees+granteeName
	if i >= keys {
		grantee = fmt.Sprint(grantees, "user-", i%5000)
	}
	row, err := json.Marshal(map[string]any{
		"v": 1, "id": id, "keyId": keyID, "grantee": grantee, "retiring": retiring, "operations": grantedOperations, "created": created,
	})
	if err != nil {
		return err
	}
	return f.put(ctx, meta.KV{Key: meta.Key("kms", "g", keyID, id), Value: row},
		meta.KV{Key: meta.Key("kms", "gp", keyID, grantee, id), Value: row},
		meta.KV{Key: meta.Key("kms", "gi", id), Value: []byte(keyID)},
		meta.KV{Key: meta.Key("kms", "gr", retiring, id), Value: row})
}

func (f *filler) put(ctx context.Context, rows ...meta.KV) error {
	f.batch = append(f.batch, rows...)
	if len(f.batch) < fillBatch {
		return nil
	}
	return f.flush(ctx)
}

func (f *filler) flush(ctx context.Context) error {
	err := f.db.Update(ctx, func(tx meta.Tx) error {
		for _, kv := range f.batch {
			tx.Put(kv.Key, kv.Value)
		}
		return nil
	})
	f.batch = f.batch[:0]
	return err
}
