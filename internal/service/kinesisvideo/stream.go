// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/arn"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/meta"
)

// streamType is what audit events call a stream.
const streamType = "AWS::KinesisVideo::Stream"

// The rows of this package: kv/<one of these>/…
const (
	space       = "kv"
	rowStream   = "stream"  // name → stream
	rowDeleted  = "deleted" // id → empty: data of a deleted stream that is still to be removed
	rowEpoch    = "epoch"   // id → the newest epoch of its fragment numbers
	rowHeader   = "header"  // id, epoch and counter, piece → sealed header of a producer
	streamSpace = "kv:"     // of the journal streams and of the data keys
)

const streamVersion = 1

// stream is a video stream as it is stored.
type stream struct {
	Format         int               `json:"v"`
	Name           string            `json:"name"`
	ID             string            `json:"id"`      // never used again
	Created        int64             `json:"created"` // Unix milliseconds
	Version        string            `json:"version"`
	Device         string            `json:"device,omitempty"`
	MediaType      string            `json:"mediaType,omitempty"`
	KMSKey         string            `json:"kmsKey"`
	RetentionHours int64             `json:"retentionHours"`
	Tags           map[string]string `json:"tags,omitempty"`
	StorageTier    string            `json:"storageTier,omitempty"`

	Images       *kvapi.ImageGenerationConfiguration `json:"images,omitempty"`
	Notification *kvapi.NotificationConfiguration    `json:"notification,omitempty"`
}

// key is the name of the stream in the journal and of its data keys.
func (st *stream) key() string { return streamSpace + st.ID }

func (st *stream) retention() time.Duration { return time.Duration(st.RetentionHours) * time.Hour }

func (st *stream) createdAt() time.Time { return time.UnixMilli(st.Created).UTC() }

// touch gives the stream a new version.
func (st *stream) touch() { st.Version = rand.Text()[:20] }

func (s *Service) arn(name string, created int64) string {
	return arn.ARN{
		Partition: "aws", Service: "kinesisvideo", Region: s.Region, Account: s.Account,
		Resource: "stream/" + name + "/" + strconv.FormatInt(created, 10),
	}.String()
}

func (s *Service) arnOf(st *stream) string { return s.arn(st.Name, st.Created) }

// StreamContextKey is the key of the stream's ARN in the encryption context of its data keys.
const StreamContextKey = "aws:kinesisvideo:stream-arn"

// scope says under which KMS key and encryption context the stream's data keys are made.
func (s *Service) scope(st *stream) envelope.Scope {
	return envelope.Scope{
		Name:    st.key(),
		KMSKey:  st.KMSKey,
		Context: map[string]string{StreamContextKey: s.arnOf(st)},
	}
}

// defaultKMSKey is the alias of the key that a stream has without another.
func (s *Service) defaultKMSKey() string {
	return "arn:aws:kms:" + s.Region + ":" + s.Account + ":alias/aws/kinesisvideo"
}

func parseStream(value []byte) (*stream, error) {
	st := new(stream)
	if err := json.Unmarshal(value, st); err != nil {
		return nil, fmt.Errorf("kinesisvideo: malformed stream: %w", err)
	}
	if st.Format != streamVersion {
		return nil, fmt.Errorf("kinesisvideo: stream of unknown format %d", st.Format)
	}
	return st, nil
}

func putStream(tx meta.Tx, st *stream) error {
	st.Format = streamVersion
	value, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("kinesisvideo: store stream: %w", err)
	}
	tx.Put(meta.Key(space, rowStream, st.Name), value)
	return nil
}

// getStream returns nil when there is no stream of that name.
func getStream(r meta.Reader, name string) (*stream, error) {
	value, err := r.Get(meta.Key(space, rowStream, name))
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseStream(value)
}

func (s *Service) loadStream(ctx context.Context, name string) (st *stream, err error) {
	err = s.DB.View(ctx, func(r meta.Reader) error {
		st, err = getStream(r, name)
		return err
	})
	return st, err
}

