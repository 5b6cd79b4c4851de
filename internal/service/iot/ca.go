// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"time"
)

const (
	// certificateLife is that of a certificate whose owner does not renew it by itself. AWS's end in 2049.
	certificateLife = 20 * 365 * 24 * time.Hour
	// clockSlack lets a device whose clock is behind use a new certificate.
	clockSlack = time.Hour
	minRSABits = 2048
	maxRSABits = 8192
)

var (
	errNoPEM  = errors.New("no PEM block of that kind")
	errWeak   = errors.New("the key must be ECDSA on P-256, P-384 or P-521, or RSA of 2048 to 8192 bits")
	errTwoPEM = errors.New("more than one PEM block")
)

// CertificateID is the SHA-256 of a certificate in hexadecimal, as on AWS.
func CertificateID(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func decodePEM(text, kind string) ([]byte, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != kind && block.Type != "NEW "+kind {
		return nil, errNoPEM
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errTwoPEM
	}
	return block.Bytes, nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// parseCertificate reads one PEM certificate with a key that is strong enough.
func parseCertificate(text string) (*x509.Certificate, error) {
	der, err := decodePEM(text, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return c, checkKey(c.PublicKey)
}

// parseCSR reads a PEM certificate request whose signature shows that its maker holds the key.
func parseCSR(text string) (*x509.CertificateRequest, error) {
	der, err := decodePEM(text, "CERTIFICATE REQUEST")
	if err != nil {
		return nil, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	if err := checkKey(csr.PublicKey); err != nil {
		return nil, err
	}
	return csr, csr.CheckSignature()
}

func checkKey(public any) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n >= minRSABits && n <= maxRSABits {
			return nil
		}
	}
	return errWeak
}

// sign makes a client certificate for public that ends at notAfter, or with the authority's own. Of a request
// nothing but its subject is taken.
func (a Authority) sign(public any, subject pkix.Name, now, notAfter time.Time) (*x509.Certificate, error) {
	if notAfter.After(a.Certificate.NotAfter) {
		notAfter = a.Certificate.NotAfter
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-clockSlack),
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, public, a.Key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
