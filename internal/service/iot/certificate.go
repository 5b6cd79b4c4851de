// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

// certificate is a row. Its ID is its key.
type certificate struct {
	PEM       string    `json:"pem"`
	Status    string    `json:"status"`
	Created   time.Time `json:"created"`
	Modified  time.Time `json:"modified"`
	Version   int64     `json:"version"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	// CA is the ID of the authority that signed it; empty for one that was registered without.
	CA string `json:"ca,omitempty"`
	// Claim is the provisioning template that the certificate may be used for, and for nothing else.
	Claim string `json:"claim,omitempty"`
	// Replaces is the certificate that this one renews, until it has been used once.
	Replaces string `json:"replaces,omitempty"`
	// Successor is the certificate that this one was last renewed by.
	Successor string `json:"successor,omitempty"`
	// Retires is when a certificate that was renewed stops to be in force.
	Retires *time.Time `json:"retires,omitempty"`
}

func (c *certificate) state() state {
	st := state{active: c.Status == api.CertificateStatusActive, notBefore: c.NotBefore, notAfter: c.NotAfter}
	if c.Retires != nil && c.Retires.Before(st.notAfter) {
		st.notAfter = *c.Retires
	}
	return st
}

func (s *Service) newCertificate(c *x509.Certificate, status string) *certificate {
	now := s.date()
	return &certificate{
		PEM: encodePEM("CERTIFICATE", c.Raw), Status: status, Created: now, Modified: now, Version: 1,
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
	}
}

// issue signs a certificate for the key of a request.
func (s *Service) issue(csr *x509.CertificateRequest, subject pkix.Name, status string, notAfter time.Time) (id string, c *certificate, err error) {
	signed, err := s.ca.sign(csr.PublicKey, subject, s.now(), notAfter)
	if err != nil {
		return "", nil, err
	}
	c = s.newCertificate(signed, status)
	c.CA = CertificateID(s.ca.Certificate.Raw)
	return CertificateID(signed.Raw), c, nil
}

func statusOf(active bool) string {
	if active {
		return api.CertificateStatusActive
	}
	return api.CertificateStatusInactive
}

// CreateCertificateFromCsr signs a request with the device CA. The private key never leaves the device.
//
// Errors: InvalidRequestException.
func (s *Service) CreateCertificateFromCsr(ctx context.Context, in *api.CreateCertificateFromCsrInput) (*api.CreateCertificateFromCsrOutput, error) {
	if err := s.allow(ctx, "CreateCertificateFromCsr", "*"); err != nil {
		return nil, err
	}
	csr, err := parseCSR(*in.CertificateSigningRequest)
	if err != nil {
		return nil, invalid("The certificate signing request is not valid: %v.", err)
	}
	subject := csr.Subject
	if len(subject.Names) == 0 {
		subject.CommonName = "AWS IoT Certificate"
	}
	id, c, err := s.issue(csr, subject, statusOf(value(in.SetAsActive)), s.now().Add(certificateLife))
	if err != nil {
		return nil, err
	}
	if err := s.update(ctx, func(tx *change) error { return tx.putCertificate(id, c) }); err != nil {
		return nil, err
	}
	s.note(ctx, "cert", id)
	return &api.CreateCertificateFromCsrOutput{CertificateArn: new(s.arn("cert", id)), CertificateId: &id, CertificatePem: &c.PEM}, nil
}

// RegisterCertificateWithoutCA takes in a certificate that somebody else signed.
//
// Errors: ResourceAlreadyExistsException, CertificateValidationException, InvalidRequestException.
func (s *Service) RegisterCertificateWithoutCA(ctx context.Context, in *api.RegisterCertificateWithoutCAInput) (*api.RegisterCertificateWithoutCAOutput, error) {
	if err := s.allow(ctx, "RegisterCertificateWithoutCA", "*"); err != nil {
		return nil, err
	}
	status := statusOf(false)
	switch value(in.Status) {
	case api.CertificateStatusActive, api.CertificateStatusInactive:
		status = *in.Status
	case "":
	default:
		return nil, invalid("A certificate can be registered as ACTIVE or INACTIVE only.")
	}
	parsed, err := parseCertificate(*in.CertificatePem)
	if err != nil {
		return nil, &api.CertificateValidationException{Message: "The certificate is not valid: " + err.Error() + "."}
	}
	if parsed.IsCA || !s.now().Before(parsed.NotAfter) {
		return nil, &api.CertificateValidationException{Message: "The certificate is a CA's, or has expired."}
	}
	id, c := CertificateID(parsed.Raw), s.newCertificate(parsed, status)
	err = s.update(ctx, func(tx *change) error {
		if err := absent(tx, &api.ResourceAlreadyExistsException{Message: "The certificate is already registered."}, rowCertificate, id); err != nil {
			return err
		}
		return tx.putCertificate(id, c)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "cert", id)
	return &api.RegisterCertificateWithoutCAOutput{CertificateArn: new(s.arn("cert", id)), CertificateId: &id}, nil
}

// DescribeCertificate shows a certificate. Errors: ResourceNotFoundException.
func (s *Service) DescribeCertificate(ctx context.Context, in *api.DescribeCertificateInput) (*api.DescribeCertificateOutput, error) {
	id := *in.CertificateId
	if err := s.allow(ctx, "DescribeCertificate", s.arn("cert", id)); err != nil {
		return nil, err
	}
	var c *certificate
	err := s.db.View(ctx, func(r meta.Reader) (err error) { c, err = get[certificate](r, rowCertificate, id); return err })
	if err != nil {
		return nil, orNotFound(err, "Certificate", id)
	}
	return &api.DescribeCertificateOutput{CertificateDescription: &api.CertificateDescription{
		CertificateArn: new(s.arn("cert", id)), CertificateId: &id, CaCertificateId: optional(c.CA), CertificatePem: &c.PEM,
		Status: &c.Status, OwnedBy: &s.account, CreationDate: &c.Created, LastModifiedDate: &c.Modified, CustomerVersion: &c.Version,
		CertificateMode: new(c.mode()), Validity: &api.CertificateValidity{NotBefore: &c.NotBefore, NotAfter: &c.NotAfter},
	}}, nil
}

func (c *certificate) mode() string {
	if c.CA == "" {
		return api.CertificateModeSniOnly
	}
	return api.CertificateModeDefault
}

// ListCertificates lists certificates by ID.
func (s *Service) ListCertificates(ctx context.Context, in *api.ListCertificatesInput) (*api.ListCertificatesOutput, error) {
	if err := s.allow(ctx, "ListCertificates", "*"); err != nil {
		return nil, err
	}
	out := &api.ListCertificatesOutput{Certificates: []*api.Certificate{}}
	var err error
	out.NextMarker, err = list(ctx, s, page{in.Marker, in.PageSize, descending(in.AscendingOrder)}, func(id string, c *certificate) bool {
		out.Certificates = append(out.Certificates, &api.Certificate{
			CertificateArn: new(s.arn("cert", id)), CertificateId: &id, Status: &c.Status, CreationDate: &c.Created, CertificateMode: new(c.mode()),
		})
		return true
	}, rowCertificate)
	return out, err
}

func descending(ascending *bool) bool { return ascending != nil && !*ascending }

// UpdateCertificate makes a certificate active, inactive or, for good, revoked. What it was used to obtain ends with
// it, at once.
//
// Errors: ResourceNotFoundException, CertificateStateException (revoked), InvalidRequestException (another status).
func (s *Service) UpdateCertificate(ctx context.Context, in *api.UpdateCertificateInput) (*api.UpdateCertificateOutput, error) {
	id := *in.CertificateId
	if err := s.allow(ctx, "UpdateCertificate", s.arn("cert", id)); err != nil {
		return nil, err
	}
	switch *in.NewStatus {
	case api.CertificateStatusActive, api.CertificateStatusInactive, api.CertificateStatusRevoked:
	default:
		return nil, invalid("The status of a certificate can be set to ACTIVE, INACTIVE or REVOKED only.")
	}
	err := s.update(ctx, func(tx *change) error {
		c, err := get[certificate](tx, rowCertificate, id)
		if err != nil {
			return orNotFound(err, "Certificate", id)
		}
		if c.Status == api.CertificateStatusRevoked && *in.NewStatus != c.Status {
			return &api.CertificateStateException{Message: "A revoked certificate stays revoked."}
		}
		c.Status, c.Modified, c.Version = *in.NewStatus, s.date(), c.Version+1
		return tx.putCertificate(id, c)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "cert", id)
	return &api.UpdateCertificateOutput{}, nil
}

// DeleteCertificate deletes a certificate that is not active and that nothing is attached to; forceDelete detaches
// its policies.
//
// Errors: ResourceNotFoundException, CertificateStateException, DeleteConflictException.
func (s *Service) DeleteCertificate(ctx context.Context, in *api.DeleteCertificateInput) (*api.DeleteCertificateOutput, error) {
	id := *in.CertificateId
	if err := s.allow(ctx, "DeleteCertificate", s.arn("cert", id)); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *change) error {
		c, err := get[certificate](tx, rowCertificate, id)
		if err != nil {
			return orNotFound(err, "Certificate", id)
		}
		if c.Status == api.CertificateStatusActive {
			return &api.CertificateStateException{Message: "Certificate must be deactivated (not ACTIVE) before deletion."}
		}
		return s.deleteCertificate(tx, id, value(in.ForceDelete))
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "cert", id)
	return &api.DeleteCertificateOutput{}, nil
}

func (s *Service) deleteCertificate(tx *change, id string, force bool) error {
	things, err := names(tx, rowCertThing, id)
	if err != nil {
		return err
	}
	policies, err := names(tx, rowCertPolicy, id)
	switch {
	case err != nil:
		return err
	case len(things) > 0:
		return &api.DeleteConflictException{Message: "Things must be detached before deletion (arn: " + s.arn("cert", id) + ")"}
	case len(policies) > 0 && !force:
		return &api.DeleteConflictException{Message: "Certificate policies must be detached before deletion (arn: " + s.arn("cert", id) + ")"}
	}
	for _, p := range policies {
		tx.disconnect(rowCertPolicy, rowPolicyCert, id, p)
	}
	tx.deleteCertificate(id)
	return nil
}
