// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/obscura-video/obscura/internal/media/hls"
)

// playable is what a player is given.
type playable interface {
	// master and playlist wait until there is something. upTo is the segment that the player wants to see listed; 0 for any.
	master(ctx context.Context, mediaURI string) ([]byte, error)
	playlist(ctx context.Context, upTo uint64) ([]byte, error)
	// find returns a segment or init segment. Errors: errNotThere.
	find(ctx context.Context, uri string) ([]byte, error)
}

var errNotThere = errors.New("not there")

// Names under the token.
const (
	masterName = "index.m3u8"
	mediaName  = "media.m3u8"
)

const (
	// playerPatience is how long a player waits for news before it is told to ask again.
	playerPatience = 20 * time.Second
	// maxRequests at one time. Players have a few each.
	maxRequests = 64
	tokenBytes  = 18
)

// hlsDoor lets players in: those that know the token, come by a name of this very listener, and are no page of another origin.
//
// The listener is on the loopback interface, which every program, every user and every web page of the machine can reach. The
// token keeps out programs and users; the check of Host keeps out pages that had their own name resolved to 127.0.0.1; the check
// of Origin, and that no answer allows another one, keeps out the rest.
type hlsDoor struct {
	title  string
	token  string
	hosts  []string // that may be in a request, with the port
	origin string   // one more that may read; empty for none
	media  playable
	slots  chan struct{}
	last   atomic.Int64 // when somebody was let in, ns since 1970
}

func newDoor(title string, at net.Addr, origin string, media playable) *hlsDoor {
	b := make([]byte, tokenBytes)
	rand.Read(b)
	_, port, _ := net.SplitHostPort(at.String()) // a listener's address has one
	d := &hlsDoor{title: title, token: base64.RawURLEncoding.EncodeToString(b), origin: origin, media: media, slots: make(chan struct{}, maxRequests)}
	d.hosts = append(d.hosts, at.String())
	for _, name := range []string{"localhost", "127.0.0.1", "[::1]"} {
		d.hosts = append(d.hosts, name+":"+port)
	}
	return d
}

// url is the address of a name.
func (d *hlsDoor) url(name string) string { return "http://" + d.hosts[0] + "/" + d.token + "/" + name }

// idle is how long nobody has been let in.
func (d *hlsDoor) idle() time.Duration { return time.Since(time.Unix(0, d.last.Load())) }

// ServeHTTP answers a player.
func (d *hlsDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; media-src 'self' blob:; style-src 'unsafe-inline'; frame-ancestors 'none'")
	name, status := d.judge(r)
	if status != http.StatusOK {
		if status == http.StatusMethodNotAllowed {
			h.Set("Allow", "GET, HEAD")
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	if d.origin != "" {
		h.Set("Vary", "Origin")
		if r.Header.Get("Origin") == d.origin {
			h.Set("Access-Control-Allow-Origin", d.origin)
		}
	}
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		busy(w)
		return
	}
	d.last.Store(time.Now().UnixNano())
	d.answer(w, r, name)
}

// judge decides whether a request is answered, and says what it asks for.
func (d *hlsDoor) judge(r *http.Request) (name string, status int) {
	if !slices.Contains(d.hosts, strings.ToLower(r.Host)) {
		return "", http.StatusMisdirectedRequest
	}
	token, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if subtle.ConstantTimeCompare([]byte(token), []byte(d.token)) != 1 || !ok {
		return "", http.StatusNotFound
	}
	if o := r.Header.Get("Origin"); o != "" && o != d.origin && !slices.Contains(d.hosts, strings.TrimPrefix(o, "http://")) {
		return "", http.StatusForbidden
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "", http.StatusMethodNotAllowed
	}
	return name, http.StatusOK
}

func busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "nothing yet", http.StatusServiceUnavailable)
}

func (d *hlsDoor) answer(w http.ResponseWriter, r *http.Request, name string) {
	ctx, cancel := context.WithTimeout(r.Context(), playerPatience)
	defer cancel()
	var b []byte
	var err error
	kind := "video/mp4"
	switch {
	case name == "":
		kind = "text/html; charset=utf-8"
		b, err = d.page()
	case name == masterName:
		kind = hls.ContentType
		b, err = d.media.master(ctx, mediaName)
	case name == mediaName:
		kind = hls.ContentType
		upTo := uint64(0)
		if s := r.URL.Query().Get("_HLS_msn"); s != "" {
			if upTo, err = strconv.ParseUint(s, 10, 62); err != nil {
				err = hls.ErrTooFar
				break
			}
		}
		b, err = d.media.playlist(ctx, upTo)
	case path.Ext(name) == ".m4s", path.Ext(name) == ".mp4":
		b, err = d.media.find(ctx, name)
	default:
		err = errNotThere
	}
	switch {
	case errors.Is(err, errNotThere), errors.Is(err, hls.ErrPlaylist):
		http.Error(w, http.StatusText(http.StatusNotFound), http.StatusNotFound)
	case errors.Is(err, hls.ErrTooFar):
		http.Error(w, "that segment is too far ahead", http.StatusBadRequest)
	case err != nil:
		busy(w)
	default:
		w.Header().Set("Content-Type", kind)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

// page is for a browser that plays HLS by itself; it runs no script.
func (d *hlsDoor) page() ([]byte, error) {
	var b bytes.Buffer
	err := playerPage.Execute(&b, map[string]string{"Title": d.title, "Master": masterName, "URL": d.url(masterName)})
	return b.Bytes(), err
}

var playerPage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<style>
body { margin: 0; background: #0f1317; color: #eef2f6; font: 16px/1.5 system-ui, sans-serif }
video { display: block; width: 100%; max-height: 85vh; background: #000 }
p { margin: 1em }
code { overflow-wrap: anywhere }
</style>
<video src="{{.Master}}" controls autoplay muted playsinline></video>
<p>{{.Title}}. If no picture comes, this browser does not play HLS by itself, or has no decoder for the camera's video.
Then open this address in mpv, VLC or ffplay: <code>{{.URL}}</code></p>
</html>
`))

// listenLoopback listens where only this machine can reach it.
func listenLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usageError{fmt.Errorf("--listen %q: want ADDRESS:PORT, such as 127.0.0.1:0", address)}
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, usageError{fmt.Errorf("--listen %q is not this machine alone: what is served is readable; want 127.0.0.1, ::1 or localhost", address)}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &problem{What: "cannot listen on " + address, Why: err.Error(), Next: "choose a free port with --listen 127.0.0.1:0", Exit: exitConflict, Err: err}
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return nil, errors.Join(usageError{fmt.Errorf("--listen %q leads to %s, which is not this machine alone", address, l.Addr())}, l.Close())
	}
	return l, nil
}
