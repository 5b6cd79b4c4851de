// SPDX-License-Identifier: Apache-2.0

package clerk

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

type deviceWork struct {
	*iot.Client
	server *rig.Server

	mu    sync.Mutex
	known map[string]string // certificate id → its public key
}

func newDeviceWork(s *rig.Server) *deviceWork {
	return &deviceWork{server: s, known: map[string]string{}, Client: iot.NewClient(protocol.Client{Endpoint: s.API, HTTP: s.HTTP, Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), s.Root, s.Region, "iot", time.Now())
		return nil
	}})}
}

// request makes a key and a certificate request, once for an item.
func request(it *Item) (csr string, err error) {
	if it.Notes["csr"] != "" {
		return it.Notes["csr"], nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return "", err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", err
	}
	it.Notes["public"] = string(public)
	it.Notes["csr"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	return it.Notes["csr"], nil
}

func certificateARN(it *Item) *string {
	return new("arn:aws:iot:" + rig.Region + ":" + rig.Account + ":cert/" + it.Notes["certificate"])
}

func iotPolicy() *string {
	return new(policyOf("iot:AssumeRoleWithCertificate"))
}

// thingTrade makes a thing, a certificate and a policy, ties them together, and undoes it all.
func thingTrade(s *rig.Server) Trade {
	w := newDeviceWork(s)
	name := func(it *Item) *string { return &it.Name }
	return Trade{Name: "thing", Observe: w.observe, Steps: []Step{
		{Event: "CreateThing", Do: does(w.CreateThing, func(it *Item) *iot.CreateThingInput {
			return &iot.CreateThingInput{ThingName: name(it), AttributePayload: &iot.AttributePayload{Attributes: map[string]string{"room": "1", "floor": "2"}}}
		}), Then: is("thing", "map[floor:2 room:1]")},
		{Event: "CreatePolicy", Do: does(w.CreatePolicy, func(it *Item) *iot.CreatePolicyInput {
			return &iot.CreatePolicyInput{PolicyName: name(it), PolicyDocument: iotPolicy()}
		}), Then: is("policy", *iotPolicy())},
		{Event: "CreateCertificateFromCsr", Do: w.certify, Then: is("certificate", "ACTIVE")},
		{Event: "AttachPolicy", Do: does(w.AttachPolicy, func(it *Item) *iot.AttachPolicyInput {
			return &iot.AttachPolicyInput{PolicyName: name(it), Target: certificateARN(it)}
		}), Then: is("certificate/policies", "1", "policy/targets", "1")},
		{Event: "AttachThingPrincipal", Do: does(w.AttachThingPrincipal, func(it *Item) *iot.AttachThingPrincipalInput {
			return &iot.AttachThingPrincipalInput{ThingName: name(it), Principal: certificateARN(it)}
		}), Then: is("certificate/things", "1", "thing/certificates", "1")},
		{Event: "UpdateThing", Do: does(w.UpdateThing, func(it *Item) *iot.UpdateThingInput {
			return &iot.UpdateThingInput{ThingName: name(it), AttributePayload: &iot.AttributePayload{Attributes: map[string]string{"room": "3"}}}
		}), Then: is("thing", "map[room:3]")},
		{Event: "UpdateCertificate", Do: does(w.UpdateCertificate, func(it *Item) *iot.UpdateCertificateInput {
			return &iot.UpdateCertificateInput{CertificateId: new(it.Notes["certificate"]), NewStatus: new("INACTIVE")}
		}), Then: is("certificate", "INACTIVE")},
		{Event: "DetachThingPrincipal", Do: does(w.DetachThingPrincipal, func(it *Item) *iot.DetachThingPrincipalInput {
			return &iot.DetachThingPrincipalInput{ThingName: name(it), Principal: certificateARN(it)}
		}), Then: ends("certificate/things", "thing/certificates")},
		{Event: "DeleteCertificate", Do: does(w.DeleteCertificate, func(it *Item) *iot.DeleteCertificateInput {
			return &iot.DeleteCertificateInput{CertificateId: new(it.Notes["certificate"]), ForceDelete: new(true)}
		}), Then: ends("certificate", "certificate/", "policy/targets")},
		{Event: "DeletePolicy", Do: does(w.DeletePolicy, func(it *Item) *iot.DeletePolicyInput {
			return &iot.DeletePolicyInput{PolicyName: name(it)}
		}), Then: ends("policy")},
		{Event: "DeleteThing", Do: does(w.DeleteThing, func(it *Item) *iot.DeleteThingInput {
			return &iot.DeleteThingInput{ThingName: name(it)}
		}), Then: ends("thing")},
	}}
}

// enrolTrade lets a device enrol by a token.
func enrolTrade(s *rig.Server) Trade {
	w := newDeviceWork(s)
	name := func(it *Item) *string { return &it.Name }
	role := func(n int64) func(*Item) *iot.CreateRoleAliasInput {
		return func(it *Item) *iot.CreateRoleAliasInput {
			return &iot.CreateRoleAliasInput{RoleAlias: name(it), RoleArn: new(account + "role/camera"), CredentialDurationSeconds: &n}
		}
	}
	token := func(it *Item) *iot.CreateEnrolmentTokenInput {
		return &iot.CreateEnrolmentTokenInput{ThingName: name(it), PolicyName: name(it), RoleAlias: name(it)}
	}
	return Trade{Name: "device", Observe: w.observe, Steps: []Step{
		{Event: "CreatePolicy", Do: does(w.CreatePolicy, func(it *Item) *iot.CreatePolicyInput {
			return &iot.CreatePolicyInput{PolicyName: name(it), PolicyDocument: iotPolicy()}
		}), Then: is("policy", *iotPolicy())},
		{Event: "CreateRoleAlias", Do: does(w.CreateRoleAlias, role(900)), Then: is("alias", "900")},
		{Event: "UpdateRoleAlias", Do: does(w.UpdateRoleAlias, func(it *Item) *iot.UpdateRoleAliasInput {
			return &iot.UpdateRoleAliasInput{RoleAlias: name(it), CredentialDurationSeconds: new(int64(1800))}
		}), Then: is("alias", "1800")},
		{Event: "CreateEnrolmentToken", Do: func(ctx context.Context, it *Item) error {
			out, err := w.CreateEnrolmentToken(ctx, token(it))
			if err == nil {
				it.Notes["token"] = *out.EnrolmentToken
			}
			return err
		}, Then: is("token", "1")},
		{
			Event: "RedeemEnrolmentToken", Do: w.redeem, Possible: func(it *Item) bool { return it.Notes["token"] != "" },
			Then: both(ends("token"), is("thing", "map[]", "certificate", "ACTIVE", "certificate/policies", "1", "policy/targets", "1",
				"certificate/things", "1", "thing/certificates", "1")),
		},
		{Event: "DeleteRoleAlias", Do: does(w.DeleteRoleAlias, func(it *Item) *iot.DeleteRoleAliasInput {
			return &iot.DeleteRoleAliasInput{RoleAlias: name(it)}
		}), Then: ends("alias")},
	}}
}

func (w *deviceWork) certify(ctx context.Context, it *Item) error {
	csr, err := request(it)
	if err != nil {
		return err
	}
	out, err := w.CreateCertificateFromCsr(ctx, &iot.CreateCertificateFromCsrInput{CertificateSigningRequest: &csr, SetAsActive: new(true)})
	if err == nil {
		it.Notes["certificate"] = *out.CertificateId
	}
	return err
}

// refusal is an answer that says no.
type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprint(r.status, " ", r.body) }

