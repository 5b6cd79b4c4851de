// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/obscura-video/obscura/test/rig"
)

// lies are what a malicious server makes of its answers. What is nil is honest. They are called by several goroutines, one call
// each at a time.
type lies struct {
	// media alters what GetMedia and GetMediaForFragmentList give.
	media func([]*fragment) []*fragment
	// listed, when set, takes the place of media for GetMediaForFragmentList.
	listed func([]*fragment) []*fragment
	// wire writes the answer of GetMedia itself; honest is what media has left. What it writes, and how long it waits, is its own.
	wire func(w writer, r request, honest []*fragment)
	// again answers the second GetMedia and those that follow.
	again http.HandlerFunc
	// list alters what ListFragments gives.
	list func(fragments []listed, answer map[string]any) []listed
	// get alters what GetObject gives; no body means that there is no such object.
	get func(key string, body []byte) []byte
	// put alters what PutObject leaves; nil means that it is dropped, though it is answered.
	put func(key string, body []byte) []byte
	// objects alters what ListObjects gives: keys.
	objects func(prefix string, keys []string) []string
	// asked is told the prefix of each ListObjects when it comes.
	asked func(prefix string)
	// open lets GetMedia wait for more at its end, as the honest server does, instead of ending it for good.
	open bool
}

// proxy is a malicious server before an honest one.
type proxy struct {
	t       testing.TB
	server  *rig.Server
	ts      *httptest.Server
	through *httputil.ReverseProxy
	media   *httputil.ReverseProxy
	lies    lies
	world   *world

	mu      sync.Mutex // guards what follows, and is held while one of lies runs
	calls   int        // of GetMedia
	altered atomic.Int64
}

// lieTo starts a malicious server, until the test ends.
func (w *world) lieTo(t testing.TB, l lies) *proxy {
	p := &proxy{t: t, server: w.server, lies: l, world: w}
	p.through, p.media = p.forward(w.server.API), p.forward(w.server.Media)
	p.ts = httptest.NewUnstartedServer(p)
	p.ts.TLS = &tls.Config{Certificates: []tls.Certificate{w.ca.leaf}}
	p.ts.StartTLS()
	t.Cleanup(p.close)
	return p
}

func (p *proxy) close() { p.ts.CloseClientConnections(); p.ts.Close() }

// forward passes requests on as they are. The name of the host is signed, so it stays.
func (p *proxy) forward(to string) *httputil.ReverseProxy {
	target, err := url.Parse(to)
	if err != nil {
		p.t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Transport: p.server.HTTP.Transport, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
}

// authority is a CA that whoever runs the malicious server has a certificate of.
type authority struct {
	root *x509.Certificate
	leaf tls.Certificate
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA that is trusted"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), key); err != nil {
		return nil, err
	}
	return &authority{root, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
}

// roots is what a client trusts who can be deceived.
func (p *proxy) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.world.ca.root)
	return pool
}

// caFile is roots as a file.
func (p *proxy) caFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.world.ca.root.Raw})
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// ServeHTTP lies.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch target := r.Header.Get("X-Amz-Target"); {
	case r.URL.Path == "/putMedia":
		_ = http.NewResponseController(w).EnableFullDuplex()
		p.media.ServeHTTP(w, r)
	case r.URL.Path == "/getDataEndpoint":
		p.rewrite(w, r, func(answer map[string]any) { answer["DataEndpoint"] = p.ts.URL })
	case r.URL.Path == "/getMedia":
		p.getMedia(w, r)
	case r.URL.Path == "/getMediaForFragmentList":
		p.getList(w, r)
	case r.URL.Path == "/listFragments" && p.lies.list != nil:
		p.rewrite(w, r, p.listFragments)
	case strings.HasSuffix(target, ".GetObject") && p.lies.get != nil:
		p.getObject(w, r)
	case strings.HasSuffix(target, ".PutObject") && p.lies.put != nil:
		p.putObject(w, r)
	case strings.HasSuffix(target, ".ListObjects") && p.lies.asked != nil:
		body, in := readObject(r)
		p.lies.asked(in.Prefix)
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.through.ServeHTTP(w, r)
	case strings.HasSuffix(target, ".ListObjects") && p.lies.objects != nil:
		p.listObjects(w, r)
	default:
		p.through.ServeHTTP(w, r)
	}
}

// honest asks the honest server. The caller closes the body.
func (p *proxy) honest(r *http.Request, to string) (*http.Response, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = target.Scheme, target.Host, ""
	return p.server.HTTP.Transport.RoundTrip(out)
}

