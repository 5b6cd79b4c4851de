// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// fate is what becomes of a fragment that the service has read.
type fate int

const (
	keep          fate = iota // persist and acknowledge
	keepAndCut                // persist, and cut the connection before any acknowledgement
	keepAndSilent             // persist, and never say another word
	receiveAndCut             // acknowledge RECEIVED, persist, cut before PERSISTED
	cut                       // cut the connection, persist nothing
	cutInside                 // cut it in the middle of the fragment
	endInside                 // end the response in the middle of the fragment
	refuse                    // ERROR 5000
	refuseForGood             // ERROR 4001
	fates
)

// service is a Kinesis Video service of one stream, in memory. decide says what becomes of the next fragment.
type service struct {
	kvapi.Unimplemented
	url    string
	decide func(n int) fate
	// refusePut is called for each PutMedia.
	refusePut func(n int) error

	mu        sync.Mutex
	exists    bool
	retention int64
	created   *kvapi.CreateStreamInput
	noList    bool
	puts      int
	fragments []stored // persisted, or with retention 0 received
	seen      int
	end       func() // ends the connection that has the stream
	ended     chan struct{}
}

type stored struct {
	timecode uint64
	number   string
	tracks   []Track
	frames   []Frame
	tags     []mkv.Tag
	early    int // how many of them preceded the cluster
}

func (s *service) DescribeStream(context.Context, *kvapi.DescribeStreamInput) (*kvapi.DescribeStreamOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.exists {
		return nil, &kvapi.ResourceNotFoundException{Message: "no stream"}
	}
	return &kvapi.DescribeStreamOutput{StreamInfo: &kvapi.StreamInfo{
		Status: new(kvapi.StatusActive), DataRetentionInHours: &s.retention,
	}}, nil
}

func (s *service) CreateStream(_ context.Context, in *kvapi.CreateStreamInput) (*kvapi.CreateStreamOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exists, s.created, s.retention = true, in, *in.DataRetentionInHours
	return &kvapi.CreateStreamOutput{}, nil
}

func (s *service) GetDataEndpoint(context.Context, *kvapi.GetDataEndpointInput) (*kvapi.GetDataEndpointOutput, error) {
	return &kvapi.GetDataEndpointOutput{DataEndpoint: &s.url}, nil
}

// archive is the service's archived media API.
type archive struct {
	archiveapi.Unimplemented
	*service
}

func (a archive) ListFragments(_ context.Context, in *archiveapi.ListFragmentsInput) (*archiveapi.ListFragmentsOutput, error) {
	s := a.service
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noList {
		return nil, protocol.NewError("AccessDeniedException", 403, "not you")
	}
	out := &archiveapi.ListFragmentsOutput{}
	r := in.FragmentSelector.TimestampRange
	for _, f := range s.fragments {
		at := time.UnixMilli(int64(f.timecode))
		if !at.Before(*r.StartTimestamp) && !at.After(*r.EndTimestamp) {
			out.Fragments = append(out.Fragments, &archiveapi.Fragment{FragmentNumber: &f.number, ProducerTimestamp: &at})
		}
	}
	return out, nil
}

type mediaService struct {
	mediaapi.Unimplemented
	*service
}

var errCut = errors.New("cut")

func (m mediaService) PutMedia(ctx context.Context, in *mediaapi.PutMediaInput) error {
	s := m.service
	ctx, end := context.WithCancel(ctx)
	defer end()
	me := make(chan struct{})
	defer close(me)
	s.mu.Lock()
	n, refusePut, oldEnd, old := s.puts, s.refusePut, s.end, s.ended
	s.puts++
	s.end, s.ended = end, me
	s.mu.Unlock()
	if oldEnd != nil {
		oldEnd()
		<-old
	}
	if refusePut != nil {
		if err := refusePut(n); err != nil {
			return err
		}
	}
	if err := in.Acks.Start(); err != nil {
		return err
	}
	err := s.ingest(ctx, in)
	if err == errCut {
		return err // after the response has begun, so the connection is cut
	}
	return nil
}

// bodyUntil makes reads end with ctx.
type bodyUntil struct {
	ctx context.Context
	ch  chan []byte
	err error
	buf []byte
}

