// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// hostileMedia is what a broken or a malicious producer may send, and the acknowledgement that AWS gives for it.
func hostileMedia() []struct {
	name string
	id   int // 0: the connection ends without an error, and nothing is stored
	body []byte
} {
	cluster := func(timecode uint64, track uint64, at ...int16) []byte {
		b := mkv.AppendClusterStart(nil, timecode)
		for i, rel := range at {
			b = mkv.AppendSimpleBlock(b, track, rel, i == 0, []byte("frame"))
		}
		return b
	}
	tracks := make([]mkv.Track, 4)
	for i := range tracks {
		tracks[i] = mkv.Track{Number: uint64(i + 1), UID: uint64(i + 1), Type: mkv.TrackVideo, CodecID: "V_MPEG4/ISO/AVC"}
	}
	var tags []mkv.Tag
	for i := range 11 {
		tags = append(tags, mkv.Tag{Name: fmt.Sprint("tag", i), Value: "v"})
	}
	nested := []byte{}
	for range 40 { // SimpleTags in SimpleTags
		nested = join([]byte{0x67, 0xC8, 0x40 | byte(len(nested)>>8), byte(len(nested))}, nested)
	}
	deep := join([]byte{0x12, 0x54, 0xC3, 0x67, 0x40 | byte((len(nested)+4)>>8), byte(len(nested) + 4)},
		[]byte{0x73, 0x73, 0x40 | byte(len(nested)>>8), byte(len(nested))}, nested)
	h := rig.Header()
	return []struct {
		name string
		id   int
		body []byte
	}{
		{"nothing at all", 0, nil},
		{"a header and no media", 0, h},
		{"no matroska", 4006, []byte(strings.Repeat("GET / HTTP/1.1\r\n", 10))},
		{"the tail of a frame", 4006, rig.Frames("tail", 1, 1, 500)[0]},
		{"a size of 2^56", 4006, join([]byte{0x1A, 0x45, 0xDF, 0xA3, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE}, make([]byte, 100))},
		{"a frame of 2 GiB", 4001, join(h, mkv.AppendClusterStart(nil, 1000), mkv.AppendSimpleBlockHeader(nil, 1, 0, true, 2<<30), make([]byte, 5000))},
		{"cut off in a frame", 4000, join(h, mkv.AppendClusterStart(nil, 1000), mkv.AppendSimpleBlockHeader(nil, 1, 0, true, 5000), make([]byte, 100))},
		{"a second segment", 4006, join(h, h)},
		{"tags in tags without end", 4006, join(h, deep, cluster(1000, 1, 0))},
		{"an undeclared track", 4010, join(h, cluster(1000, 7, 0))},
		{"four tracks", 4012, mkv.AppendHeader(nil, mkv.Info{}, tracks)},
		{"eleven tags", 4009, join(h, cluster(1000, 1, 0), mkv.AppendTags(nil, tags...), mkv.AppendEndOfFragment(nil))},
		{"a tag of AWS's", 4009, join(h, cluster(1000, 1, 0), mkv.AppendTags(nil, mkv.Tag{Name: "AWS_MINE", Value: "v"}), mkv.AppendEndOfFragment(nil))},
		{"a fragment number in the header", 4009, join(h, mkv.AppendTags(nil, mkv.Tag{Name: mkv.FragmentNumber, Value: "1"}), cluster(1000, 1, 0))},
		{"31 seconds", 4002, join(h, cluster(1000, 1, 0, 10_000, 20_001, 31_000))},
		{"a time after the year 9999", 4007, join(h, cluster(1<<60, 1, 0))},
	}
}

