// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/media/hls"
)

// fixed plays two lines and one segment.
type fixed struct{}

func (fixed) master(_ context.Context, uri string) ([]byte, error) {
	return []byte("master of " + uri), nil
}

func (fixed) playlist(_ context.Context, upTo uint64) ([]byte, error) {
	if upTo > 9 {
		return nil, hls.ErrTooFar
	}
	return fmt.Appendf(nil, "playlist up to %d", upTo), nil
}

func (fixed) find(_ context.Context, uri string) ([]byte, error) {
	if uri == "1.m4s" {
		return []byte("0123456789"), nil
	}
	return nil, errNotThere
}

func TestPlayersAreLetInByTokenHostAndOrigin(t *testing.T) {
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4567}
	door := newDoor(`<b>"door"`, at, "https://wall.example", fixed{})
	good := "/" + door.token + "/"
	if len(door.token) < 24 || newDoor("", at, "", fixed{}).token == door.token {
		t.Fatalf("token %q", door.token)
	}
	type ask struct{ method, path, host, origin string }
	for name, tt := range map[string]struct {
		ask
		status int
		says   string
	}{
		"page":                        {ask{path: good}, 200, "&lt;b&gt;"},
		"master":                      {ask{path: good + "index.m3u8"}, 200, "master of media.m3u8"},
		"playlist":                    {ask{path: good + "media.m3u8"}, 200, "playlist up to 0"},
		"playlist, waited for":        {ask{path: good + "media.m3u8?_HLS_msn=7"}, 200, "playlist up to 7"},
		"playlist, too far":           {ask{path: good + "media.m3u8?_HLS_msn=10"}, 400, ""},
		"playlist of no number":       {ask{path: good + "media.m3u8?_HLS_msn=-1"}, 400, ""},
		"segment":                     {ask{path: good + "1.m4s"}, 200, "0123456789"},
		"segment, head":               {ask{path: good + "1.m4s", method: "HEAD"}, 200, ""},
		"segment that is gone":        {ask{path: good + "0.m4s"}, 404, ""},
		"by another name of loopback": {ask{path: good, host: "LOCALHOST:4567"}, 200, ""},
		"IPv6":                        {ask{path: good, host: "[::1]:4567"}, 200, ""},
		"from its own page":           {ask{path: good + "1.m4s", origin: "http://127.0.0.1:4567"}, 200, ""},
		"from the origin allowed":     {ask{path: good + "1.m4s", origin: "https://wall.example"}, 200, ""},

		"no token":                  {ask{path: "/"}, 404, ""},
		"no name":                   {ask{path: "/" + door.token}, 404, ""},
		"part of the token":         {ask{path: good[:12] + "/index.m3u8"}, 404, ""},
		"token with one letter off": {ask{path: "/" + door.token[1:] + "x/index.m3u8"}, 404, ""},
		"empty token":               {ask{path: "//index.m3u8"}, 404, ""},
		"traversal":                 {ask{path: good + "../../etc/passwd"}, 404, ""},
		"traversal to a segment":    {ask{path: good + "x/../1.m4s"}, 404, ""},
		"traversal, encoded":        {ask{path: good + "..%2f1.m4s"}, 404, ""},
		"another file":              {ask{path: good + "view.go"}, 404, ""},
		"rebound name":              {ask{path: good + "1.m4s", host: "attacker.example:4567"}, 421, ""},
		"name without port":         {ask{path: good + "1.m4s", host: "127.0.0.1"}, 421, ""},
		"other port":                {ask{path: good + "1.m4s", host: "127.0.0.1:80"}, 421, ""},
		"no host":                   {ask{path: good + "1.m4s", host: " "}, 421, ""},
		"another page":              {ask{path: good + "1.m4s", origin: "https://attacker.example"}, 403, ""},
		"a page that hides":         {ask{path: good + "1.m4s", origin: "null"}, 403, ""},
		"a page of the name only":   {ask{path: good + "1.m4s", origin: "https://127.0.0.1:4567"}, 403, ""},
		"put":                       {ask{path: good + "1.m4s", method: "PUT"}, 405, ""},
		"preflight":                 {ask{path: good + "1.m4s", method: "OPTIONS", origin: "https://wall.example"}, 405, ""},
		"put without token":         {ask{path: "/x/1.m4s", method: "PUT"}, 404, ""},
	} {
		r := httptest.NewRequest("GET", tt.path, nil)
		if tt.method != "" {
			r.Method = tt.method
		}
		if r.Host = "127.0.0.1:4567"; tt.host != "" {
			r.Host = strings.TrimSpace(tt.host)
		}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		h, body := w.Result().Header, w.Body.String()
		if w.Code != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d, want %d and %q\n%s", name, w.Code, tt.status, tt.says, body)
		}
		if tt.status != 200 && (strings.Contains(body, "0123") || strings.Contains(body, "playlist up")) {
			t.Errorf("%s: refused, and answered: %s", name, body)
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", name, h)
		}
		allowed := ""
		if tt.origin == "https://wall.example" && tt.status == 200 {
			allowed = tt.origin
		}
		if got := h.Get("Access-Control-Allow-Origin"); got != allowed {
			t.Errorf("%s: allows %q, want %q", name, got, allowed)
		}
	}
}

func TestPlayersAreBoundedInNumber(t *testing.T) {
	door := newDoor("", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, "", fixed{})
	for range maxRequests {
		door.slots <- struct{}{}
	}
	r := httptest.NewRequest("GET", "/"+door.token+"/1.m4s", nil)
	r.Host = "127.0.0.1:80"
	w := httptest.NewRecorder()
	if door.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestServesThisMachineAlone(t *testing.T) {
	for address, good := range map[string]bool{
		"127.0.0.1:0": true, "127.8.9.1:0": true, "localhost:0": true,
		"0.0.0.0:0": false, ":0": false, "[::]:0": false, "192.168.1.2:0": false, "example.org:0": false, "127.0.0.1": false, "127.0.0.1.example.org:0": false,
	} {
		l, err := listenLoopback(address)
		if (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
		if err == nil {
			l.Close()
		} else if code, _, _ := command(t, "view", "serve", "--stream", "a", "--data", t.TempDir(), "--listen", address); code != exitUsage {
			t.Errorf("%s: exit %d", address, code)
		}
	}
	for _, args := range [][]string{{"--origin", "*"}, {"--origin", "http://a/b"}, {"--origin", "ftp://a"}, {"--window", "2h"}, {"--from", "noon"}} {
		if code, _, stderr := command(t, append([]string{"view", "serve", "--stream", "a", "--data", t.TempDir()}, args...)...); code != exitUsage {
			t.Errorf("%v: exit %d\n%s", args, code, stderr)
		}
	}
}
