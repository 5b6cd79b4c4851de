// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/policy"
)

// The texts of the credential provider.
//
// Source: IoT Core Developer Guide, "Authorizing direct calls to AWS services", and the Kinesis Video producer SDKs.
const (
	textDenied    = "Access Denied"
	textWrongName = "Invalid thing name passed"
	textNoAlias   = "Role alias does not exist"
)

func refused(message string) error { return protocol.NewError("AccessDeniedException", 403, message) }

// retirement is how long a certificate that was renewed stays in force after its successor was used first.
const retirement = time.Hour

// A Holder is a device that has proven, in a TLS handshake, to hold the key of a certificate.
type Holder struct {
	// DER is the certificate.
	DER []byte
	// ThingName is the thing that the device says it is; may be empty.
	ThingName string
}

// holding is what is known of a holder.
type holding struct {
	id     string
	cert   *certificate
	things []string
	thing  *thing // the named one, or the only one
	name   string
	docs   []*policy.Document
}

// hold finds out about a holder. claim says whether a claim certificate is wanted, or none.
//
// Errors: AccessDeniedException (403).
func (s *Service) hold(ctx context.Context, h Holder, claim bool) (*holding, error) {
	access.Exempt(ctx) // decided here, by certificate and IoT policies
	d := &holding{id: CertificateID(h.DER), name: h.ThingName}
	if !s.InForce(d.id) {
		return nil, refused(textDenied)
	}
	s.note(ctx, "cert", d.id)
	err := s.db.View(ctx, func(r meta.Reader) (err error) {
		if d.cert, err = get[certificate](r, rowCertificate, d.id); err != nil {
			return err
		}
		if d.things, err = names(r, rowCertThing, d.id); err != nil {
			return err
		}
		if err := d.choose(r); err != nil {
			return err
		}
		return d.readPolicies(r)
	})
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return nil, refused(textDenied)
	case err != nil:
		return nil, err
	case claim != (d.cert.Claim != ""):
		return nil, refused(textDenied)
	}
	return d, nil
}

// choose finds the thing that the device is. What it says must be true.
func (d *holding) choose(r meta.Reader) (err error) {
	if d.name == "" {
		return nil
	}
	for _, name := range d.things {
		if name == d.name {
			d.thing, err = get[thing](r, rowThing, name)
			return err
		}
	}
	return refused(textWrongName)
}

func (d *holding) readPolicies(r meta.Reader) error {
	attached, err := names(r, rowCertPolicy, d.id)
	if err != nil {
		return err
	}
	for _, name := range attached {
		p, err := get[policyRow](r, rowPolicy, name)
		if err != nil {
			return err
		}
		doc, err := policy.Parse([]byte(p.Document), policy.Identity)
		if err != nil {
			return err
		}
		d.docs = append(d.docs, doc)
	}
	return nil
}

// may decides by the policies attached to the certificate.
func (s *Service) may(ctx context.Context, d *holding, action, resource string) bool {
	now := s.now().UTC()
	keys := policy.Map{}
	keys.Set("aws:currenttime", now.Format(time.RFC3339))
	keys.Set("aws:epochtime", strconv.FormatInt(now.Unix(), 10))
	if call, ok := access.FromContext(ctx); ok {
		keys.Set("aws:securetransport", strconv.FormatBool(call.SecureTransport))
		if call.SourceIP != "" {
			keys.Set("aws:sourceip", call.SourceIP)
		}
	}
	if d.thing != nil {
		keys.Set("iot:connection.thing.thingname", d.name)
		keys.Set("iot:connection.thing.isattached", "true")
		if d.thing.Type != "" {
			keys.Set("iot:connection.thing.thingtypename", d.thing.Type)
		}
	}
	decision := policy.Evaluate(policy.Request{
		Action: action, Resource: resource, Context: keys,
		Principal: policy.Principal{Kind: policy.User, ARN: s.arn("cert", d.id), Account: s.account, UniqueID: d.id},
	}, policy.PolicySet{Identity: d.docs, ResourceAccount: s.account})
	return decision.Allowed
}

// AssumeRoleWithCertificate hands out temporary credentials of a role alias's role, which end with the certificate.
//
// A policy attached to the certificate must allow iot:AssumeRoleWithCertificate on the role alias, and the role must
// trust credentials.iot.amazonaws.com. Whether an alias exists is told only to who may use it.
//
// Errors: AccessDeniedException (403), ResourceNotFoundException (404).
func (s *Service) AssumeRoleWithCertificate(ctx context.Context, h Holder, alias string) (*stsapi.Credentials, error) {
	d, err := s.hold(ctx, h, false)
	if err != nil {
		return nil, err
	}
	arn := s.arn("rolealias", alias)
	if !s.may(ctx, d, "iot:AssumeRoleWithCertificate", arn) {
		return nil, refused(textDenied)
	}
	s.note(ctx, "rolealias", alias)
	var a *roleAlias
	err = s.db.View(ctx, func(r meta.Reader) (err error) { a, err = get[roleAlias](r, rowAlias, alias); return err })
	if errors.Is(err, meta.ErrNotFound) {
		return nil, protocol.NewError("ResourceNotFoundException", 404, textNoAlias)
	}
	if err != nil {
		return nil, err
	}
	access.AddResource(ctx, a.RoleARN, "AWS::IAM::Role")
	device := access.Device{CertificateID: d.id, ThingName: d.name}
	if d.thing != nil {
		device.ThingTypeName = d.thing.Type
	}
	c, err := s.sessions.AssumeRoleForDevice(ctx, Session{
		RoleARN: a.RoleARN, RoleAliasARN: arn, Device: device, Lifetime: time.Duration(a.Seconds) * time.Second,
	})
	if errors.As(err, new(*access.Denied)) {
		return nil, refused(textDenied)
	}
	if err != nil {
		return nil, err
	}
	return c, s.retire(ctx, d)
}

// retire ends the certificate that this one replaced, some time after the device has shown that it uses the new one.
func (s *Service) retire(ctx context.Context, d *holding) error {
	if d.cert.Replaces == "" {
		return nil
	}
	return s.update(ctx, func(tx *change) error {
		c, err := get[certificate](tx, rowCertificate, d.id)
		if err != nil || c.Replaces == "" {
			return err
		}
		old, err := get[certificate](tx, rowCertificate, c.Replaces)
		switch {
		case err == nil:
			old.Retires = new(s.date().Add(retirement))
			err = tx.putCertificate(c.Replaces, old)
		case errors.Is(err, meta.ErrNotFound):
			err = nil
		}
		c.Replaces = ""
		return errors.Join(err, tx.putCertificate(d.id, c))
	})
}