// answerOf asks the honest server for an answer in JSON.
func (p *proxy) answerOf(r *http.Request) (status int, body []byte, err error) {
	resp, err := p.honest(r, p.server.API)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// rewrite alters an answer in JSON, if it is a good one.
func (p *proxy) rewrite(w http.ResponseWriter, r *http.Request, edit func(map[string]any)) {
	status, body, err := p.answerOf(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	var answer map[string]any
	if status == http.StatusOK && json.Unmarshal(body, &answer) == nil {
		edit(answer)
		body, _ = json.Marshal(answer) // of what came of JSON
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// isAltered notes that something is not as it was.
func (p *proxy) isAltered(before, after []byte) {
	if !bytes.Equal(before, after) {
		p.altered.Add(1)
	}
}

func (p *proxy) listFragments(answer map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []listed
	was, _ := json.Marshal(answer)
	all, _ := answer["Fragments"].([]any)
	for _, f := range all {
		if f, ok := f.(map[string]any); ok {
			list = append(list, f)
		}
	}
	answer["Fragments"] = p.lies.list(list, answer)
	is, _ := json.Marshal(answer)
	p.isAltered(was, is)
}

// listed is a fragment as ListFragments tells of it.
type listed map[string]any

func (l listed) at() time.Time {
	s, _ := l["ProducerTimestamp"].(float64)
	return time.UnixMilli(int64(math.Round(s * 1000)))
}

func (l listed) moveTo(t time.Time) { l["ProducerTimestamp"] = float64(t.UnixMilli()) / 1000 }

// getMedia takes what the honest server has, alters it and gives it.
func (p *proxy) getMedia(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in struct{ StreamName string }
	if err != nil || json.Unmarshal(body, &in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.calls++
	first := p.calls == 1
	p.mu.Unlock()
	if !first {
		p.getMediaAgain(w, r)
		return
	}
	p.world.mu.Lock()
	all := cloneAll(p.world.recorded[in.StreamName])
	p.world.mu.Unlock()
	all = p.alter(p.lies.media, all)
	if p.lies.wire != nil {
		p.altered.Add(1)
		p.lies.wire(w, r, all)
		return
	}
	_, _ = w.Write(join(all))
	if p.lies.open {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	_, _ = w.Write(refusal())
}

func (p *proxy) getMediaAgain(w http.ResponseWriter, r *http.Request) {
	if p.lies.again != nil {
		p.lies.again(w, r)
		return
	}
	w.Header().Set("x-amzn-ErrorType", "ResourceNotFoundException")
	w.WriteHeader(http.StatusNotFound)
}

// alter lies about media, and counts the fragments that are not what and where they were.
func (p *proxy) alter(edit func([]*fragment) []*fragment, all []*fragment) []*fragment {
	if edit == nil {
		return all
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	lie := edit(cloneAll(all))
	for i := range max(len(all), len(lie)) {
		var was, is []byte
		if i < len(all) {
			was = all[i].bytes()
		}
		if i < len(lie) {
			is = lie[i].bytes()
		}
		p.isAltered(was, is)
	}
	return lie
}

// getList is getMedia of an archive.
func (p *proxy) getList(w http.ResponseWriter, r *http.Request) {
	resp, err := p.honest(r, p.server.API)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	all, err := readFragments(resp.Body, 0)
	if err != nil {
		p.t.Errorf("what the honest server gives: %v", err)
	}
	edit := p.lies.listed
	if edit == nil {
		edit = p.lies.media
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(join(p.alter(edit, all)))
}

func (p *proxy) getObject(w http.ResponseWriter, r *http.Request) {
	body, in := readObject(r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	status, answer, err := p.answerOf(r)
	if err != nil || status != http.StatusOK && status != http.StatusNotFound {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	out := map[string]any{}
	var got struct{ Body []byte }
	if status == http.StatusOK && (json.Unmarshal(answer, &out) != nil || json.Unmarshal(answer, &got) != nil) {
		p.t.Errorf("what the honest server gives: %s", answer)
	}
	p.mu.Lock()
	lie := p.lies.get(in.Key, slices.Clone(got.Body))
	p.mu.Unlock()
	p.isAltered(got.Body, lie)
	if lie == nil {
		w.Header().Set("x-amzn-ErrorType", "ObjectNotFoundException")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	out["Key"], out["Body"] = in.Key, lie
	answer, _ = json.Marshal(out)
	_, _ = w.Write(answer)
}

type objectRequest struct {
	Box, Key, Prefix, StartAfter string
	Body                         []byte
}

func readObject(r *http.Request) (body []byte, in objectRequest) {
	body, _ = io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &in) // what is no JSON names nothing
	return body, in
}

// putObject keeps what a device wants to leave, or leaves it itself.
func (p *proxy) putObject(w http.ResponseWriter, r *http.Request) {
	body, in := readObject(r)
	p.mu.Lock()
	lie := p.lies.put(in.Key, slices.Clone(in.Body))
	p.mu.Unlock()
	p.isAltered(in.Body, lie)
	if bytes.Equal(in.Body, lie) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.through.ServeHTTP(w, r)
		return
	}
	_, _ = w.Write([]byte("{}")) // whoever lies leaves what it likes with its own hands
}

func (p *proxy) listObjects(w http.ResponseWriter, r *http.Request) {
	body, in := readObject(r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.rewrite(w, r, func(answer map[string]any) {
		var keys []string
		infos := map[string]any{}
		all, _ := answer["Objects"].([]any)
		for _, o := range all {
			if m, ok := o.(map[string]any); ok {
				key, _ := m["Key"].(string)
				keys, infos[key] = append(keys, key), m
			}
		}
		p.mu.Lock()
		lie := p.lies.objects(in.Prefix, slices.Clone(keys))
		p.mu.Unlock()
		p.isAltered([]byte(strings.Join(keys, " ")), []byte(strings.Join(lie, " ")))
		objects := []any{}
		for _, k := range lie {
			if in.StartAfter >= k {
				continue
			}
			if infos[k] == nil {
				infos[k] = map[string]any{"Key": k, "Size": 1}
			}
			objects = append(objects, infos[k])
		}
		answer["Objects"] = objects
	})
}

// writer and request are what a lie about the wire gets.
type (
	writer  = http.ResponseWriter
	request = *http.Request
)