func newBodyUntil(ctx context.Context, r io.Reader) *bodyUntil {
	b := &bodyUntil{ctx: ctx, ch: make(chan []byte)}
	go func() {
		defer close(b.ch)
		for {
			p := make([]byte, 4096)
			n, err := r.Read(p)
			if n > 0 {
				select {
				case b.ch <- p[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				b.err = err
				return
			}
		}
	}()
	return b
}

func (b *bodyUntil) Read(p []byte) (int, error) {
	for len(b.buf) == 0 {
		select {
		case buf, ok := <-b.ch:
			if !ok {
				return 0, b.err
			}
			b.buf = buf
		case <-b.ctx.Done():
			return 0, errCut
		}
	}
	n := copy(p, b.buf)
	b.buf = b.buf[n:]
	return n, nil
}

func (s *service) ingest(ctx context.Context, in *mediaapi.PutMediaInput) error {
	r := mkv.NewReader(newBodyUntil(ctx, in.Body), mkv.Options{})
	var header *mkv.Header
	var f *stored
	var queue mkv.TagQueue[[]mkv.Tag]
	what := keep
	last := map[uint64]int64{}
	ack := func(kind string, id int, code string) {
		a := mediaapi.Ack{EventType: kind, FragmentTimecode: &f.timecode, FragmentNumber: f.number, ErrorId: id, ErrorCode: code}
		_ = in.Acks.WriteAck(a)
	}
	for {
		ev, err := r.Next()
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return errCut
		}
		switch ev := ev.(type) {
		case *mkv.Header:
			header = ev
		case *mkv.ClusterStart:
			s.mu.Lock()
			what = s.decide(s.seen)
			s.seen++
			f = &stored{timecode: ev.Timecode, number: fmt.Sprint(1000 + s.seen), tracks: header.Tracks}
			for _, tags := range queue.Take() {
				f.tags, f.early = append(f.tags, tags...), f.early+len(tags)
			}
			s.mu.Unlock()
			ack(mediaapi.AckBuffering, 0, "")
		case *mkv.Block:
			if last, ok := last[ev.Track]; ok && ev.Timecode <= last && !slices.ContainsFunc(f.frames, func(x Frame) bool { return x.Track == ev.Track }) {
				ack(mediaapi.AckError, 4004, "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS")
				return nil
			}
			f.frames = append(f.frames, Frame{
				Track: ev.Track, Time: time.UnixMilli(ev.Timecode), Key: ev.Keyframe, Data: slices.Clone(ev.Payload),
			})
			if what == cutInside && len(f.frames) == 2 {
				return errCut
			}
			if what == endInside && len(f.frames) == 2 {
				return nil
			}
		case *mkv.Tags:
			taken := queue.Add(ev.Tags, ev.EndOfFragment)
			if !ev.EndOfFragment {
				continue
			}
			for _, tags := range taken[:len(taken)-1] {
				f.tags = append(f.tags, tags...)
			}
			for _, t := range header.Tracks {
				if !slices.ContainsFunc(f.frames, func(x Frame) bool { return x.Track == t.Number }) {
					ack(mediaapi.AckError, 4011, "FRAMES_MISSING_FOR_TRACK")
					return nil
				}
			}
			for _, x := range f.frames {
				last[x.Track] = max(last[x.Track], x.Time.UnixMilli())
			}
			switch what {
			case cut:
				return errCut
			case refuse:
				ack(mediaapi.AckError, 5000, "INTERNAL_ERROR")
				return nil
			case refuseForGood:
				ack(mediaapi.AckError, 4001, "MAX_FRAGMENT_SIZE_REACHED")
				return nil
			case receiveAndCut:
				ack(mediaapi.AckReceived, 0, "")
			}
			s.mu.Lock()
			s.fragments = append(s.fragments, *f)
			retained := s.retention > 0
			s.mu.Unlock()
			switch what {
			case keepAndCut, receiveAndCut:
				return errCut
			case keepAndSilent:
				<-ctx.Done()
				return errCut
			}
			ack(mediaapi.AckReceived, 0, "")
			if retained {
				ack(mediaapi.AckPersisted, 0, "")
			}
		}
	}
}

// newService starts a service that has the stream and keeps everything.
func newService(t testing.TB) *service {
	s := &service{exists: true, retention: 24, decide: func(int) fate { return keep }}
	rt := protocol.NewRouter(kvapi.New(s), mediaapi.New(mediaService{service: s}), archiveapi.New(archive{service: s}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api, op, err := rt.Match(w, r, "")
		if err == nil {
			err = func() error {
				req, err := op.Read(w, r, "r-1")
				if err != nil {
					return err
				}
				in, err := op.Decode(req)
				if err != nil {
					return err
				}
				out, err := op.Call(r.Context(), in)
				if err != nil {
					return err
				}
				return op.Encode(w, "r-1", out)
			}()
		}
		var begun *protocol.BegunError
		if errors.As(err, &begun) {
			panic(http.ErrAbortHandler)
		}
		if err != nil {
			api.WriteError(w, "r-1", err)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *service) options() Options {
	return Options{
		StreamName: "cam", Endpoint: s.url,
		Credentials: func(context.Context) (Credentials, error) {
			return Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}, nil
		},
		Tracks: []Track{
			{Number: 1, Type: Video, CodecID: "V_MPEG4/ISO/AVC", Width: 64, Height: 36},
			{Number: 2, Type: Audio, CodecID: "A_AAC", SamplingFrequency: 48000, Channels: 2},
		},
		FragmentDuration: 40 * time.Millisecond,
	}
}

func fastTiming() timing {
	t := defaultTiming()
	t.minBackoff, t.maxBackoff = time.Millisecond, 4*time.Millisecond
	t.staleBuffering, t.stalePersisted = 120*time.Millisecond, 120*time.Millisecond
	t.accept, t.drain, t.call = time.Second, 300*time.Millisecond, 5*time.Second
	return t
}

// all returns the persisted frames.
func (s *service) all() (out []Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fragments {
		out = append(out, f.frames...)
	}
	return out
}
