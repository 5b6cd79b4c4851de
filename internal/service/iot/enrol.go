// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

// An Enrolment is what a device gets: who it is, by which certificate, and where to go with it. It holds no secret.
type Enrolment struct {
	ThingName      string `json:"thingName"`
	CertificateID  string `json:"certificateId"`
	CertificatePEM string `json:"certificatePem"`
	// ServerCAPEM is what the server's certificates chain to; empty when the system's roots tell.
	ServerCAPEM        string `json:"serverCaPem,omitempty"`
	RoleAlias          string `json:"roleAlias,omitempty"`
	CredentialEndpoint string `json:"credentialEndpoint"`
	APIEndpoint        string `json:"apiEndpoint"`
	Region             string `json:"region"`
}

func (s *Service) enrolment(thingName, alias, id string, c *certificate) *Enrolment {
	return &Enrolment{
		ThingName: thingName, CertificateID: id, CertificatePEM: c.PEM, ServerCAPEM: string(s.serverCA), RoleAlias: alias,
		CredentialEndpoint: s.deviceEndpoint, APIEndpoint: s.apiEndpoint, Region: s.region,
	}
}

// Redeem makes the device that brings an enrolment token the thing that the token is for. The token is gone with it;
// a request that cannot be read leaves it.
//
// Errors: AccessDeniedException (403), the same for a token that never was, was redeemed, or has expired;
// InvalidRequestException (the certificate request).
func (s *Service) Redeem(ctx context.Context, secret []byte, csrPEM string) (*Enrolment, error) {
	access.Exempt(ctx) // the token is the permission
	csr, err := parseCSR(csrPEM)
	if err != nil {
		return nil, invalid("The certificate signing request is not valid: %v.", err)
	}
	hash := hashOf(secret)
	var out *Enrolment
	err = s.update(ctx, func(tx *change) error {
		t, err := get[token](tx, rowToken, hash[:tokenIDLength])
		switch {
		case errors.Is(err, meta.ErrNotFound):
			return refused(textDenied)
		case err != nil:
			return err
		case subtle.ConstantTimeCompare([]byte(t.Hash), []byte(hash)) != 1 || !s.now().Before(t.Expires):
			return refused(textDenied)
		}
		tx.remove(rowToken, hash[:tokenIDLength])
		if err := ensureThing(tx, t.Thing); err != nil {
			return err
		}
		id, c, err := s.give(tx, csr, t.Thing, t.Policy)
		if err != nil {
			return err
		}
		out = s.enrolment(t.Thing, t.Alias, id, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "thing", out.ThingName)
	s.note(ctx, "cert", out.CertificateID)
	return out, nil
}

// dropUnused deletes a certificate that a device was given by a renewal and never used: its answer was lost.
func (s *Service) dropUnused(tx *change, id string) error {
	c, err := get[certificate](tx, rowCertificate, id)
	if errors.Is(err, meta.ErrNotFound) || err == nil && c.Replaces == "" {
		return nil
	}
	if err != nil {
		return err
	}
	things, err := names(tx, rowCertThing, id)
	if err != nil {
		return err
	}
	for _, name := range things {
		tx.disconnect(rowThingCert, rowCertThing, name, id)
	}
	return s.deleteCertificate(tx, id, true)
}

// ensureThing makes the thing when it is not there.
func ensureThing(tx *change, name string) error {
	there, err := has(tx, rowThing, name)
	if err != nil || there {
		return err
	}
	return put(tx, &thing{ID: newID(), Version: 1}, rowThing, name)
}

// give makes an active certificate of an enrolled device, attached to its thing and its policies.
func (s *Service) give(tx *change, csr *x509.CertificateRequest, thingName string, policies ...string) (string, *certificate, error) {
	id, c, err := s.issue(csr, pkix.Name{CommonName: thingName}, api.CertificateStatusActive, s.now().Add(s.lifetime))
	if err != nil {
		return "", nil, err
	}
	if err := tx.putCertificate(id, c); err != nil {
		return "", nil, err
	}
	for _, p := range policies {
		if err := s.attach(tx, id, p); err != nil {
			return "", nil, err
		}
	}
	return id, c, tx.connect(rowThingCert, rowCertThing, thingName, id)
}

// Renew gives a device a new certificate with the same things and policies. The old one stays in force until an
// hour after the new one was used first, so that a device that loses power in between can go on.
//
// Errors: AccessDeniedException (403); InvalidRequestException.
func (s *Service) Renew(ctx context.Context, h Holder, csrPEM string) (*Enrolment, error) {
	d, err := s.hold(ctx, h, false)
	if err != nil {
		return nil, err
	}
	csr, err := parseCSR(csrPEM)
	if err != nil {
		return nil, invalid("The certificate signing request is not valid: %v.", err)
	}
	if d.name == "" || d.cert.CA != CertificateID(s.ca.Certificate.Raw) {
		return nil, refused(textDenied)
	}
	var out *Enrolment
	err = s.update(ctx, func(tx *change) error {
		// Anew, since the certificate may have been revoked meanwhile.
		old, err := get[certificate](tx, rowCertificate, d.id)
		if err != nil || old.Status != api.CertificateStatusActive {
			return errors.Join(err, refused(textDenied))
		}
		if err := s.dropUnused(tx, old.Successor); err != nil {
			return err
		}
		policies, err := names(tx, rowCertPolicy, d.id)
		if err != nil {
			return err
		}
		id, c, err := s.give(tx, csr, d.name, policies...)
		if err != nil {
			return err
		}
		for _, other := range d.things {
			if err := tx.connect(rowThingCert, rowCertThing, other, id); err != nil {
				return err
			}
		}
		c.Replaces, old.Successor = d.id, id
		if err := tx.putCertificate(d.id, old); err != nil {
			return err
		}
		out = s.enrolment(d.name, "", id, c)
		return tx.putCertificate(id, c)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "cert", out.CertificateID)
	return out, nil
}
