// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/producer"
)

// target says which service a client command talks to.
type target struct {
	data, endpoint, region, caFile, profile string
}

func (g *target) addFlags(f *pflag.FlagSet) {
	f.StringVar(&g.data, "data", "", "data directory of a server on this machine (default "+server.DefaultData+" when it is there)")
	f.StringVar(&g.endpoint, "endpoint", "", "URL of the API (default $AWS_ENDPOINT_URL)")
	f.StringVar(&g.region, "region", "", "region that requests are signed for (default $AWS_REGION)")
	f.StringVar(&g.caFile, "ca", "", "PEM file of the CA to trust (default $AWS_CA_BUNDLE)")
	f.StringVar(&g.profile, "profile", "", "profile in AWS's shared credentials file (default $AWS_PROFILE)")
}

// connection is a target that has been found.
type connection struct {
	endpoint, region string
	data             string // absolute; empty for a server elsewhere
	roots            *x509.CertPool
	credentials      func(context.Context) (sigv4.Credentials, error)
	device           bool // they are those of an enrolled device
}

// identity names the service in a way that survives its restart.
func (c *connection) identity() string { return cmp.Or(c.data, c.endpoint) }

func (c *connection) forProducer(o *producer.Options) {
	o.Endpoint, o.Region, o.RootCAs = c.endpoint, c.region, c.roots
	o.Credentials = func(ctx context.Context) (producer.Credentials, error) {
		k, err := c.credentials(ctx)
		return producer.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, err
	}
}

func (c *connection) forConsumer(o *consumer.Options) {
	o.Endpoint, o.Region, o.RootCAs = c.endpoint, c.region, c.roots
	o.Credentials = func(ctx context.Context) (consumer.Credentials, error) {
		k, err := c.credentials(ctx)
		return consumer.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, err
	}
}

// find settles where to connect: --data; --endpoint or AWS's variables; a server's data directory here; AWS itself.
func (g *target) find() (*connection, error) {
	endpoint := cmp.Or(g.endpoint, os.Getenv("AWS_ENDPOINT_URL_KINESIS_VIDEO"), os.Getenv("AWS_ENDPOINT_URL"))
	switch {
	case g.data != "":
		return g.local(g.data)
	case endpoint != "":
		return g.remote(endpoint)
	}
	if _, err := server.ReadEndpoints(server.DefaultData); err == nil {
		return g.local(server.DefaultData)
	}
	if _, err := awsCredentials(g.profile); err == nil && cmp.Or(g.region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")) != "" {
		return g.remote("")
	}
	return nil, &problem{
		What: "no server to talk to", Why: "there is no " + server.DefaultData + " here, and no AWS_ENDPOINT_URL is set",
		Next: "obscura serve    (or name a server with --data or --endpoint)", Exit: exitUsage,
	}
}

// local is a server whose data directory is at hand.
func (g *target) local(data string) (*connection, error) {
	e, err := readEndpoints(data)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(e.Data, "credentials")
	c := &connection{endpoint: cmp.Or(g.endpoint, e.API), region: cmp.Or(g.region, e.Region), data: e.Data}
	c.credentials = func(context.Context) (sigv4.Credentials, error) {
		return readCredentials(file, cmp.Or(g.profile, "default"))
	}
	c.roots, err = loadRoots(cmp.Or(g.caFile, e.CAFile))
	return c, err
}

// remote is a server that AWS's variables say how to reach.
func (g *target) remote(endpoint string) (*connection, error) {
	c := &connection{
		endpoint: endpoint,
		region:   cmp.Or(g.region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), server.DefaultRegion),
	}
	c.credentials = func(context.Context) (sigv4.Credentials, error) { return awsCredentials(g.profile) }
	if _, err := awsCredentials(g.profile); err != nil {
		return nil, &problem{
			What: "no credentials", Why: err.Error(), Exit: exitRefused, Err: err,
			Next: `eval "$(obscura env --data DIR)"    (or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)`,
		}
	}
	var err error
	c.roots, err = loadRoots(cmp.Or(g.caFile, os.Getenv("AWS_CA_BUNDLE")))
	return c, err
}