// TestHostileMediaIsRefused: each gets the acknowledgement that AWS's list of errors has for it, the connection
// ends, nothing of it is stored, and what was stored before reads back unchanged.
func TestHostileMediaIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.createStream("door", kinesisvideo.CreateStreamInput{})
	if err := w.putOne(w.root, "door", 500); err != nil {
		t.Fatal(err)
	}
	stored := 1
	for _, tc := range hostileMedia() {
		if tc.name == "a tag of AWS's" {
			stored++ // the cluster before it is whole, and acknowledged; the tag is not kept
		}
		t.Run(tc.name, func(t *testing.T) {
			checkRefused(t, w, tc.id, tc.body)
			numbers, err := w.root.listFragments("door")
			if err != nil || len(numbers) != stored {
				t.Errorf("stored: %v, %v", numbers, err)
			}
			if err := w.getOne(w.root, "door", "EARLIEST"); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("50 MB in a fragment", func(t *testing.T) {
		block := mkv.AppendSimpleBlock(nil, 1, 0, true, make([]byte, 10<<20))
		checkRefused(t, w, 4001, join(rig.Header(), mkv.AppendClusterStart(nil, 1000), block, block, block, block, block, block))
	})
	t.Run("time that goes back", func(t *testing.T) {
		first := rig.Fragment(9000, rig.Frames("door", 9000, 3, 100))
		checkRefused(t, w, 4004, join(rig.Header(), first, rig.Fragment(8000, rig.Frames("door", 8000, 3, 100))))
		if numbers, err := w.root.listFragments("door"); err != nil || len(numbers) != stored+1 {
			t.Errorf("the good fragment before it: %v, %v", numbers, err)
		}
	})
	if err := w.putOne(w.root, "door", 10_000); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// checkRefused sends a body and checks the ERROR acknowledgement, and that the response ends by itself.
func checkRefused(t *testing.T, w *world, id int, body []byte) {
	t.Helper()
	p, err := w.PutMedia(t.Context(), w.Root, "door")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Cut()
	go func() {
		_, _ = p.Write(body) // the server may have heard enough
		p.EndBody()
	}()
	end := time.AfterFunc(10*time.Second, func() { t.Error("the connection does not end"); p.Cut() })
	defer end.Stop()
	got := 0
	for {
		a, err := p.Ack()
		if err != nil {
			break
		}
		if a.EventType == mediaapi.AckError {
			got = a.ErrorId
		}
	}
	if got != id {
		t.Errorf("got %d, want %d", got, id)
	}
}

// TestForgedRequestsAreRefused: what was not signed by a known key, for here and now, does nothing.
func TestForgedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const body = `{"StreamName":"forged"}`
	now := time.Now()
	unknown := sigv4.Credentials{AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", SecretAccessKey: w.Root.SecretAccessKey}
	wrong := sigv4.Credentials{AccessKeyID: w.Root.AccessKeyID, SecretAccessKey: w.Root.SecretAccessKey + "x"}
	for _, tc := range []struct {
		name    string
		creds   sigv4.Credentials
		at      time.Time
		region  string
		service string
		change  func(*http.Request)
		code    string
	}{
		{name: "16 minutes old", at: now.Add(-16 * time.Minute), code: "RequestExpired"},
		{name: "16 minutes ahead", at: now.Add(16 * time.Minute), code: "RequestExpired"},
		{name: "unknown key", creds: unknown, code: "UnrecognizedClientException"},
		{name: "wrong secret", creds: wrong, code: "InvalidSignatureException"},
		{name: "other region", region: "eu-west-1", code: "InvalidSignatureException"},
		{name: "other service", service: "kms"},
		{name: "other body", change: func(r *http.Request) { setBody(r, `{"StreamName":"forger"}`) }, code: "InvalidSignatureException"},
		{name: "other path", change: func(r *http.Request) { r.URL.Path = "/describeStream" }, code: "InvalidSignatureException"},
		{name: "other query", change: func(r *http.Request) { r.URL.RawQuery = "a=b" }, code: "InvalidSignatureException"},
		{name: "garbled header", change: func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x") }, code: "IncompleteSignatureException"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.API+"/createStream", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			setBody(r, body)
			creds, at, region, service := w.Root, now, w.Region, "kinesisvideo"
			if tc.creds.AccessKeyID != "" {
				creds = tc.creds
			}
			if !tc.at.IsZero() {
				at = tc.at
			}
			if tc.region != "" {
				region = tc.region
			}
			if tc.service != "" {
				service = tc.service
			}
			sigv4.Sign(r, sigv4.HashBody([]byte(body)), creds, region, service, at)
			if tc.change != nil {
				tc.change(r)
			}
			resp, err := w.HTTP.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if e := protocol.ReadError(resp); resp.StatusCode < 400 || tc.code != "" && e.Code != tc.code {
				t.Errorf("got %d %v, want %s", resp.StatusCode, e, tc.code)
			}
		})
	}
	out, err := w.root.video.ListStreams(t.Context(), &kinesisvideo.ListStreamsInput{})
	if err != nil || len(out.StreamInfoList) != 0 {
		t.Errorf("a forged request made a stream: %v", err)
	}
}

func setBody(r *http.Request, body string) {
	other, err := http.NewRequest(r.Method, r.URL.String(), strings.NewReader(body))
	if err == nil {
		r.Body, r.ContentLength, r.GetBody = other.Body, other.ContentLength, other.GetBody
	}
}

// TestWrongLengthsDoNothing: bodies shorter or longer than they claim to be, and larger than allowed.
func TestWrongLengthsDoNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, err := url.Parse(w.API)
	if err != nil {
		t.Fatal(err)
	}
	roots := w.HTTP.Transport.(*http.Transport).TLSClientConfig.RootCAs
	send := func(claimed int, body string) string {
		c, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r, err := http.NewRequest(http.MethodPost, w.API+"/createStream", nil)
		if err != nil {
			t.Fatal(err)
		}
		sigv4.Sign(r, sigv4.HashBody([]byte(body)), w.Root, w.Region, "kinesisvideo", time.Now())
		fmt.Fprintf(c, "POST /createStream HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nX-Amz-Date: %s\r\nAuthorization: %s\r\n\r\n%s",
			u.Host, claimed, r.Header.Get("X-Amz-Date"), r.Header.Get("Authorization"), body)
		_ = c.CloseWrite() // the server may have refused and gone already
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		line, err := bufio.NewReader(c).ReadString('\n')
		if err, ok := errors.AsType[interface {
			error
			Timeout() bool
		}](err); ok && err.Timeout() {
			t.Errorf("claimed %d bytes: the connection stays", claimed)
		}
		return line
	}
	body := `{"StreamName":"forged"}`
	for _, claimed := range []int{len(body) + 10, len(body) - 5, 0, 100 << 20} {
		if line := send(claimed, body); strings.Contains(line, " 200 ") {
			t.Errorf("claimed %d of %d bytes: %s", claimed, len(body), line)
		}
	}
	large := `{"StreamName":"` + strings.Repeat("a", 4<<20) + `"}`
	if line := send(len(large), large); strings.Contains(line, " 200 ") {
		t.Errorf("a body of 4 MiB: %s", line)
	}
	out, err := w.root.video.ListStreams(t.Context(), &kinesisvideo.ListStreamsInput{})
	if err != nil || len(out.StreamInfoList) != 0 {
		t.Errorf("a broken request made a stream: %v", err)
	}
}

// TestNamesStayInTheirFolder: no name makes a file anywhere but in the data directory.
func TestNamesStayInTheirFolder(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	s := rig.Start(t, func(c *server.Config) { c.Data = filepath.Join(outside, "data") })
	c := newClients(t, s, s.Root)
	for _, name := range []string{"../out", "../../out", "/tmp/out", `..\out`, "%2e%2e%2fout", "a/../../out", "..", "a\x00b"} {
		for what, err := range map[string]error{
			"stream": run(c, c.video.CreateStream, &kinesisvideo.CreateStreamInput{StreamName: &name}),
			"user":   run(c, c.iam.CreateUser, &iam.CreateUserInput{UserName: &name}),
			"alias":  run(c, c.kms.CreateAlias, &kms.CreateAliasInput{AliasName: aws.String("alias/" + name), TargetKeyId: aws.String("k")}),
		} {
			if err == nil && name != ".." {
				t.Errorf("%s %q was made", what, name)
			}
		}
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the data directory: %v, %v", entries, err)
	}
}

// TestFullDiskPromisesNothing: below the free-space floor nothing is acknowledged, and what was there is readable.
func TestFullDiskPromisesNothing(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	at := func(floor int64) (*world, func()) {
		s, stop := rig.Run(t, func(c *server.Config) { c.Data, c.FreeSpace = data, floor })
		return &world{Server: s, t: t, id: map[string]string{}, blob: map[string][]byte{}, root: newClients(t, s, s.Root)}, stop
	}
	w, stop := at(-1)
	w.createStream("door", kinesisvideo.CreateStreamInput{})
	if err := w.putOne(w.root, "door", 1000); err != nil {
		t.Fatal(err)
	}
	stop()

	w, stop = at(1 << 60)
	if err := w.putOne(w.root, "door", 2000); err == nil {
		t.Error("a fragment was persisted on a disk that is full")
	}
	if err := w.getOne(w.root, "door", "EARLIEST"); err != nil {
		t.Errorf("on a full disk: %v", err)
	}
	stop()

	w, stop = at(-1)
	defer stop()
	if err := w.putOne(w.root, "door", 3000); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if numbers, err := w.root.listFragments("door"); err != nil || len(numbers) != 2 {
		t.Errorf("stored %v, %v", numbers, err)
	}
}

// TestWrongFolderOrKeyChangesNothing: a server that cannot have a folder says why and leaves it as it was.
func TestWrongFolderOrKeyChangesNothing(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s, stop := rig.Run(t, func(c *server.Config) { c.Data = data })
	w := &world{Server: s, t: t, id: map[string]string{}, root: newClients(t, s, s.Root)}
	w.createStream("door", kinesisvideo.CreateStreamInput{})
	if err := w.putOne(w.root, "door", 1000); err != nil {
		t.Fatal(err)
	}
	stop()

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "other.key")
	if _, err := rootkey.CreateFile(wrong); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, data, root string
		want             error
	}{
		{"foreign folder", foreign, "", server.ErrForeign},
		{"wrong root key", data, wrong, rootkey.ErrWrongKey},
		{"missing root key", data, filepath.Join(t.TempDir(), "absent.key"), rootkey.ErrMissing},
	} {
		before := digest(t, tc.data)
		c := server.Config{Data: tc.data, RootFile: tc.root}
		c.API.Listen, c.Media.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
		o, err := server.Open(t.Context(), c)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
		if err == nil {
			o.Close()
		}
		for name, sum := range before {
			if after := digest(t, tc.data); after[name] != sum {
				t.Errorf("%s: %s was changed or removed", tc.name, name)
			}
		}
	}
	s, stop = rig.Run(t, func(c *server.Config) { c.Data = data })
	defer stop()
	w = &world{Server: s, t: t, root: newClients(t, s, s.Root)}
	if err := w.getOne(w.root, "door", "EARLIEST"); err != nil {
		t.Errorf("with the right key again: %v", err)
	}
}

// digest is the hash of each file that holds what people would miss; the index's own books may turn a page.
func digest(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(name, "/meta/") {
			return err
		}
		text, err := os.ReadFile(name)
		sums[name] = fmt.Sprintf("%x", sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}
