// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

const (
	// refreshBefore is how long before their end credentials are replaced. While the server cannot be reached the
	// old ones go on to be used until they end.
	refreshBefore = 5 * time.Minute
	// retryAfter bounds how often a server that cannot be reached is asked.
	retryAfter = 10 * time.Second
)

// deviceCredentials are the temporary credentials of a device folder, kept until shortly before their end. Obtaining
// them renews the certificate when that is due. It is safe for concurrent use.
type deviceCredentials struct {
	mu      sync.Mutex
	folder  *deviceFolder
	current sigv4.Credentials
	expires time.Time
	tried   time.Time
	now     func() time.Time
	log     *slog.Logger
}

// deviceTarget is where an enrolled device sends to, and as which.
type deviceTarget struct {
	device string
	conn   *connection
}

// deviceConnection is a connection as the device of a folder: no access key is involved.
func deviceConnection(dir string, log *slog.Logger) (*deviceTarget, error) {
	d, err := openDeviceFolder(dir)
	if err != nil {
		return nil, err
	}
	c := &deviceCredentials{folder: d, now: time.Now, log: log}
	return &deviceTarget{d.endpoint.ThingName, &connection{
		endpoint: d.endpoint.APIEndpoint, region: d.endpoint.Region, roots: d.roots, credentials: c.get, device: true,
	}}, nil
}

// get returns credentials that are good at this moment.
func (c *deviceCredentials) get(ctx context.Context) (sigv4.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	left := c.expires.Sub(now)
	if left > refreshBefore || left > 0 && now.Sub(c.tried) < retryAfter {
		return c.current, nil
	}
	c.tried = now
	if now.After(c.folder.due()) {
		// When that fails, the certificate is still good for a while, and the next refresh tries again.
		if err := c.folder.renew(ctx); err != nil {
			c.log.WarnContext(ctx, "the device's certificate was not renewed", "expires", c.folder.pair.Leaf.NotAfter, "error", err)
		}
	}
	got, err := c.folder.assume(ctx)
	switch refused, ok := errors.AsType[*protocol.ResponseError](err); {
	case err == nil:
		c.current, c.expires = got.credentials(), got.Credentials.Expiration
	case ok && refused.Status < http.StatusInternalServerError || left <= 0:
		return sigv4.Credentials{}, explainDeviceCall(c.folder, "cannot obtain credentials for", err)
	}
	return c.current, nil
}

// providedCredentials is the credential provider's answer.
type providedCredentials struct {
	Credentials struct {
		AccessKeyID     string    `json:"accessKeyId"`
		SecretAccessKey string    `json:"secretAccessKey"`
		SessionToken    string    `json:"sessionToken"`
		Expiration      time.Time `json:"expiration"`
	} `json:"credentials"`
}

func (p *providedCredentials) credentials() sigv4.Credentials {
	return sigv4.Credentials{
		AccessKeyID: p.Credentials.AccessKeyID, SecretAccessKey: p.Credentials.SecretAccessKey, SessionToken: p.Credentials.SessionToken,
	}
}

// assume asks the credential provider.
func (d *deviceFolder) assume(ctx context.Context) (*providedCredentials, error) {
	address := "https://" + d.endpoint.CredentialEndpoint + "/role-aliases/" + url.PathEscape(d.endpoint.RoleAlias) + "/credentials"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	out := new(providedCredentials)
	return out, d.do(d.http(), r, out)
}

// What to say when the server does not take a device's certificate, or the credentials obtained by it, any more.
const (
	deviceRefused     = "its certificate was revoked or has expired, or it may not use its role"
	deviceRefusedNext = "on the server:  obscura device list"
)

func explainDeviceCall(d *deviceFolder, what string, err error) error {
	p := &problem{What: fmt.Sprintf("%s %q", what, d.endpoint.ThingName), Why: err.Error(), Exit: exitUnreachable, Err: err}
	if e, ok := errors.AsType[*protocol.ResponseError](err); ok {
		p.Why, p.Code, p.RequestID, p.Exit = e.Message, e.Code, e.RequestID, exitFailed
		if e.Status == http.StatusForbidden {
			p.Why, p.Next = deviceRefused, deviceRefusedNext
			p.Exit = exitRefused
		}
	}
	return p
}
