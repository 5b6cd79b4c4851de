// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/service/iot"
)

type enrollOptions struct {
	token, tokenFile, endpoint, dir, caFile string
}

func newDeviceEnroll(t *terminal) *cobra.Command {
	var o enrollOptions
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Make this machine the device that a token is for",
		Long: `Make this machine the device that a token is for. The private key is made here and stays
here. The server is known by the CA fingerprint in the token, so nothing has to be
trusted on first sight.

The folder is all that obscura camera --device, and any producer that knows IoT credentials,
needs. A token on the command line is seen by other users of the machine: prefer --token-file.`,
		Example: `  obscura device enroll --token-file - --endpoint video.example.org:8445 --dir front-door < token
  obscura device enroll --token obs1_… --endpoint 192.0.2.7:8445 --dir front-door
  obscura camera --device front-door --input /dev/video0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return deviceEnroll(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.token, "token", "", "the token that obscura device invite printed")
	f.StringVar(&o.tokenFile, "token-file", "", "file that holds the token; - for standard input")
	f.StringVar(&o.endpoint, "endpoint", "", "host:port of the server's device listener")
	f.StringVar(&o.dir, "dir", "", "folder to make for the device")
	f.StringVar(&o.caFile, "ca", "", "PEM file of the CA to trust, for a server with its operator's own certificate")
	return cmd
}

// read returns the token from wherever it is.
func (o *enrollOptions) read(stdin io.Reader) (iot.Token, error) {
	text := o.token
	switch {
	case o.dir == "" || o.endpoint == "" || (o.token == "") == (o.tokenFile == ""):
		return iot.Token{}, usageError{errors.New("enroll needs --endpoint, --dir, and one of --token and --token-file")}
	case o.tokenFile == "-":
		b, err := io.ReadAll(io.LimitReader(stdin, 4096))
		if err != nil {
			return iot.Token{}, err
		}
		text = string(b)
	case o.tokenFile != "":
		b, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return iot.Token{}, err
		}
		text = string(b)
	}
	token, err := iot.ParseToken(text)
	if err != nil {
		return token, usageError{errors.New("that is no enrolment token: it begins with obs1_ and is one line")}
	}
	return token, nil
}

func deviceEnroll(ctx context.Context, t *terminal, o *enrollOptions) error {
	token, err := o.read(t.in)
	if err != nil {
		return err
	}
	o.endpoint = strings.TrimSuffix(strings.TrimPrefix(o.endpoint, "https://"), "/")
	if _, err := os.Stat(filepath.Join(o.dir, deviceKeyFile)); err == nil {
		return &problem{
			What: fmt.Sprintf("%s holds a device already", o.dir), Exit: exitConflict,
			Next: "choose another --dir, or remove the folder if its device is no longer needed",
		}
	}
	key, csr, err := newDeviceKey("")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	pin, err := o.pin(token.Anchor)
	if err != nil {
		return err
	}
	d := &deviceFolder{dir: o.dir, endpoint: deviceEndpoint{CredentialEndpoint: o.endpoint}}
	got, err := d.post(ctx, pin.client(), "/enrolment", map[string]string{"enrolmentToken": token.String(), "certificateSigningRequest": csr})
	if err != nil {
		os.Remove(o.dir) // if it is empty
		return explainEnrol(o, err)
	}
	if err := d.write(o, key, pin, got); err != nil {
		return err
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(map[string]string{"thingName": got.ThingName, "certificateId": got.CertificateID, "dir": o.dir})
	}
	fmt.Fprintf(t.out, "%s\n", got.ThingName)
	t.note("enrolled in %s; its certificate renews itself while a camera runs, or with: obscura device renew --dir %s", o.dir, shellQuote(o.dir))
	t.note("next:  obscura camera --device %s --input demo", shellQuote(o.dir))
	return nil
}

// write makes the folder; endpoint.json comes last, since without it there is no device. The device goes on to reach
// the server where it reached it now.
func (d *deviceFolder) write(o *enrollOptions, key []byte, pin *pinned, got *iot.Enrolment) error {
	e := deviceEndpoint{
		Version: deviceFolderVersion, ThingName: got.ThingName, RoleAlias: got.RoleAlias,
		CredentialEndpoint: o.endpoint, APIEndpoint: got.APIEndpoint, Region: got.Region,
	}
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	files := []struct {
		name string
		text []byte
		mode os.FileMode
	}{
		{deviceKeyFile, key, 0o600},
		{deviceCertFile, []byte(got.CertificatePEM), 0o644},
		{deviceCAFile, pin.pem(), 0o644},
		{deviceEndpointFile, append(text, '\n'), 0o644},
	}
	for _, f := range files {
		if f.text == nil {
			continue
		}
		if err := writeDurably(d.path(f.name), f.text, f.mode); err != nil {
			return err
		}
	}
	_, err = openDeviceFolder(d.dir)
	return err
}

func explainEnrol(o *enrollOptions, err error) error {
	p := &problem{What: "cannot enrol at " + o.endpoint, Why: err.Error(), Exit: exitFailed, Err: err}
	var network net.Error
	switch e, ok := errors.AsType[*protocol.ResponseError](err); {
	case ok && e.Status == http.StatusForbidden:
		p.Why, p.Exit = "the token was redeemed already, has expired, or was withdrawn", exitRefused
		p.Next = "on the server:  obscura device invite NAME"
		p.Code, p.RequestID = e.Code, e.RequestID
	case ok:
		p.Why, p.Code, p.RequestID = e.Message, e.Code, e.RequestID
	case errors.Is(err, errOtherServer):
		p.Why, p.Exit = "that server is not the one that made the token; nothing was sent to it", exitDamaged
		p.Next = "check --endpoint; if it is right, somebody is in between"
	case errors.As(err, &network):
		p.Exit = exitUnreachable
	}
	return p
}

// pinned trusts a server by the SHA-256 of its CA's certificate alone; without one, by roots.
type pinned struct {
	anchor []byte
	roots  *x509.CertPool
	caPEM  []byte // of roots, when a file gave them
	seen   *x509.Certificate
}

var errOtherServer = errors.New("the server does not have the certificate that the token names")

func (o *enrollOptions) pin(anchor []byte) (*pinned, error) {
	p := &pinned{anchor: anchor}
	if o.caFile == "" || anchor != nil {
		return p, nil
	}
	var err error
	if p.roots, err = loadRoots(o.caFile); err != nil {
		return nil, err
	}
	p.caPEM, err = os.ReadFile(o.caFile)
	return p, err
}

func (p *pinned) client() *http.Client {
	c := &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS12}
	if p.anchor != nil {
		// The usual verification is replaced by verify, which is stricter: one CA, whatever else is trusted.
		c.InsecureSkipVerify = true
		c.VerifyConnection = p.verify
	}
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: c}}
}

// verify demands that the server's certificate chains to the one that the token names.
func (p *pinned) verify(c tls.ConnectionState) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, cert := range c.PeerCertificates {
		sum := sha256.Sum256(cert.Raw)
		if subtle.ConstantTimeCompare(sum[:], p.anchor) == 1 {
			roots.AddCert(cert)
			p.seen = cert
			continue
		}
		between.AddCert(cert)
	}
	if p.seen == nil {
		return errOtherServer
	}
	_, err := c.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: c.ServerName, Roots: roots, Intermediates: between})
	return err
}

// pem is what the device is to trust from now on; nil for the system's roots.
func (p *pinned) pem() []byte {
	if p.seen != nil {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.seen.Raw})
	}
	return p.caPEM
}

func newDeviceRenew(t *terminal) *cobra.Command {
	var dir string
	var watch, force bool
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Renew a device's certificate when a third of its life is left",
		Long: `Renew a device's certificate when a third of its life is left, for a key that is new as well.
obscura camera --device does so by itself; this is for other producers: run it from a timer,
or with --watch beside them.`,
		Example: `  obscura device renew --dir front-door
  obscura device renew --dir front-door --watch
  obscura device renew --dir front-door --now`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return deviceRenew(cmd.Context(), t, dir, watch, force) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the device's folder")
	cmd.Flags().BoolVar(&watch, "watch", false, "go on, and look every hour")
	cmd.Flags().BoolVar(&force, "now", false, "renew although there is time left")
	return cmd
}

const renewEvery = time.Hour

func deviceRenew(ctx context.Context, t *terminal, dir string, watch, force bool) error {
	if dir == "" {
		return usageError{errors.New("renew needs --dir")}
	}
	d, err := openDeviceFolder(dir)
	if err != nil {
		return err
	}
	for {
		err := renewIfDue(ctx, t, d, force)
		if !watch {
			return err
		}
		if err != nil {
			t.note("obscura: %v; trying again in an hour", err)
		}
		force = false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(renewEvery):
		}
	}
}

func renewIfDue(ctx context.Context, t *terminal, d *deviceFolder, force bool) error {
	if !force && time.Now().Before(d.due()) {
		t.note("%s: nothing to do until %s", d.endpoint.ThingName, d.due().Local().Format("2006-01-02 15:04"))
		return nil
	}
	if err := d.renew(ctx); err != nil {
		return explainDeviceCall(d, "cannot renew the certificate of", err)
	}
	t.note("%s: renewed until %s", d.endpoint.ThingName, d.pair.Leaf.NotAfter.Local().Format("2006-01-02 15:04"))
	return nil
}
