// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
)

// Inspection judges all footage of a store by its bytes, without a Service: every row parses, every frame and every
// producer's header authenticates, numbers ascend, index rows and fragments agree, and no footage is of a stream
// that does not exist. It writes nothing. What one process writes meanwhile may be seen as damage.
type Inspection struct {
	DB    meta.DB
	Blobs blob.Store
	// Keys opens the data keys; its KeyService decides for the operator.
	Keys *envelope.Keyring
	// Account and Region are those of the streams' ARNs.
	Account, Region string
	// Gone says whether an error means that the KMS key was deleted, as somebody meant it to be.
	Gone func(error) bool
	// Fault is called for each thing that is damaged.
	Fault func(Fault)
	// Progress is called after each fragment, with the bytes it takes. It may be nil.
	Progress func(stream string, storedBytes int64)
}

// Fault is one damaged thing.
type Fault struct {
	Stream   string // name; the internal one where there is no other
	Fragment string // number; empty when it is not about one
	Err      error  // *journal.Damage where the place in a blob is known
}

// Inspected counts what Run has read.
type Inspected struct {
	Streams, Fragments, Frames int
	// Gone is how many fragments nobody can open, because their KMS key was deleted.
	Gone int
	// Sealed is how many of the fragments are end-to-end encrypted.
	Sealed int
	// Deleted is how many fragments of deleted streams are yet to be removed.
	Deleted int
	// Bytes is the media of the fragments that were opened, before sealing.
	Bytes int64
}

// Run inspects every stream. The error is of reading the store, not of what was read.
func (i *Inspection) Run(ctx context.Context) (n Inspected, err error) {
	streams, err := i.streams(ctx)
	if err != nil {
		return n, err
	}
	n.Streams = len(streams)
	for name, err := range journal.Streams(ctx, i.DB) {
		if err != nil {
			return n, err
		}
		in := inspector{Inspection: i, n: &n, stream: streams[name]}
		if in.stream == nil {
			err = i.strange(ctx, name, &n)
		} else {
			err = in.run(ctx)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// streams returns the streams that exist, by their names in the journal.
func (i *Inspection) streams(ctx context.Context) (map[string]*stream, error) {
	streams := map[string]*stream{}
	prefix := meta.Key(space, rowStream)
	err := i.DB.View(ctx, func(r meta.Reader) error {
		for kv, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			st, err := parseStream(kv.Value)
			if err != nil {
				i.Fault(Fault{Err: fmt.Errorf("%w (row %q)", err, kv.Key)})
				continue
			}
			streams[st.key()] = st
		}
		return nil
	})
	return streams, err
}

// strange counts the fragments of a deleted stream; those of one that never was are a fault.
func (i *Inspection) strange(ctx context.Context, name string, n *Inspected) error {
	err := i.DB.View(ctx, func(r meta.Reader) error {
		_, err := r.Get(meta.Key(space, rowDeleted, name[min(len(streamSpace), len(name)):]))
		return err
	})
	if errors.Is(err, meta.ErrNotFound) {
		i.Fault(Fault{Stream: name, Err: errors.New("kinesisvideo: footage of a stream that does not exist")})
		return nil
	}
	for _, entryErr := range journal.Entries(ctx, i.DB, name) {
		if entryErr != nil {
			return entryErr
		}
		n.Deleted++
	}
	return err
}

// inspector inspects one stream.
type inspector struct {
	*Inspection
	n      *Inspected
	stream *stream
	keys   *envelope.Reader
	last   number
	header uint64 // position of the header that was opened last, and its data key
	key    string
}

func (i *inspector) run(ctx context.Context) error {
	s := Service{Config: Config{Account: i.Account, Region: i.Region}}
	i.keys = i.Keys.Reader(s.scope(i.stream))
	for d, err := range journal.Entries(ctx, i.DB, i.stream.key()) {
		if errors.Is(err, journal.ErrCorrupt) {
			i.fault("", err)
			continue
		}
		if err != nil {
			return err
		}
		i.n.Fragments++
		if err := i.fragment(ctx, d); err != nil {
			return err
		}
		if i.Progress != nil {
			i.Progress(i.stream.Name, d.Stored)
		}
	}
	return nil
}

func (i *inspector) fault(fragment string, err error) {
	i.Fault(Fault{Stream: i.stream.Name, Fragment: fragment, Err: err})
}

// fragment inspects one fragment. Its error ends the inspection.
func (i *inspector) fragment(ctx context.Context, d *journal.Descriptor) error {
	m, rest, err := parseFragmentMeta(d.Meta)
	if m.sealed {
		i.n.Sealed++
	}
	if err != nil || len(rest) != 0 {
		i.fault("", fmt.Errorf("%w: entry %d", errRow, d.Seq))
		return nil
	}
	err = errors.Join(i.row(&m, d), i.index(ctx, &m, d))
	if err == nil {
		err = i.frames(ctx, &m, d)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && i.Gone(err):
		i.n.Gone++
	case err != nil:
		i.fault(m.number.String(), err)
	}
	return nil
}

// row compares the parts of a fragment's row with each other and with the fragment before.
func (i *inspector) row(m *fragmentMeta, d *journal.Descriptor) error {
	defer func() { i.last = m.number }()
	switch {
	case bytes.Compare(m.number[:], i.last[:]) <= 0:
		return fmt.Errorf("kinesisvideo: number does not follow that of the fragment before, %s", i.last)
	case uint32(m.number.position()) != d.Seq.Counter(), m.number.millis() != d.Time.UnixMilli():
		return errors.New("kinesisvideo: number and entry of the journal disagree")
	}
	return nil
}

// index checks that the fragment is found by its times, and under its number.
func (i *inspector) index(ctx context.Context, m *fragmentMeta, d *journal.Descriptor) error {
	for _, k := range m.index() {
		value, err := journal.IndexValue(ctx, i.DB, d, k)
		if err != nil {
			return fmt.Errorf("kinesisvideo: %s index: %w", k.Name, err)
		}
		if !bytes.Equal(value, k.Value) {
			return fmt.Errorf("kinesisvideo: %s index names another fragment", k.Name)
		}
	}
	return nil
}

// frames opens the header and every frame.
func (i *inspector) frames(ctx context.Context, m *fragmentMeta, d *journal.Descriptor) error {
	opener, err := i.keys.Open(ctx, d.KeyID)
	if err != nil {
		return err
	}
	if i.header != m.header || i.key != d.KeyID {
		if _, err := loadHeader(ctx, i.DB, opener, i.stream, m.header); err != nil {
			return err
		}
		i.header, i.key = m.header, d.KeyID
	}
	clusters := 0
	for f, err := range journal.OpenFrames(ctx, i.Blobs, d, i.keys) {
		if err != nil {
			return err
		}
		a, err := parseFrameAttrs(f.Attrs)
		if err != nil {
			return err
		}
		if a.kind == frameCluster {
			clusters++
		}
		i.n.Frames++
		i.n.Bytes += int64(len(f.Payload))
	}
	if clusters != 1 {
		return fmt.Errorf("kinesisvideo: fragment of %d clusters", clusters)
	}
	return nil
}
