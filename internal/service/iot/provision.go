// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/meta"
)

// claimLife is how long a claim certificate can be used, as on AWS.
const claimLife = 5 * time.Minute

var thingName = regexp.MustCompile(`\A[a-zA-Z0-9:_-]{1,128}\z`)

// A plan is what a template body says: which thing to make, and the policies of its certificate.
type plan struct {
	parameters map[string]*string // defaults; nil for one that must be given
	name       expression
	typ        expression
	attributes map[string]expression
	policies   []string
}

// parseTemplate reads a template body: one thing, one certificate, policies by name. Whatever it does not know it
// refuses, so that nothing is left out silently.
//
// Source: IoT Core Developer Guide, "Provisioning templates".
func parseTemplate(body string) (*plan, error) {
	var doc struct {
		Parameters map[string]struct {
			Type    string
			Default *string
		}
		Resources map[string]struct {
			Type       string
			Properties json.RawMessage
		}
	}
	if err := strictly([]byte(body), &doc); err != nil {
		return nil, err
	}
	p := &plan{parameters: map[string]*string{}}
	for name, v := range doc.Parameters {
		if v.Type != "String" {
			return nil, fmt.Errorf("parameter %s is no String", name)
		}
		p.parameters[name] = v.Default
	}
	things, certificates := 0, 0
	for _, id := range slices.Sorted(maps.Keys(doc.Resources)) {
		r := doc.Resources[id]
		var err error
		switch r.Type {
		case "AWS::IoT::Thing":
			things++
			err = p.thing(r.Properties)
		case "AWS::IoT::Certificate":
			certificates++
			err = certificateProperties(r.Properties)
		case "AWS::IoT::Policy":
			err = p.policy(r.Properties)
		default:
			err = fmt.Errorf("type %q", r.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("resource %s: %w", id, err)
		}
	}
	if things != 1 || certificates != 1 {
		return nil, errors.New("it must have one thing and one certificate")
	}
	return p, nil
}

func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func (p *plan) thing(properties json.RawMessage) error {
	var in struct {
		ThingName, ThingTypeName expression
		AttributePayload         map[string]expression
	}
	if err := strictly(properties, &in); err != nil {
		return err
	}
	p.name, p.typ, p.attributes = in.ThingName, in.ThingTypeName, in.AttributePayload
	if p.name.parts == nil {
		return errors.New("ThingName is missing")
	}
	return nil
}

func certificateProperties(properties json.RawMessage) error {
	var in struct {
		CertificateId expression
		Status        string
	}
	if err := strictly(properties, &in); err != nil {
		return err
	}
	if in.Status != "" && !strings.EqualFold(in.Status, api.CertificateStatusActive) {
		return errors.New("the certificate's Status must be ACTIVE")
	}
	return nil
}

// policy takes a policy by its literal name, so that who makes the template can be asked whether it may attach it.
func (p *plan) policy(properties json.RawMessage) error {
	var in struct{ PolicyName string }
	if err := strictly(properties, &in); err != nil {
		return err
	}
	if in.PolicyName == "" {
		return errors.New("PolicyName is missing")
	}
	p.policies = append(p.policies, in.PolicyName)
	return nil
}

// An expression is a text, {"Ref": parameter} or {"Fn::Join": [separator, [expressions]]}.
type expression struct {
	separator string
	parts     []part
}

// part is a text or, when ref is set, a parameter.
type part struct {
	text string
	ref  string
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *expression) UnmarshalJSON(b []byte) error {
	if p, err := readPart(b); err == nil {
		e.parts = []part{p}
		return nil
	}
	var join struct {
		Join []json.RawMessage `json:"Fn::Join"`
	}
	if err := strictly(b, &join); err != nil || len(join.Join) != 2 {
		return errors.New("an expression must be a text, Ref or Fn::Join")
	}
	var parts []json.RawMessage
	if err := errors.Join(json.Unmarshal(join.Join[0], &e.separator), json.Unmarshal(join.Join[1], &parts)); err != nil {
		return err
	}
	for _, raw := range parts {
		p, err := readPart(raw)
		if err != nil {
			return err
		}
		e.parts = append(e.parts, p)
	}
	return nil
}

func readPart(b []byte) (part, error) {
	var text string
	if json.Unmarshal(b, &text) == nil {
		return part{text: text}, nil
	}
	var r struct{ Ref string }
	if err := strictly(b, &r); err != nil || r.Ref == "" {
		return part{}, errors.New("an expression must be a text, Ref or Fn::Join")
	}
	return part{ref: r.Ref}, nil
}

// value puts the parameters in.
func (e expression) value(p *plan, given map[string]string) (string, error) {
	var out []string
	for _, part := range e.parts {
		text := part.text
		if part.ref != "" {
			def, known := p.parameters[part.ref]
			v, ok := given[part.ref]
			switch {
			case !known:
				return "", fmt.Errorf("the template has no parameter %s", part.ref)
			case ok:
				text = v
			case def != nil:
				text = *def
			default:
				return "", fmt.Errorf("parameter %s is missing", part.ref)
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, e.separator), nil
}

// make is the thing that the plan makes of the parameters.
func (p *plan) make(given map[string]string) (name string, t *thing, err error) {
	if name, err = p.name.value(p, given); err != nil {
		return "", nil, err
	}
	if !thingName.MatchString(name) {
		return "", nil, errors.New("the parameters make no thing name")
	}
	t = &thing{ID: newID(), Version: 1}
	if t.Type, err = p.typ.value(p, given); err != nil {
		return "", nil, err
	}
	for k, e := range p.attributes {
		v, err := e.value(p, given)
		if err != nil {
			return "", nil, err
		}
		if t.Attributes == nil {
			t.Attributes = map[string]string{}
		}
		t.Attributes[k] = v
	}
	return name, t, checkAttributes(t.Attributes, t.Type != "")
}

// CreateProvisioningClaim makes a certificate, with its key, that is good for five minutes and for nothing but to
// become things of the template.
//
// Errors: ResourceNotFoundException.
func (s *Service) CreateProvisioningClaim(ctx context.Context, in *api.CreateProvisioningClaimInput) (*api.CreateProvisioningClaimOutput, error) {
	name := *in.TemplateName
	if err := s.allow(ctx, "CreateProvisioningClaim", s.arn("provisioningtemplate", name)); err != nil {
		return nil, err
	}
	if _, err := s.template(ctx, name); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	signed, err := s.ca.sign(key.Public(), pkix.Name{CommonName: "claim"}, s.now(), s.date().Add(claimLife))
	if err != nil {
		return nil, err
	}
	id, c := CertificateID(signed.Raw), s.newCertificate(signed, api.CertificateStatusActive)
	c.CA, c.Claim = CertificateID(s.ca.Certificate.Raw), name
	if err := s.update(ctx, func(tx *change) error { return tx.putCertificate(id, c) }); err != nil {
		return nil, err
	}
	s.note(ctx, "cert", id)
	return &api.CreateProvisioningClaimOutput{
		CertificateId: &id, CertificatePem: &c.PEM, Expiration: &c.NotAfter,
		KeyPair: &api.KeyPair{PrivateKey: new(encodePEM("PRIVATE KEY", private)), PublicKey: new(encodePEM("PUBLIC KEY", public))},
	}, nil
}

// Provision makes a device with a claim certificate a thing of the claim's template. A thing that has a certificate
// in force already is not given to somebody else.
//
// Errors: AccessDeniedException (403), InvalidRequestException, ResourceNotFoundException, ConflictException (409).
func (s *Service) Provision(ctx context.Context, h Holder, templateName, csrPEM string, parameters map[string]string) (*Enrolment, error) {
	h.ThingName = ""
	d, err := s.hold(ctx, h, true)
	if err != nil {
		return nil, err
	}
	if d.cert.Claim != templateName {
		return nil, refused(textDenied)
	}
	csr, err := parseCSR(csrPEM)
	if err != nil {
		return nil, invalid("The certificate signing request is not valid: %v.", err)
	}
	var out *Enrolment
	err = s.update(ctx, func(tx *change) error {
		row, err := get[template](tx, rowTemplate, templateName)
		if err != nil || !row.Enabled {
			return errors.Join(orNotFound(err, "Template", templateName), refused(textDenied))
		}
		p, err := parseTemplate(row.Body)
		if err != nil {
			return err
		}
		name, t, err := p.make(parameters)
		if err != nil {
			return invalid("The template cannot be applied: %v.", err)
		}
		if err := s.claim(tx, name, t); err != nil {
			return err
		}
		id, c, err := s.give(tx, csr, name, p.policies...)
		if err != nil {
			return err
		}
		out = s.enrolment(name, "", id, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "thing", out.ThingName)
	s.note(ctx, "cert", out.CertificateID)
	return out, nil
}

// claim makes the thing, or takes one that is nobody's.
func (s *Service) claim(tx *change, name string, t *thing) error {
	attached, err := names(tx, rowThingCert, name)
	if err != nil {
		return err
	}
	for _, id := range attached {
		if s.InForce(id) {
			return protocol.NewError("ConflictException", 409, "The thing has a certificate that is in force.")
		}
	}
	if err := usableType(tx, t.Type); err != nil {
		return err
	}
	if old, err := get[thing](tx, rowThing, name); err == nil {
		t.ID, t.Version = old.ID, old.Version+1
	} else if !errors.Is(err, meta.ErrNotFound) {
		return err
	}
	return put(tx, t, rowThing, name)
}
