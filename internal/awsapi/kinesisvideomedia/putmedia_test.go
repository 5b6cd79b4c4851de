// SPDX-License-Identifier: Apache-2.0

package kinesisvideomedia

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// ingest is a server whose PutMedia is put.
type ingest struct {
	Unimplemented
	put func(context.Context, *PutMediaInput) error
}

func (i ingest) PutMedia(ctx context.Context, in *PutMediaInput) error { return i.put(ctx, in) }

// listen serves PutMedia as a gateway does, without any of its checks.
func listen(t *testing.T, put func(context.Context, *PutMediaInput) error) *httptest.Server {
	t.Helper()
	server := unstarted(put)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func unstarted(put func(context.Context, *PutMediaInput) error) *httptest.Server {
	s := New(ingest{put: put})
	return httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op, _ := s.Operation("PutMedia")
		req, err := op.Read(w, r, "r-1")
		if err != nil {
			s.WriteError(w, "r-1", err)
			return
		}
		in, err := op.Decode(req)
		if err == nil {
			var out any
			if out, err = op.Call(r.Context(), in); err == nil {
				err = op.Encode(w, "r-1", out)
			}
		}
		if err != nil {
			s.WriteError(w, "r-1", err)
		}
	}))
}

const goodHeaders = "x-amzn-stream-name: cam\r\nx-amzn-fragment-timecode-type: RELATIVE\r\nx-amzn-producer-start-timestamp: 1700000000.5\r\n"

// producer speaks HTTP/1.1 by hand, as curl does, so that the order of what comes
// back can be seen.
type producer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, server *httptest.Server, headers string) *producer {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	p := &producer{t, conn, bufio.NewReader(conn)}
	p.send("POST /putMedia HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n" + headers + "\r\n")
	return p
}

func (p *producer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *producer) chunk(data string) { p.send(fmt.Sprintf("%x\r\n%s\r\n", len(data), data)) }

func (p *producer) line() string {
	p.t.Helper()
	text, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimRight(text, "\r\n")
}

// head takes a status line and the headers after it.
func (p *producer) head() (status string, headers []string) {
	status = p.line()
	for text := p.line(); text != ""; text = p.line() {
		headers = append(headers, text)
	}
	return status, headers
}

// piece takes one chunk of the response.
func (p *producer) piece() string {
	p.t.Helper()
	var n int
	if _, err := fmt.Sscanf(p.line(), "%x", &n); err != nil {
		p.t.Fatal(err)
	}
	data := make([]byte, n+2)
	if _, err := io.ReadFull(p.r, data); err != nil {
		p.t.Fatal(err)
	}
	return string(data[:n])
}

