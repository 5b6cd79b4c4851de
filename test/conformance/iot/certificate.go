// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// certificates are inactive when they are made.
func certificates() kind {
	return kind{
		word: "cert", absent: absentID(),
		make: func(w *kit.World) (id string) {
			w.T.Helper()
			out, err := w.Admin.IoT.CreateCertificateFromCsr(w.Admin.Ctx, &iot.CreateCertificateFromCsrInput{CertificateSigningRequest: aws.String(request(w))})
			w.Must(err)
			return *out.CertificateId
		},
		describe: func(c *kit.Clients, id string) error {
			return kit.Run(c, c.IoT.DescribeCertificate, &iot.DescribeCertificateInput{CertificateId: &id}, func(o *iot.DescribeCertificateOutput) error {
				d := o.CertificateDescription
				return kit.Want("certificate", []any{*d.CertificateId, strings.HasPrefix(*d.CertificatePem, "-----BEGIN CERTIFICATE-----")}, []any{id, true})
			})
		},
		remove: func(c *kit.Clients, id string) error {
			return kit.Run(c, c.IoT.DeleteCertificate, &iot.DeleteCertificateInput{CertificateId: &id})
		},
		release: func(c *kit.Clients, id string) error { return setStatus(c, id, types.CertificateStatusInactive) },
	}
}

// newKey makes the key of a device.
func newKey(w *kit.World) *ecdsa.PrivateKey {
	w.T.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.Must(err)
	return key
}

// request is a certificate request for a new key.
func request(w *kit.World) string {
	w.T.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "conformance"}}, newKey(w))
	w.Must(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// selfSigned is a certificate that no authority has signed.
func selfSigned(w *kit.World, isCA bool) string {
	w.T.Helper()
	key := newKey(w)
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "conformance"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		BasicConstraintsValid: true, IsCA: isCA,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	w.Must(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// setStatus makes a certificate active, inactive or revoked.
func setStatus(c *kit.Clients, id string, status types.CertificateStatus) error {
	return kit.Run(c, c.IoT.UpdateCertificate, &iot.UpdateCertificateInput{CertificateId: &id, NewStatus: status})
}

// status is the one of a certificate.
func status(w *kit.World, id string) any {
	w.T.Helper()
	out, err := w.Admin.IoT.DescribeCertificate(w.Admin.Ctx, &iot.DescribeCertificateInput{CertificateId: &id})
	w.Must(err)
	return out.CertificateDescription.Status
}

// fingerprint is the ID that a certificate gets.
func fingerprint(certificate string) string {
	block, _ := pem.Decode([]byte(certificate))
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

func certificateCases() []kit.Case {
	list := func(c *kit.Clients, marker *string) (listed int, err error) {
		err = kit.Run(c, c.IoT.ListCertificates, &iot.ListCertificatesInput{PageSize: aws.Int32(1), Marker: marker}, func(o *iot.ListCertificatesOutput) error {
			listed = len(o.Certificates)
			return nil
		})
		return listed, err
	}
	activate := func(c *kit.Clients, id string) error { return setStatus(c, id, types.CertificateStatusActive) }
	return []kit.Case{
		createCertificate(),
		registerCertificate(),
		on("DescribeCertificate", certificates(), certificates().describe, detail{}),
		lists("ListCertificates", certificates(), list),
		on("UpdateCertificate", certificates(), activate, detail{changes: status, errors: kit.Errors{
			"InvalidRequestException": func(w *kit.World) error {
				return setStatus(w.Admin, certificates().new(w), types.CertificateStatusPendingTransfer)
			},
			"CertificateStateException": func(w *kit.World) error {
				id := certificates().new(w)
				w.Must(setStatus(w.Admin, id, types.CertificateStatusRevoked))
				return activate(w.Admin, id)
			},
		}}),
		deletes("DeleteCertificate", certificates(), detail{errors: kit.Errors{
			"CertificateStateException": func(w *kit.World) error {
				id := certificates().new(w)
				w.Must(activate(w.Admin, id))
				return certificates().remove(w.Admin, id)
			},
			"DeleteConflictException": func(w *kit.World) error {
				id := certificates().new(w)
				attachThing(w, things().new(w), id)
				return certificates().remove(w.Admin, id)
			},
		}}),
	}
}

func createCertificate() kit.Case {
	create := func(c *kit.Clients, request string, got ...func(*iot.CreateCertificateFromCsrOutput) error) error {
		return kit.Run(c, c.IoT.CreateCertificateFromCsr, &iot.CreateCertificateFromCsrInput{CertificateSigningRequest: &request}, got...)
	}
	return kit.Case{
		Op: "CreateCertificateFromCsr",
		Good: func(w *kit.World) kit.Call {
			csr := request(w)
			return kit.Call{Do: func(c *kit.Clients) error {
				return create(c, csr, func(o *iot.CreateCertificateFromCsrOutput) error {
					certificates().cleanup(w, *o.CertificateId)
					if err := certificateIsFor(*o.CertificatePem, csr); err != nil {
						return err
					}
					return kit.Want("ARN", *o.CertificateArn, certificates().arn(w, *o.CertificateId))
				})
			}}
		},
		Errors: kit.Errors{"InvalidRequestException": func(w *kit.World) error { return create(w.Admin, "no request") }},
	}
}

// certificateIsFor checks that a certificate is for the key of a request.
func certificateIsFor(certificate, request string) error {
	c, _ := pem.Decode([]byte(certificate))
	r, _ := pem.Decode([]byte(request))
	if err := kit.True("a certificate", c != nil); err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(c.Bytes)
	if err != nil {
		return err
	}
	csr, err := x509.ParseCertificateRequest(r.Bytes)
	if err != nil {
		return err
	}
	return kit.True("the certificate is for the key of the request", csr.PublicKey.(*ecdsa.PublicKey).Equal(cert.PublicKey))
}

func registerCertificate() kit.Case {
	register := func(c *kit.Clients, certificate string, status types.CertificateStatus, got ...func(*iot.RegisterCertificateWithoutCAOutput) error) error {
		return kit.Run(c, c.IoT.RegisterCertificateWithoutCA, &iot.RegisterCertificateWithoutCAInput{CertificatePem: &certificate, Status: status}, got...)
	}
	return kit.Case{
		Op: "RegisterCertificateWithoutCA",
		Good: func(w *kit.World) kit.Call {
			certificate := selfSigned(w, false)
			id := fingerprint(certificate)
			certificates().cleanup(w, id)
			return kit.Call{
				Changes: func() any { return certificates().there(w, id) },
				Do: func(c *kit.Clients) error {
					return register(c, certificate, types.CertificateStatusInactive, func(o *iot.RegisterCertificateWithoutCAOutput) error {
						return kit.Want("certificate", []string{*o.CertificateId, *o.CertificateArn}, []string{id, certificates().arn(w, id)})
					})
				},
			}
		},
		Errors: kit.Errors{
			"CertificateValidationException": func(w *kit.World) error {
				return register(w.Admin, selfSigned(w, true), types.CertificateStatusInactive)
			},
			"InvalidRequestException": func(w *kit.World) error {
				return register(w.Admin, selfSigned(w, false), types.CertificateStatusPendingTransfer)
			},
			"ResourceAlreadyExistsException": func(w *kit.World) error {
				certificate := selfSigned(w, false)
				certificates().cleanup(w, fingerprint(certificate))
				w.Must(register(w.Admin, certificate, types.CertificateStatusInactive))
				return register(w.Admin, certificate, types.CertificateStatusInactive)
			},
		},
		Never: map[string]string{"CertificateStateException": "a certificate that is new has no state that could forbid it"},
	}
}