// ErrorCode makes it one of the errors that are the server's word.
func (r *refusal) ErrorCode() string { return fmt.Sprint(r.status) }

// strangersWait keeps within what the server allows those who show no certificate: five calls a second.
const strangersWait = 250 * time.Millisecond

// redeem does what `obscura device enroll` does.
func (w *deviceWork) redeem(ctx context.Context, it *Item) error {
	csr, err := request(it)
	if err != nil {
		return err
	}
	time.Sleep(strangersWait)
	body, err := json.Marshal(map[string]string{"enrolmentToken": it.Notes["token"], "certificateSigningRequest": csr})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.server.Device+"/enrolment", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := w.server.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return &refusal{resp.StatusCode, string(answer)}
	}
	var out struct {
		CertificateID string `json:"certificateId"`
	}
	err = json.Unmarshal(answer, &out)
	it.Notes["certificate"] = out.CertificateID
	return err
}

func (w *deviceWork) observe(ctx context.Context, it *Item) (Facts, error) {
	f := Facts{}
	if it.Notes["certificate"] == "" && it.Notes["public"] != "" {
		if err := w.find(ctx, it); err != nil {
			return nil, err
		}
	}
	return f, look(
		func() error { return w.oneThing(ctx, it, f) },
		func() error { return w.onePolicy(ctx, it, f) },
		func() error { return w.oneCertificate(ctx, it, f) },
		func() error {
			out, err := w.DescribeRoleAlias(ctx, &iot.DescribeRoleAliasInput{RoleAlias: &it.Name})
			if err == nil {
				f["alias"] = fmt.Sprint(*out.RoleAliasDescription.CredentialDurationSeconds)
			}
			return err
		},
		func() error { return w.tokens(ctx, it, f) },
	)
}

