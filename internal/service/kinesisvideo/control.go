// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/obscura-video/obscura/internal/access"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/meta"
)

// CreateStream makes a stream, which is active at once. The KMS key is not looked at.
//
// Errors: ResourceInUseException when the name is taken; InvalidArgumentException for a
// retention of more than ten years; TagsPerResourceExceededLimitException. nil means durable.
//
// Source: Kinesis Video Streams API Reference, CreateStream.
func (s *Service) CreateStream(ctx context.Context, in *kvapi.CreateStreamInput) (*kvapi.CreateStreamOutput, error) {
	st := s.newStream(in)
	q := request{action: "CreateStream", tags: in.Tags}
	if err := s.authorize(ctx, q, s.arnOf(st), nil); err != nil {
		return nil, err
	}
	if st.RetentionHours > maxRetentionHours {
		return nil, invalid("DataRetentionInHours must be at most 87600.")
	}
	if err := addTags(st, in.Tags); err != nil {
		return nil, err
	}
	err := s.DB.Update(ctx, func(tx meta.Tx) error {
		old, err := getStream(tx, st.Name)
		if err != nil {
			return err
		}
		if old != nil {
			return &kvapi.ResourceInUseException{Message: "The stream " + st.Name + " already exists."}
		}
		return putStream(tx, st)
	})
	if err != nil {
		return nil, err
	}
	access.AddResource(ctx, s.arnOf(st), streamType)
	return &kvapi.CreateStreamOutput{StreamARN: ptr(s.arnOf(st))}, nil
}

func (s *Service) newStream(in *kvapi.CreateStreamInput) *stream {
	st := &stream{
		Name:           *in.StreamName,
		ID:             newID(),
		Created:        s.creationTime(),
		Device:         value(in.DeviceName),
		MediaType:      value(in.MediaType),
		KMSKey:         value(in.KmsKeyId),
		RetentionHours: value(in.DataRetentionInHours),
	}
	if st.KMSKey == "" {
		st.KMSKey = s.defaultKMSKey()
	}
	if c := in.StreamStorageConfiguration; c != nil {
		st.StorageTier = *c.DefaultStorageTier
	}
	st.touch()
	return st
}

func newID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// creationTime is the time in milliseconds, but never twice the same: it is part of the ARN.
func (s *Service) creationTime() int64 {
	for {
		last := s.created.Load()
		next := max(s.Now().UnixMilli(), last+1)
		if s.created.CompareAndSwap(last, next) {
			return next
		}
	}
}

// DescribeStream returns what is known of a stream.
//
// Errors: ResourceNotFoundException, InvalidArgumentException.
func (s *Service) DescribeStream(ctx context.Context, in *kvapi.DescribeStreamInput) (*kvapi.DescribeStreamOutput, error) {
	st, err := s.find(ctx, request{action: "DescribeStream", name: in.StreamName, arn: in.StreamARN})
	if err != nil {
		return nil, err
	}
	return &kvapi.DescribeStreamOutput{StreamInfo: s.info(st)}, nil
}

func (s *Service) info(st *stream) *kvapi.StreamInfo {
	i := &kvapi.StreamInfo{
		CreationTime:         ptr(st.createdAt()),
		DataRetentionInHours: ptr(st.RetentionHours),
		KmsKeyId:             ptr(st.KMSKey),
		Status:               ptr(kvapi.StatusActive),
		StreamARN:            ptr(s.arnOf(st)),
		StreamName:           ptr(st.Name),
		Version:              ptr(st.Version),
	}
	if st.Device != "" {
		i.DeviceName = ptr(st.Device)
	}
	if st.MediaType != "" {
		i.MediaType = ptr(st.MediaType)
	}
	return i
}

// ListStreams returns the streams in the order of their names, those only that begin with the
// condition's value if there is one.
//
// Errors: InvalidArgumentException for a token that this operation has not given.
func (s *Service) ListStreams(ctx context.Context, in *kvapi.ListStreamsInput) (*kvapi.ListStreamsOutput, error) {
	if err := s.authorize(ctx, request{action: "ListStreams"}, "*", nil); err != nil {
		return nil, err
	}
	prefix := ""
	if c := in.StreamNameCondition; c != nil {
		prefix = value(c.ComparisonValue)
	}
	after, err := parseNameToken(value(in.NextToken))
	if err != nil {
		return nil, err
	}
	limit := 10000
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	out := &kvapi.ListStreamsOutput{StreamInfoList: []*kvapi.StreamInfo{}}
	all := meta.Key(space, rowStream)
	from := meta.Key(space, rowStream, max(prefix, after))
	err = s.DB.View(ctx, func(r meta.Reader) error {
		for kv, err := range r.Scan(from, meta.PrefixEnd(all)) {
			if err != nil {
				return err
			}
			st, err := parseStream(kv.Value)
			if err != nil {
				return err
			}
			if after != "" && st.Name <= after {
				continue
			}
			if !strings.HasPrefix(st.Name, prefix) {
				return nil
			}
			if len(out.StreamInfoList) == limit {
				out.NextToken = ptr(nameToken(*out.StreamInfoList[limit-1].StreamName))
				return nil
			}
			out.StreamInfoList = append(out.StreamInfoList, s.info(st))
		}
		return nil
	})
	return out, err
}

// nameToken continues a listing after a name.
func nameToken(name string) string { return base64.RawURLEncoding.EncodeToString([]byte("1" + name)) }

func parseNameToken(token string) (name string, err error) {
	if token == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 2 || b[0] != '1' {
		return "", invalid("The specified NextToken is not valid.")
	}
	return string(b[1:]), nil
}

// UpdateStream changes the device name and the media type of a stream.
//
// Errors: ResourceNotFoundException, VersionMismatchException, InvalidArgumentException.
func (s *Service) UpdateStream(ctx context.Context, in *kvapi.UpdateStreamInput) (*kvapi.UpdateStreamOutput, error) {
	q := request{action: "UpdateStream", name: in.StreamName, arn: in.StreamARN}
	_, _, err := s.update(ctx, q, in.CurrentVersion, func(st *stream) error {
		if in.DeviceName != nil {
			st.Device = *in.DeviceName
		}
		if in.MediaType != nil {
			st.MediaType = *in.MediaType
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kvapi.UpdateStreamOutput{}, nil
}

// GetDataEndpoint returns the base URL to which the client adds the path of the operation.
//
// Errors: ResourceNotFoundException, InvalidArgumentException.
func (s *Service) GetDataEndpoint(ctx context.Context, in *kvapi.GetDataEndpointInput) (*kvapi.GetDataEndpointOutput, error) {
	q := request{action: "GetDataEndpoint", name: in.StreamName, arn: in.StreamARN}
	if _, err := s.find(ctx, q); err != nil {
		return nil, err
	}
	endpoint := s.APIEndpoint
	switch *in.APIName {
	case kvapi.APINamePutMedia, kvapi.APINameGetMedia:
		endpoint = s.MediaEndpoint
	}
	return &kvapi.GetDataEndpointOutput{DataEndpoint: ptr(endpoint)}, nil
}

func ptr[T any](v T) *T { return &v }

// value is what p points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
