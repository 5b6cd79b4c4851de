// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/obscura-video/obscura/internal/oidc"

	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/service/mailbox"
)

// Off switches a listener off.
const Off = "off"

// Defaults of Config.
const (
	DefaultData    = "./obscura-data"
	DefaultRegion  = "us-east-1"
	DefaultAccount = "000000000000"

	DefaultAPI   = "127.0.0.1:8443"
	DefaultMedia = "127.0.0.1:8444"
	// DefaultDevice is off with InsecureHTTP: devices prove who they are by TLS.
	DefaultDevice = "127.0.0.1:8445"
	DefaultAdmin  = "127.0.0.1:9464"

	// DefaultFreeSpace is kept free on the data directory's file system: below it the server refuses new
	// data, because an index that meets a full disk stops.
	DefaultFreeSpace = 512 << 20
	// DefaultBackupHorizon is how long deleted footage stays on disk, so that a backup taken before the
	// deletion still finds it.
	DefaultBackupHorizon = 0

	// DefaultMailboxBytes and DefaultMailboxObjects bound each mailbox.
	DefaultMailboxBytes   = mailbox.DefaultMaxBytes
	DefaultMailboxObjects = mailbox.DefaultMaxObjects
)

// Config says how a server runs. The zero value of a field means its default.
type Config struct {
	// Data is the data directory, made with mode 0700 when it does not exist. Default DefaultData.
	Data string
	// RootFile is the root key's file. Default: root.key in Data, which protects nothing from whoever takes
	// the disk.
	RootFile string
	// Root says how the root key is protected, and opens it. Default: the provider that the file names, and
	// rootkey.ProviderFile for a new one.
	Root rootkey.Options
	// Region and Account appear in every ARN. Account has 12 digits. They belong to the data directory: a
	// change makes stored ARNs unreachable, so the server refuses it.
	Region, Account string
	// KMSRegions are Regions beside Region in which the KMS has keys too, each its own; multi-Region keys can be
	// replicated between all of them. One that has keys cannot be left out again.
	KMSRegions []string

	// API, Media and Admin are listen addresses, host:port; port 0 picks a free one, Off switches it off.
	API, Media, Admin Listener
	// Device is where devices obtain credentials and enrol: mutual TLS, by certificates of the device CA or
	// registered ones.
	Device Listener

	// TLSCert and TLSKey are the operator's own certificate chain and key (PEM files). Default: a
	// certificate of the local CA in Data/tls.
	TLSCert, TLSKey string
	// DeviceCACert and DeviceCAKey are an operator's own intermediate CA (PEM files) that signs device
	// certificates. Default: one made at the first start, in Data/tls.
	DeviceCACert, DeviceCAKey string
	// OIDCCA is a PEM file of authorities that are trusted for the addresses of identity providers, beside the system's.
	OIDCCA string
	// OIDCKeys has, by the URL of an identity provider, the file that its keys (a JWK Set) are read from; they are
	// then not asked for over the network.
	OIDCKeys map[string]string
	// ExplainDenials adds to each denial what sts:DecodeAuthorizationMessage makes readable.
	ExplainDenials bool
	// InsecureHTTP serves api and media without TLS. Refused unless both listen on loopback.
	InsecureHTTP bool

	// FreeSpace in bytes; see DefaultFreeSpace. Negative: no floor.
	FreeSpace int64
	// BackupHorizon; see DefaultBackupHorizon.
	BackupHorizon time.Duration
	// MailboxBytes and MailboxObjects bound what each mailbox holds; default DefaultMailboxBytes and
	// DefaultMailboxObjects. A full box takes no more objects until some expire or are deleted.
	MailboxBytes, MailboxObjects int64
	// RequestsPerSecond bounds each access key's calls; 0 means no bound. A burst of twice as many passes.
	RequestsPerSecond float64

	// FS holds metadata and segments; nil means the operating system's. Tests of power cuts have one in memory. All
	// else in Data (keys, certificates, the control socket) is always in the operating system's.
	FS vfs.FS
	// Log gets the operator's log; nil discards it. No secret is ever written to it.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Listener is one of the server's addresses.
type Listener struct {
	// Listen is where the server listens, host:port, or Off.
	Listen string
	// Advertise is what clients are told, host or host:port. Default: the listen address.
	Advertise string
}

func (c Config) withDefaults() (Config, error) {
	set := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	set(&c.Data, DefaultData)
	set(&c.Region, DefaultRegion)
	set(&c.Account, DefaultAccount)
	set(&c.API.Listen, DefaultAPI)
	set(&c.Media.Listen, DefaultMedia)
	set(&c.Admin.Listen, DefaultAdmin)
	if c.InsecureHTTP {
		set(&c.Device.Listen, Off)
	}
	set(&c.Device.Listen, DefaultDevice)
	if c.FreeSpace == 0 {
		c.FreeSpace = DefaultFreeSpace
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, c.check()
}

func (c Config) check() error {
	if len(c.Account) != 12 || strings.Trim(c.Account, "0123456789") != "" {
		return fmt.Errorf("account %q: must be 12 digits", c.Account)
	}
	for i, r := range append([]string{c.Region}, c.KMSRegions...) {
		if r == "" || strings.Trim(r, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fmt.Errorf("region %q: must be lower-case letters, digits and hyphens", r)
		}
		if i > 0 && (r == c.Region || slices.Contains(c.KMSRegions[:i-1], r)) {
			return fmt.Errorf("region %q: named twice", r)
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fmt.Errorf("a certificate and its key must be given together")
	}
	if (c.DeviceCACert == "") != (c.DeviceCAKey == "") {
		return fmt.Errorf("the device CA's certificate and its key must be given together")
	}
	if c.MailboxBytes < 0 || c.MailboxObjects < 0 {
		return fmt.Errorf("the bounds of mailboxes must not be negative")
	}
	for issuer := range c.OIDCKeys {
		if err := oidc.CheckURL(issuer); err != nil {
			return err
		}
	}
	if c.InsecureHTTP && c.Device.Listen != Off {
		return fmt.Errorf("device listener %q: it needs TLS", c.Device.Listen)
	}
	for name, l := range map[string]Listener{"api": c.API, "media": c.Media, "device": c.Device, "admin": c.Admin} {
		if l.Listen == Off {
			continue
		}
		host, _, err := net.SplitHostPort(l.Listen)
		if err != nil {
			return fmt.Errorf("%s listener %q: want host:port or off: %w", name, l.Listen, err)
		}
		if c.InsecureHTTP && name != "admin" && !isLoopback(host) {
			return fmt.Errorf("%s listener %q: plain HTTP is served on loopback only", name, l.Listen)
		}
		if name == "admin" && !isLoopback(host) {
			return fmt.Errorf("admin listener %q: it has no authentication and is served on loopback only", l.Listen)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// advertised is the URL that clients are told for a listener bound to bound.
func (l Listener) advertised(scheme string, bound net.Addr) string {
	host, port, _ := net.SplitHostPort(bound.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	switch h, p, err := net.SplitHostPort(l.Advertise); {
	case l.Advertise == "":
	case err == nil:
		host, port = h, p
	default:
		host = strings.Trim(l.Advertise, "[]")
	}
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}
	return u.String()
}

// hosts are the names under which clients reach the listener, for its certificate.
func (l Listener) hosts() []string {
	var out []string
	if h, _, err := net.SplitHostPort(l.Listen); err == nil && h != "" {
		out = append(out, h)
	}
	if l.Advertise != "" {
		h := strings.Trim(l.Advertise, "[]")
		if host, port, err := net.SplitHostPort(l.Advertise); err == nil {
			if _, err := strconv.Atoi(port); err == nil {
				h = host
			}
		}
		out = append(out, h)
	}
	return out
}