// echo acks each piece of the body with its length as the timecode.
func echo(_ context.Context, in *PutMediaInput) error {
	if err := in.Acks.Start(); err != nil {
		return err
	}
	buf := make([]byte, 100)
	for {
		n, err := in.Body.Read(buf)
		if n > 0 {
			if err := in.Acks.WriteAck(Ack{EventType: AckPersisted, FragmentTimecode: new(uint64(n)), FragmentNumber: "913"}); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func TestPutMediaContinuesThenAcksWhileTheBodyComes(t *testing.T) {
	p := dial(t, listen(t, echo), goodHeaders+"Expect: 100-continue\r\n")
	if status, _ := p.head(); status != "HTTP/1.1 100 Continue" {
		t.Fatalf("first %s", status)
	}
	status, headers := p.head()
	if status != "HTTP/1.1 200 OK" || !strings.Contains(strings.Join(headers, "\n"), "x-amzn-RequestId: r-1") {
		t.Fatalf("then %s %q", status, headers)
	}
	for n := 1; n < 4; n++ {
		p.chunk(strings.Repeat("x", n))
		if got, want := p.piece(), fmt.Sprintf(`{"EventType":"PERSISTED","FragmentTimecode":%d,"FragmentNumber":"913"}`+"\n", n); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	p.send("0\r\n\r\n")
	if got := p.piece(); got != "" {
		t.Errorf("the response goes on with %q", got)
	}
}

func TestPutMediaWithoutExpectNeedsNoContinue(t *testing.T) {
	p := dial(t, listen(t, echo), goodHeaders)
	if status, _ := p.head(); status != "HTTP/1.1 200 OK" {
		t.Fatalf("first %s", status)
	}
}

func TestPutMediaRefusalDoesNotWaitForTheBody(t *testing.T) {
	t.Parallel() // the server lingers for a second
	p := dial(t, listen(t, func(context.Context, *PutMediaInput) error {
		return &ResourceNotFoundException{Message: "no stream"}
	}), goodHeaders)
	status, headers := p.head()
	if status != "HTTP/1.1 404 Not Found" || !strings.Contains(strings.Join(headers, "\n"), "X-Amzn-Errortype: ResourceNotFoundException") {
		t.Errorf("got %s %q", status, headers)
	}
	if _, err := io.ReadAll(p.r); err != nil {
		t.Errorf("not closed: %v", err)
	}
}

func TestPutMediaThatEndsEarlyClosesTheConnection(t *testing.T) {
	t.Parallel() // the server lingers for a second
	p := dial(t, listen(t, func(_ context.Context, in *PutMediaInput) error {
		return in.Acks.WriteAck(Ack{EventType: AckError, ErrorCode: "INVALID_MKV_DATA", ErrorId: 4006})
	}), goodHeaders)
	p.chunk("garbage")
	p.head()
	p.piece()
	if last := p.piece(); last != "" {
		t.Errorf("the response goes on with %q", last)
	}
	if rest, err := io.ReadAll(p.r); err != nil || len(rest) != 0 {
		t.Errorf("not closed: %q, %v", rest, err)
	}
}

// TestPutMediaRefusalReachesWhoIsStillSending: a producer that sends its fragment to the end before it looks for acks finds
// the one that says why it was refused.
func TestPutMediaRefusalReachesWhoIsStillSending(t *testing.T) {
	t.Parallel() // the server lingers for a second
	p := dial(t, listen(t, func(_ context.Context, in *PutMediaInput) error {
		return in.Acks.WriteAck(Ack{EventType: AckError, ErrorCode: "KMS_KEY_DISABLED", ErrorId: 4501})
	}), goodHeaders)
	p.chunk(strings.Repeat("x", 16<<20)) // more than lies between the two
	time.Sleep(600 * time.Millisecond)   // net/http resets after half a second
	p.head()
	if got := p.piece(); !strings.Contains(got, "KMS_KEY_DISABLED") {
		t.Errorf("got %q", got)
	}
}

func TestPutMediaErrorAfterAnAckCutsTheConnection(t *testing.T) {
	t.Parallel() // the server lingers for a second
	p := dial(t, listen(t, func(_ context.Context, in *PutMediaInput) error {
		if err := in.Acks.WriteAck(Ack{EventType: AckIdle}); err != nil {
			return err
		}
		return errors.New("disk gone")
	}), goodHeaders)
	p.head()
	if got := p.piece(); got != `{"EventType":"IDLE"}`+"\n" {
		t.Errorf("got %q", got)
	}
	if rest, err := io.ReadAll(p.r); errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(string(rest), "0\r\n\r\n") {
		t.Errorf("not cut, or ended as if it were whole: %q, %v", rest, err)
	}
}

// TestPutMediaOutlivesTheServersTimeouts, which are for those who ask and are answered.
func TestPutMediaOutlivesTheServersTimeouts(t *testing.T) {
	server := unstarted(echo)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 150*time.Millisecond, 150*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	p := dial(t, server, goodHeaders)
	p.head()
	for range 3 {
		time.Sleep(60 * time.Millisecond)
		p.chunk("x")
		p.piece()
	}
	p.send("0\r\n\r\n")
	if got := p.piece(); got != "" {
		t.Errorf("the response goes on with %q", got)
	}
}

// TestDeadlineEndsAnAckThatWaitsForItsProducer, who takes nothing any more.
func TestDeadlineEndsAnAckThatWaitsForItsProducer(t *testing.T) {
	ended := make(chan error, 1)
	p := dial(t, listen(t, func(_ context.Context, in *PutMediaInput) error {
		time.AfterFunc(50*time.Millisecond, func() { _ = in.Acks.SetWriteDeadline(time.Now()) })
		for {
			if err := in.Acks.WriteAck(Ack{EventType: AckIdle, FragmentNumber: strings.Repeat("1", 900)}); err != nil {
				ended <- err
				return err
			}
		}
	}), goodHeaders)
	p.head()
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits still")
	}
}

func TestPutMediaAcksOnlyIfAsked(t *testing.T) {
	p := dial(t, listen(t, echo), goodHeaders+"x-amzn-fragment-acknowledgment-required: 0\r\n")
	p.head()
	p.chunk("xx")
	p.send("0\r\n\r\n")
	if got := p.piece(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestPutMediaAcksEndWithIt(t *testing.T) {
	late := make(chan AckWriter, 1)
	p := dial(t, listen(t, func(_ context.Context, in *PutMediaInput) error {
		late <- in.Acks
		return nil
	}), goodHeaders)
	p.send("0\r\n\r\n")
	p.head()
	if err := (<-late).WriteAck(Ack{EventType: AckIdle}); !errors.Is(err, errReturned) {
		t.Errorf("got %v", err)
	}
}

func TestPutMediaReadsItsHeaders(t *testing.T) {
	const arn = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/cam/1"
	s := New(Unimplemented{})
	decode := func(header map[string]string) (*PutMediaInput, error) {
		r := httptest.NewRequest(http.MethodPost, PutMediaPath, nil)
		for k, v := range header {
			r.Header.Set(k, v)
		}
		return decodePutMedia(s, &protocol.Request{HTTP: r, Writer: httptest.NewRecorder()})
	}
	at := time.Unix(1700000000, 5e8).UTC()
	for _, c := range []struct {
		header map[string]string
		want   *PutMediaInput // nil when it must be refused
	}{
		{map[string]string{headerStreamName: "cam", headerTimecodeType: "ABSOLUTE"}, &PutMediaInput{StreamName: new("cam"), TimecodeType: "ABSOLUTE", AckRequired: true}},
		{map[string]string{headerStreamARN: arn, headerTimecodeType: "RELATIVE", headerStart: "1700000000.5", headerAckRequired: "1"}, &PutMediaInput{StreamARN: new(arn), TimecodeType: "RELATIVE", AckRequired: true, ProducerStartTimestamp: &at}},
		{map[string]string{headerStreamName: "cam", headerTimecodeType: "RELATIVE", headerStart: "0", headerAckRequired: "0"}, &PutMediaInput{StreamName: new("cam"), TimecodeType: "RELATIVE", ProducerStartTimestamp: new(time.Unix(0, 0).UTC())}},
		{map[string]string{headerTimecodeType: "ABSOLUTE"}, nil},
		{map[string]string{headerStreamName: "cam", headerStreamARN: arn, headerTimecodeType: "ABSOLUTE"}, nil},
		{map[string]string{headerStreamName: "cam/1", headerTimecodeType: "ABSOLUTE"}, nil},
		{map[string]string{headerStreamARN: "cam", headerTimecodeType: "ABSOLUTE"}, nil},
		{map[string]string{headerStreamName: "cam"}, nil},
		{map[string]string{headerStreamName: "cam", headerTimecodeType: "absolute"}, nil},
		{map[string]string{headerStreamName: "cam", headerTimecodeType: "RELATIVE", headerStart: "now"}, nil},
		{map[string]string{headerStreamName: "cam", headerTimecodeType: "RELATIVE", headerStart: "1e400"}, nil},
	} {
		got, err := decode(c.header)
		if c.want == nil {
			if e := new(InvalidArgumentException); !errors.As(err, &e) || e.Message == "" {
				t.Errorf("%v: got %v", c.header, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.header, err)
			continue
		}
		got.Body, got.Acks = nil, nil
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%v: %s", c.header, d)
		}
		h := http.Header{}
		got.SetHeader(h)
		header := map[string]string{}
		for k := range h {
			header[k] = h.Get(k)
		}
		again, err := decode(header)
		if err != nil || again.AckRequired != got.AckRequired || again.TimecodeType != got.TimecodeType {
			t.Errorf("%v: written and read again: %+v, %v", c.header, again, err)
		}
	}
}

func TestAcksAreFlatAndRoundTrip(t *testing.T) {
	acks := []Ack{
		{EventType: AckBuffering, FragmentTimecode: new(uint64(0)), FragmentNumber: "91343852333181"},
		{EventType: AckError, FragmentTimecode: new(uint64(5)), FragmentNumber: "1", ErrorCode: "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS", ErrorId: 4004},
		{EventType: AckIdle},
	}
	want := []string{
		`{"EventType":"BUFFERING","FragmentTimecode":0,"FragmentNumber":"91343852333181"}`,
		`{"EventType":"ERROR","FragmentTimecode":5,"FragmentNumber":"1","ErrorCode":"FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS","ErrorId":4004}`,
		`{"EventType":"IDLE"}`,
	}
	var all string
	for i, a := range acks {
		got := string(a.AppendJSON(nil))
		if got != want[i] {
			t.Errorf("got %s, want %s", got, want[i])
		}
		all += got + []string{"\r\n", "", "\n"}[i]
	}
	r := NewAckReader(strings.NewReader(all))
	for _, a := range acks {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(a, got); d != "" {
			t.Error(d)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last: %v", err)
	}
}

func TestAckReaderRefusesMalformed(t *testing.T) {
	for text, want := range map[string]string{
		`{"EventType":"IDLE"`: "unexpected EOF",
		`{"EventType":1}`:     "String",
		`nonsense}`:           "object",
		`{"EventType":"` + strings.Repeat("x", 1<<20): "too long",
		`{"FragmentTimecode":-1}`:                     "",
	} {
		a, err := NewAckReader(strings.NewReader(text)).Next()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %+v, %v", text, a, err)
		}
	}
}

func FuzzAckReader(f *testing.F) {
	f.Add(`{"EventType":"ERROR","FragmentTimecode":5,"FragmentNumber":"1","ErrorCode":"X","ErrorId":4004}` + "\r\n" + `{"EventType":"IDLE"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r := NewAckReader(strings.NewReader(text))
		for range len(text) + 1 {
			if _, err := r.Next(); err != nil {
				return
			}
		}
		t.Error("the reader does not end")
	})
}