// loadRoots reads a CA bundle; without one the system's CAs are trusted.
func loadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &problem{What: "cannot read the CA bundle", Why: err.Error(), Exit: exitFailed, Err: err}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, &problem{What: "cannot read the CA bundle", Why: path + " holds no PEM certificate", Exit: exitFailed}
	}
	return pool, nil
}

// awsCredentials looks where AWS's tools look: the variables, then the shared credentials file.
func awsCredentials(profile string) (sigv4.Credentials, error) {
	c := sigv4.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
	}
	if profile == "" && c.AccessKeyID != "" && c.SecretAccessKey != "" {
		return c, nil
	}
	path := os.Getenv("AWS_SHARED_CREDENTIALS_FILE")
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return c, err
		}
		path = filepath.Join(home, ".aws", "credentials")
	}
	return readCredentials(path, cmp.Or(profile, os.Getenv("AWS_PROFILE"), "default"))
}

// readCredentials reads one profile of a shared credentials file.
func readCredentials(path, profile string) (sigv4.Credentials, error) {
	var c sigv4.Credentials
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	section := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = strings.TrimSpace(line[1 : len(line)-1])
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || section != profile {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			c.AccessKeyID = value
		case "aws_secret_access_key":
			c.SecretAccessKey = value
		case "aws_session_token":
			c.SessionToken = value
		}
	}
	if err := lines.Err(); err != nil {
		return c, err
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return c, fmt.Errorf("%s: no access key in profile %q", path, profile)
	}
	return c, nil
}

// explain turns an error of a service into what a person can do about it. what is like `cannot view "front-door"`.
func (c *connection) explain(what, stream string, err error) error {
	var told *problem
	if errors.As(err, &told) {
		return told // by who knows better, such as a device that obtains credentials
	}
	p := &problem{What: what, Why: err.Error(), Exit: exitFailed, Err: err}
	var r *producer.ResponseError
	var cert *tls.CertificateVerificationError
	var network net.Error
	switch {
	case errors.As(err, &r):
		p.Why, p.Code, p.RequestID = cmp.Or(r.Message, r.Code), r.Code, r.RequestID
		c.explainCode(p, stream)
	case errors.As(err, &cert):
		p.Why = "the server's certificate is not trusted: " + cert.Err.Error()
		p.Next = "name its CA with --ca FILE or AWS_CA_BUNDLE"
		p.Exit = exitUnreachable
	case errors.As(err, &network):
		p.Why = "the server at " + c.endpoint + " cannot be reached: " + network.Error()
		p.Exit = exitUnreachable
		if c.data != "" {
			p.Next = "obscura serve --data " + shellQuote(c.data)
		}
	case errors.Is(err, context.DeadlineExceeded):
		p.Exit = exitUnreachable
	case errors.Is(err, fs.ErrPermission):
		p.Exit = exitRefused
	}
	return p
}

func (c *connection) explainCode(p *problem, stream string) {
	switch p.Code {
	case "ResourceNotFoundException":
		p.Exit = exitNotFound
		p.Next = "obscura camera --stream " + shellQuote(stream) + " --input demo    (makes the stream)"
	case "AccessDeniedException", "NotAuthorizedException":
		p.Exit = exitRefused
		p.Next = "give this access key a policy that allows it"
	case "InvalidSignatureException", "SignatureDoesNotMatch", "UnrecognizedClientException", "InvalidClientTokenId", "IncompleteSignature":
		p.Exit = exitRefused
		p.Next = "use the credentials of this server: eval \"$(obscura env --data DIR)\""
		if c.device {
			p.Why, p.Next = deviceRefused, deviceRefusedNext
		}
	case "ResourceInUseException":
		p.Exit = exitConflict
	}
}