// request is an operation on one stream that is to be authorised.
type request struct {
	action    string // without "kinesisvideo:"
	name, arn *string
	tags      map[string]string // that the request sets
	tagKeys   []string          // that it names otherwise
	misformed error             // what an ARN that is no stream's ends in, if not in InvalidArgumentException
}

// find authorises the caller for the action on the stream that the request names, and only
// then tells whether it exists.
func (s *Service) find(ctx context.Context, q request) (*stream, error) {
	name, created, err := s.parseRef(q.name, q.arn)
	if err != nil {
		// Nothing is revealed, but the operation must not go undecided.
		if denied := s.authorize(ctx, q, "*", nil); denied != nil {
			return nil, denied
		}
		if q.misformed != nil && q.arn != nil {
			return nil, q.misformed
		}
		return nil, err
	}
	st, err := s.loadStream(ctx, name)
	if err != nil {
		return nil, err
	}
	if st != nil && created >= 0 && created != st.Created {
		st = nil
	}
	if st == nil {
		if err := s.authorize(ctx, q, s.arn(name, max(created, 0)), nil); err != nil {
			return nil, err
		}
		return nil, notFound()
	}
	if err := s.authorize(ctx, q, s.arnOf(st), st.Tags); err != nil {
		return nil, err
	}
	access.AddResource(ctx, s.arnOf(st), streamType)
	return st, nil
}

// parseRef returns the name of a stream, and its creation time if an ARN gives it, else -1.
func (s *Service) parseRef(name, streamARN *string) (string, int64, error) {
	if streamARN == nil {
		if name == nil {
			return "", 0, invalid("Either StreamName or StreamARN must be specified.")
		}
		return *name, -1, nil
	}
	a, err := arn.Parse(*streamARN)
	if err != nil || a.Service != "kinesisvideo" || a.Region != s.Region || a.Account != s.Account {
		return "", 0, invalid("The specified StreamARN is not valid in this account and region.")
	}
	part := strings.Split(a.Resource, "/")
	if len(part) != 3 || part[0] != "stream" {
		return "", 0, invalid("The specified StreamARN is not the ARN of a stream.")
	}
	created, err := strconv.ParseInt(part[2], 10, 64)
	if err != nil || created < 0 {
		return "", 0, invalid("The specified StreamARN is not the ARN of a stream.")
	}
	if name != nil && *name != part[1] {
		return "", 0, invalid("StreamName and StreamARN name different streams.")
	}
	return part[1], created, nil
}

// authorize asks for a decision with the stream's and the request's tags.
func (s *Service) authorize(ctx context.Context, q request, resource string, tags map[string]string) error {
	c := map[string][]string{}
	for k, v := range tags {
		c["aws:resourcetag/"+strings.ToLower(k)] = []string{v}
	}
	keys := slices.Clone(q.tagKeys)
	for k, v := range q.tags {
		c["aws:requesttag/"+strings.ToLower(k)] = []string{v}
		keys = append(keys, k)
	}
	if len(keys) > 0 {
		c["aws:tagkeys"] = keys
	}
	return s.Authorizer.Authorize(ctx, access.Request{Action: "kinesisvideo:" + q.action, Resource: resource, Context: c})
}

// update finds a stream, lets change work on it in a transaction and gives it a new version.
// current is the version that the caller believes it to have, nil for any.
func (s *Service) update(ctx context.Context, q request, current *string, change func(*stream) error) (before, after *stream, err error) {
	found, err := s.find(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	err = s.DB.Update(ctx, func(tx meta.Tx) error {
		st, err := getStream(tx, found.Name)
		if err != nil {
			return err
		}
		if st == nil || st.ID != found.ID {
			return notFound()
		}
		if current != nil && *current != st.Version {
			return versionMismatch()
		}
		b := *st
		b.Tags = maps.Clone(st.Tags)
		if err := change(st); err != nil {
			return err
		}
		st.touch()
		before, after = &b, st
		return putStream(tx, st)
	})
	return before, after, err
}
