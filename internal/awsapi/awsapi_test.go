// SPDX-License-Identifier: Apache-2.0

// Package awsapi_test holds the generated packages together against the promises
// that they share: what one side writes the other reads, the official SDK agrees,
// and every request finds its operation.
package awsapi_test

import (
	"reflect"
	"strconv"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	"github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/awsapi/sts"
)

// api is a service with the server that its table calls.
type api struct {
	service *protocol.Service
	server  any
}

func apis() []api {
	return []api{
		{kms.New(kms.Unimplemented{}), kms.Unimplemented{}},
		{iam.New(iam.Unimplemented{}), iam.Unimplemented{}},
		{sts.New(sts.Unimplemented{}), sts.Unimplemented{}},
		{cloudtrail.New(cloudtrail.Unimplemented{}), cloudtrail.Unimplemented{}},
		{iot.New(iot.Unimplemented{}), iot.Unimplemented{}},
		{mailbox.New(mailbox.Unimplemented{}), mailbox.Unimplemented{}},
		{kinesisvideo.New(kinesisvideo.Unimplemented{}), kinesisvideo.Unimplemented{}},
		{kinesisvideomedia.New(kinesisvideomedia.Unimplemented{}), kinesisvideomedia.Unimplemented{}},
		{kinesisvideoarchivedmedia.New(kinesisvideoarchivedmedia.Unimplemented{}), kinesisvideoarchivedmedia.Unimplemented{}},
	}
}

func router() *protocol.Router {
	var all []*protocol.Service
	for _, a := range apis() {
		all = append(all, a.service)
	}
	return protocol.NewRouter(all...)
}

// types are the types of an operation's input and output, without the pointer.
// PutMedia, which is not generated, has none.
func (a api) types(op string) (in, out reflect.Type, ok bool) {
	m := reflect.ValueOf(a.server).MethodByName(op).Type()
	if m.NumOut() != 2 {
		return nil, nil, false
	}
	return m.In(1).Elem(), m.Out(0).Elem(), true
}

// leaves makes the scalars that fill puts into a structure.
type leaves interface {
	text() string
	whole(bits int) int64
	real() float64
	flag() bool
	instant() time.Time
	bytes() []byte
	size() int
}

var timeType = reflect.TypeFor[time.Time]()

// fill sets every member of v, pointers and collections included.
func fill(v reflect.Value, l leaves) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), l)
	case reflect.Struct:
		if v.Type() == timeType {
			v.Set(reflect.ValueOf(l.instant()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), l)
			}
		}
	case reflect.String:
		v.SetString(l.text())
	case reflect.Int64:
		v.SetInt(l.whole(32))
	case reflect.Float64:
		v.SetFloat(l.real())
	case reflect.Bool:
		v.SetBool(l.flag())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(l.bytes())
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), l.size(), l.size()))
		for i := range v.Len() {
			fill(v.Index(i), l)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range l.size() {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, l)
			fill(value, l)
			v.SetMapIndex(key, value)
		}
	}
}

// counted are leaves that differ from each other and never change.
type counted struct{ n int64 }

func (c *counted) next() int64          { c.n++; return c.n }
func (c *counted) text() string         { return "é+<&>\" /\n%" + strconv.FormatInt(c.next(), 10) }
func (c *counted) whole(bits int) int64 { return c.next() }
func (c *counted) real() float64        { return float64(c.next()) + 0.25 }
func (c *counted) flag() bool           { return c.next()%2 == 0 }
func (c *counted) instant() time.Time   { return time.Unix(1.6e9+c.next(), 0).UTC() }
func (c *counted) bytes() []byte        { return []byte(c.text()) }
func (c *counted) size() int            { return 2 }
