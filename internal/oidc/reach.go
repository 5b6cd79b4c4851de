// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
)

var errInside = errors.New("address is within a network that the issuer has no business in")

// reach says which addresses the server connects to on behalf of an issuer. An issuer on the open network cannot send
// it into the operator's own, by the address of its keys; one that is itself there can. Nobody sends it to an address
// of this link, where clouds keep the credentials of machines.
type reach struct {
	inside   func(netip.Addr) bool
	openOnly bool        // the open network alone
	within   atomic.Bool // a connection was made that was not into the open network
}

// dial connects as a net.Dialer does. It asks about addresses, not names, so that no name can mean another one later.
func (r *reach) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{ControlContext: r.control}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if to, err := netip.ParseAddrPort(c.RemoteAddr().String()); err != nil || r.inside(to.Addr().Unmap()) {
		r.within.Store(true)
	}
	return c, nil
}

func (r *reach) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	a := to.Addr().Unmap()
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || r.openOnly && r.inside(a) {
		return errInside
	}
	return nil
}

// inside says whether an address is one of this machine or of a network of its owner's.
func inside(a netip.Addr) bool {
	// RFC 6598: between a provider and its customers.
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)
	return a.IsLoopback() || a.IsPrivate() || shared.Contains(a)
}