func (w *deviceWork) oneThing(ctx context.Context, it *Item, f Facts) error {
	thing, err := w.DescribeThing(ctx, &iot.DescribeThingInput{ThingName: &it.Name})
	if err != nil {
		return err
	}
	f["thing"] = fmt.Sprint(thing.Attributes)
	holders, err := w.ListThingPrincipals(ctx, &iot.ListThingPrincipalsInput{ThingName: &it.Name})
	if err == nil {
		f.count("thing/certificates", len(holders.Principals))
	}
	return err
}

func (w *deviceWork) onePolicy(ctx context.Context, it *Item, f Facts) error {
	policy, err := w.GetPolicy(ctx, &iot.GetPolicyInput{PolicyName: &it.Name})
	if err != nil {
		return err
	}
	f["policy"] = compact(*policy.PolicyDocument)
	targets, err := w.ListTargetsForPolicy(ctx, &iot.ListTargetsForPolicyInput{PolicyName: &it.Name})
	if err == nil {
		f.count("policy/targets", len(targets.Targets))
	}
	return err
}

func (w *deviceWork) oneCertificate(ctx context.Context, it *Item, f Facts) error {
	if it.Notes["certificate"] == "" {
		return nil
	}
	c, err := w.DescribeCertificate(ctx, &iot.DescribeCertificateInput{CertificateId: new(it.Notes["certificate"])})
	if err != nil {
		return err
	}
	f["certificate"] = *c.CertificateDescription.Status
	policies, err := w.ListAttachedPolicies(ctx, &iot.ListAttachedPoliciesInput{Target: certificateARN(it)})
	if err != nil {
		return err
	}
	f.count("certificate/policies", len(policies.Policies))
	things, err := w.ListPrincipalThings(ctx, &iot.ListPrincipalThingsInput{Principal: certificateARN(it)})
	if err == nil {
		f.count("certificate/things", len(things.Things))
	}
	return err
}

func (w *deviceWork) tokens(ctx context.Context, it *Item, f Facts) error {
	n := 0
	for in := (&iot.ListEnrolmentTokensInput{}); ; {
		page, err := w.ListEnrolmentTokens(ctx, in)
		if err != nil {
			return err
		}
		for _, t := range page.EnrolmentTokens {
			if *t.ThingName == it.Name {
				n++
			}
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			f.count("token", n)
			return nil
		}
	}
}

// find looks for the certificate of an item's key, when the answer that named it was lost.
func (w *deviceWork) find(ctx context.Context, it *Item) error {
	for in := (&iot.ListCertificatesInput{}); ; {
		page, err := w.ListCertificates(ctx, in)
		if err != nil {
			return err
		}
		for _, c := range page.Certificates {
			public, err := w.publicKey(ctx, *c.CertificateId)
			if err != nil {
				return err
			}
			if public == it.Notes["public"] {
				it.Notes["certificate"] = *c.CertificateId
				return nil
			}
		}
		if in.Marker = page.NextMarker; in.Marker == nil {
			return nil
		}
	}
}

func (w *deviceWork) publicKey(ctx context.Context, id string) (string, error) {
	w.mu.Lock()
	known, ok := w.known[id]
	w.mu.Unlock()
	if ok {
		return known, nil
	}
	out, err := w.DescribeCertificate(ctx, &iot.DescribeCertificateInput{CertificateId: &id})
	if err != nil {
		return "", orGone(err)
	}
	block, _ := pem.Decode([]byte(*out.CertificateDescription.CertificatePem))
	if block == nil {
		return "", fmt.Errorf("certificate %s is no PEM", id)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[id] = string(c.RawSubjectPublicKeyInfo)
	return w.known[id], nil
}

// orGone forgives that something was deleted by another clerk since it was listed.
func orGone(err error) error {
	if isAbsent(err) {
		return nil
	}
	return err
}
