// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/meta"
)

const defaultPage = 1000

// ListObjects lists the objects of a box whose keys begin with Prefix and come after StartAfter, in the order of their
// keys. A box that is not there holds none. With WaitSeconds an empty list waits for the first object that would be in it.
//
// Errors: InvalidNextTokenException.
func (s *Service) ListObjects(ctx context.Context, in *api.ListObjectsInput) (*api.ListObjectsOutput, error) {
	allow := func() error {
		return s.auth.Authorize(ctx, access.Request{
			Action: "mailbox:ListObjects", Resource: s.arn(*in.Box, ""),
			Context: map[string][]string{"mailbox:prefix": {value(in.Prefix)}},
		})
	}
	if err := allow(); err != nil {
		return nil, err
	}
	access.AddResource(ctx, s.arn(*in.Box, ""), "Obscura::Mailbox::Box")
	token, err := base64.RawURLEncoding.Strict().DecodeString(value(in.NextToken))
	if err != nil {
		return nil, &api.InvalidNextTokenException{Message: "NextToken is not one that ListObjects has given."}
	}
	p := page{box: *in.Box, prefix: value(in.Prefix), after: max(value(in.StartAfter), string(token)), most: defaultPage}
	if in.MaxResults != nil {
		p.most = int(*in.MaxResults)
	}
	var out *api.ListObjectsOutput
	look := func() (found bool, err error) {
		out, err = s.list(ctx, p)
		return err == nil && len(out.Objects) > 0, err
	}
	err = s.await(ctx, &waiter{box: p.box, prefix: p.prefix, after: p.after}, value(in.WaitSeconds), look, allow)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// page says which objects of a box are asked for.
type page struct {
	box, prefix, after string
	most               int
}

// bounds are the first key of the page's range and the one after its last.
func (p page) bounds() (from, to []byte) {
	all := meta.Key(space, rowObject, p.box)
	first := append(bytes.Clone(all), p.prefix...)
	from, to = first, meta.PrefixEnd(first)
	if p.after != "" {
		if next := append(meta.AppendString(bytes.Clone(all), p.after), 0); bytes.Compare(next, from) > 0 {
			from = next
		}
	}
	return from, to
}

func (s *Service) list(ctx context.Context, p page) (*api.ListObjectsOutput, error) {
	out := &api.ListObjectsOutput{Objects: []*api.ObjectSummary{}}
	from, to := p.bounds()
	if bytes.Compare(from, to) >= 0 {
		return out, nil
	}
	skip, now := len(meta.Key(space, rowObject, p.box)), s.now()
	err := s.db.View(ctx, func(r meta.Reader) error {
		for kv, err := range r.Scan(from, to) {
			if err != nil {
				return err
			}
			key, _, ok := meta.CutString(kv.Key[skip:])
			o, err := parse[object](kv.Value)
			switch {
			case !ok:
				return errors.New("mailbox: malformed key")
			case err != nil:
				return err
			case o.expired(now):
				continue
			case len(out.Objects) == p.most:
				last := *out.Objects[p.most-1].Key
				out.NextToken = new(base64.RawURLEncoding.EncodeToString([]byte(last)))
				return nil
			}
			out.Objects = append(out.Objects, o.summary(key))
		}
		return nil
	})
	return out, err
}

func (o *object) summary(key string) *api.ObjectSummary {
	return &api.ObjectSummary{Key: &key, Size: &o.Size, Created: &o.Created, Expires: optional(o.Expires), Writer: &o.Writer}
}
