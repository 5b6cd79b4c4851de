// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// leafLife stays under the 398 days that browsers and some SDKs accept.
	leafLife = 90 * 24 * time.Hour
	// leafRenew is the rest of its life at which a certificate is replaced.
	leafRenew = 30 * 24 * time.Hour
	// clockSlack lets a client whose clock is a little behind accept a new certificate.
	clockSlack = time.Hour
)

// keyWrapper seals the authority's private key; the root key is one.
type keyWrapper interface {
	Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

// authorityFiles say where in a data directory an authority lies: dir/NAME.pem, which is public, and dir/NAME.key,
// which lies wrapped under the root key and is opened only in memory.
type authorityFiles struct {
	dir, name string
	subject   string // of a new authority's certificate, before the date
	life      time.Duration
}

// serverAuthority signs the server's certificates; clients trust its ca.pem.
func serverAuthority(dir string) authorityFiles {
	return authorityFiles{dir: dir, name: "ca", subject: "Obscura local CA", life: authorityLife}
}

func (f authorityFiles) certPath() string { return filepath.Join(f.dir, f.name+".pem") }
func (f authorityFiles) keyPath() string  { return filepath.Join(f.dir, f.name+".key") }

// aad binds the wrapped key to its file.
func (f authorityFiles) aad() []byte { return []byte("obscura tls/" + f.name + ".key v1") }

// authority is a local certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// openAuthority loads an authority, or makes it when there is none.
func openAuthority(ctx context.Context, f authorityFiles, root keyWrapper, now time.Time) (*authority, error) {
	certPEM, err := os.ReadFile(f.certPath())
	if errors.Is(err, fs.ErrNotExist) {
		return createAuthority(ctx, f, root, now)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", f.certPath())
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.certPath(), err)
	}
	wrapped, err := os.ReadFile(f.keyPath())
	if err != nil {
		return nil, err
	}
	der, err := root.Unwrap(ctx, wrapped, f.aad())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.keyPath(), err)
	}
	defer clear(der)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.keyPath(), err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s does not belong to its certificate", f.keyPath())
	}
	return &authority{cert: cert, key: key, pem: certPEM}, nil
}

func createAuthority(ctx context.Context, f authorityFiles, root keyWrapper, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: f.subject + " " + now.UTC().Format("2006-01-02")},
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              now.Add(f.life),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(pkcs8)
	wrapped, err := root.Wrap(ctx, pkcs8, f.aad())
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	// The key first: a certificate without its key would stop the next start.
	if err := writeFile(f.keyPath(), wrapped, 0o600); err != nil {
		return nil, err
	}
	if err := writeFile(f.certPath(), certPEM, 0o644); err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: certPEM}, nil
}

// issue makes a server certificate for names (host names and IP addresses). Its key exists in memory only.
func (a *authority) issue(names []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "Obscura"},
		NotBefore:    now.Add(-clockSlack),
		NotAfter:     now.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// fingerprint is the SHA-256 of the authority's certificate, as openssl prints it.
func (a *authority) fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	h := strings.ToUpper(hex.EncodeToString(sum[:]))
	var parts []string
	for i := 0; i < len(h); i += 2 {
		parts = append(parts, h[i:i+2])
	}
	return strings.Join(parts, ":")
}

// certificates hands out the server's certificate and replaces it before it expires, so that a server that
// runs for years needs no restart.
type certificates struct {
	authority *authority
	names     []string
	now       func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
}

// get implements tls.Config.GetCertificate.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.current != nil && c.current.Leaf.NotAfter.Sub(now) > leafRenew {
		return c.current, nil
	}
	cert, err := c.authority.issue(c.names, now)
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	c.current = cert
	return cert, nil
}

// operatorCertificate serves the operator's own certificate files and takes up a renewed pair by itself.
type operatorCertificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	read    time.Time
	current *tls.Certificate
}

// get implements tls.Config.GetCertificate. A pair that cannot be read leaves the one in use in place.
func (o *operatorCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	info, err := os.Stat(o.certFile)
	if err == nil && o.current != nil && info.ModTime().Equal(o.read) {
		return o.current, nil
	}
	pair, loadErr := tls.LoadX509KeyPair(o.certFile, o.keyFile)
	if loadErr != nil {
		if o.current != nil {
			return o.current, nil
		}
		return nil, fmt.Errorf("certificate %s: %w", o.certFile, loadErr)
	}
	o.current = &pair
	if err == nil {
		o.read = info.ModTime()
	}
	return o.current, nil
}

// certificateNames are the hosts a certificate must carry for listeners advertised as hosts. A loopback
// listener is reached by all of loopback's names.
func certificateNames(hosts []string) []string {
	var names []string
	add := func(n string) {
		if n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	for _, h := range hosts {
		add(h)
		ip := net.ParseIP(h)
		if h == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
			add("localhost")
			add("127.0.0.1")
			add("::1")
		}
	}
	return names
}

func serial() *big.Int {
	// 127 bits, so that the DER integer stays positive and within RFC 5280's 20 octets.
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		// crypto/rand never fails on the supported systems; it ends the program itself if it must.
		panic(err)
	}
	return n
}
