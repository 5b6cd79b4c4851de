// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/rootkey"
)

func TestConfigRefusesWhatIsUnsafe(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"plain HTTP off loopback": {func(c *Config) { c.InsecureHTTP, c.API.Listen = true, ":8443" }, "loopback"},
		"admin off loopback":      {func(c *Config) { c.Admin.Listen = "0.0.0.0:9464" }, "loopback"},
		"short account":           {func(c *Config) { c.Account = "1234" }, "12 digits"},
		"odd region":              {func(c *Config) { c.Region = "Mars/North" }, "region"},
		"certificate alone":       {func(c *Config) { c.TLSCert = "x.pem" }, "together"},
		"no port":                 {func(c *Config) { c.Media.Listen = "localhost" }, "host:port"},
	} {
		c := Config{}
		tc.change(&c)
		if _, err := c.withDefaults(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Config{}).withDefaults(); err != nil {
		t.Errorf("defaults: %v", err)
	}
}

func TestAdvertisedURL(t *testing.T) {
	t.Parallel()
	bound := &net.TCPAddr{IP: net.ParseIP("127.0.0.1"), Port: 8444}
	anywhere := &net.TCPAddr{IP: net.IPv6zero, Port: 8444}
	for _, tc := range []struct {
		l     Listener
		bound net.Addr
		want  string
	}{
		{Listener{}, bound, "https://127.0.0.1:8444"},
		{Listener{}, anywhere, "https://localhost:8444"},
		{Listener{Advertise: "cam.example.org"}, anywhere, "https://cam.example.org:8444"},
		{Listener{Advertise: "cam.example.org:443"}, anywhere, "https://cam.example.org:443"},
		{Listener{Advertise: "[2001:db8::1]:443"}, anywhere, "https://[2001:db8::1]:443"},
		{Listener{Advertise: "2001:db8::1"}, anywhere, "https://[2001:db8::1]:8444"},
	} {
		if got := tc.l.advertised("https", tc.bound); got != tc.want {
			t.Errorf("%q: %s, want %s", tc.l.Advertise, got, tc.want)
		}
	}
}

func TestForeignFolderIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prepareData(dir); !errors.Is(err, ErrForeign) {
		t.Fatalf("got %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the folder changed: %v", entries)
	}
	newer := filepath.Join(t.TempDir(), "data")
	if err := prepareData(newer); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(newer, formatFile), []byte(formatPrefix+"9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prepareData(newer); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("newer format: %v", err)
	}
}

func TestRootKeyIsNotMadeWhereDataExists(t *testing.T) {
	t.Parallel()
	c, err := Config{Data: t.TempDir()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.Data, "meta"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := openRoot(t.Context(), c); !errors.Is(err, rootkey.ErrMissing) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.Data, "root.key")); err == nil {
		t.Error("a root key was made")
	}
}

func TestMetricNamesAreCloudWatchs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"PutMedia.IncomingBytes":            "put_media_incoming_bytes",
		"GetHLSMasterPlaylist.Latency":      "get_hls_master_playlist_latency",
		"GetMP4InitFragment.Requests":       "get_mp4init_fragment_requests",
		"ArchivedFragmentsConsumed.Media":   "archived_fragments_consumed_media",
		"GetMediaForFragmentList.Requests":  "get_media_for_fragment_list_requests",
		"PutMedia.FragmentIngestionLatency": "put_media_fragment_ingestion_latency",
	} {
		if got := snake(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
