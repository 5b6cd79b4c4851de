// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/oidc/oidctest"
)

func TestAddressesWithin(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.1.2.3": true, "172.16.0.1": true, "192.168.1.1": true, "fd00::1": true, "100.64.0.1": true, "100.127.255.255": true,
		"100.128.0.1": false, "1.1.1.1": false, "172.32.0.1": false, "2606:4700::1111": false,
	} {
		if got := inside(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// TestOpenNetworkCannotPointInside: an issuer out there cannot send the server into the network that it stands in; one
// that is in it can, and nobody to this link, where clouds answer with the credentials of machines.
func TestOpenNetworkCannotPointInside(t *testing.T) {
	out, in := &reach{inside: inside, openOnly: true}, &reach{inside: inside}
	for _, tt := range []struct {
		address       string
		fromOut, from bool
	}{
		{"1.1.1.1:443", true, true},
		{"10.0.0.7:443", false, true},
		{"[::ffff:10.0.0.7]:443", false, true},
		{"127.0.0.1:8443", false, true},
		{"[fd00::7]:443", false, true},
		{"169.254.169.254:443", false, false},
		{"[fe80::1%lo]:443", false, false},
		{"0.0.0.0:443", false, false},
		{"[::]:443", false, false},
		{"224.0.0.1:443", false, false},
	} {
		if a, b := out.control(t.Context(), "tcp", tt.address, nil) == nil, in.control(t.Context(), "tcp", tt.address, nil) == nil; a != tt.fromOut || b != tt.from {
			t.Errorf("%s: %v from the open network, %v from within", tt.address, a, b)
		}
	}
}

// TestKeysWithinForAnIssuerOutThere: the rule holds for the address that an issuer names for its keys.
func TestKeysWithinForAnIssuerOutThere(t *testing.T) {
	outThere, within := func(netip.Addr) bool { return false }, netip.MustParseAddr("127.0.0.2")
	issuer := oidctest.New(t)
	s := &issuerSource{issuer: issuer.URL, roots: issuer.Roots(), inside: outThere}
	if _, err := s.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.inside = func(a netip.Addr) bool { return a == within }
	issuer.Configuration = map[string]any{"jwks_uri": strings.Replace(issuer.URL, "127.0.0.1", within.String(), 1) + "/keys"}
	if _, err := s.load(t.Context()); !errors.Is(err, errInside) {
		t.Errorf("got %v", err)
	}
	s.inside = inside // now the issuer is within, too
	if _, err := s.load(t.Context()); err == nil || errors.Is(err, errInside) {
		t.Errorf("got %v", err)
	}
}
