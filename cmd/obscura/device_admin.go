// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	iotapi "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// deviceAdmin calls IoT and IAM with an administrator's credentials.
type deviceAdmin struct {
	conn *connection
	http *http.Client
	iot  *iotapi.Client
}

func (g *target) admin() (*deviceAdmin, error) {
	conn, err := g.find()
	if err != nil {
		return nil, err
	}
	a := &deviceAdmin{conn: conn, http: conn.httpClient()}
	a.iot = iotapi.NewClient(protocol.Client{
		Endpoint: cmp.Or(conn.endpoint, "https://iot."+conn.region+".amazonaws.com"), HTTP: a.http,
		Sign: func(r *http.Request, payload []byte) error { return a.sign(r, payload, conn.region, "iot") },
	})
	return a, nil
}

// httpClient is for calls that are answered soon.
func (c *connection) httpClient() *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true},
	}
}

func (a *deviceAdmin) sign(r *http.Request, payload []byte, region, service string) error {
	k, err := a.conn.credentials(r.Context())
	if err == nil {
		sigv4.Sign(r, sigv4.HashBody(payload), k, region, service, time.Now())
	}
	return err
}

// query makes one call of a service of the query protocol. Errors that the service reports are
// *protocol.ResponseError.
func (a *deviceAdmin) query(ctx context.Context, service, version, action string, out any, parameters ...string) error {
	form := url.Values{"Action": {action}, "Version": {version}}
	for i := 0; i+1 < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	body := form.Encode()
	endpoint := cmp.Or(a.conn.endpoint, "https://"+service+".amazonaws.com")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(endpoint, "/")+"/", strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := a.sign(r, []byte(body), a.conn.region, service); err != nil {
		return err
	}
	resp, err := a.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := xml.NewDecoder(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode == http.StatusOK {
		return answer.Decode(out)
	}
	var failure struct {
		Code      string `xml:"Error>Code"`
		Message   string `xml:"Error>Message"`
		RequestID string `xml:"RequestId"`
	}
	_ = answer.Decode(&failure) // what is there has to do
	return &protocol.ResponseError{
		Code: cmp.Or(failure.Code, resp.Status), Message: failure.Message, Status: resp.StatusCode, RequestID: failure.RequestID,
	}
}

func (a *deviceAdmin) iam(ctx context.Context, action string, parameters ...string) error {
	return a.query(ctx, "iam", "2010-05-08", action, new(struct{}), parameters...)
}

// coded says whether the service reported an error of this code.
func coded(err error, code string) bool {
	e, ok := errors.AsType[*protocol.ResponseError](err)
	return ok && e.Code == code
}

const (
	defaultRoleAlias = "obscura-device"
	deviceRole       = "obscura-device"
)

// policyFor names the IoT policy that lets a certificate ask for a role alias.
func policyFor(alias string) string {
	if alias == defaultRoleAlias {
		return alias
	}
	return "obscura-alias-" + alias
}

const deviceTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"credentials.iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// devicePermissions is the least that a producer needs that makes its own stream: on the stream of its name alone.
const devicePermissions = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
	`"Action":["kinesisvideo:CreateStream","kinesisvideo:DescribeStream","kinesisvideo:GetDataEndpoint","kinesisvideo:PutMedia"],` +
	`"Resource":"arn:aws:kinesisvideo:*:*:stream/${credentials-iot:ThingName}/*"}]}`

// householdPermissions is what a camera needs of the mailbox to be paired and to follow a roster, in any household's box.
const householdPermissions = `{"Version":"2012-10-17","Statement":[` +
	`{"Effect":"Allow","Action":"mailbox:GetObject","Resource":["arn:aws:mailbox:*:*:box/*/roster/*","arn:aws:mailbox:*:*:box/*/certificate/*","arn:aws:mailbox:*:*:box/*/pairing/*"]},` +
	`{"Effect":"Allow","Action":"mailbox:ListObjects","Resource":"arn:aws:mailbox:*:*:box/*","Condition":{"StringLike":{"mailbox:prefix":["roster/*","certificate/*","pairing/*"]}}},` +
	`{"Effect":"Allow","Action":"mailbox:PutObject","Resource":"arn:aws:mailbox:*:*:box/*/pairing/*"}]}`

// setUp makes what a device that asks for alias needs, where it is missing. A role alias of the operator's own is
// not made.
func (a *deviceAdmin) setUp(ctx context.Context, t *terminal, alias string) error {
	described, err := a.iot.DescribeRoleAlias(ctx, &iotapi.DescribeRoleAliasInput{RoleAlias: &alias})
	switch {
	case err == nil:
	case alias != defaultRoleAlias || !coded(err, "ResourceNotFoundException"):
		return err
	default:
		if err := a.makeRole(ctx, t); err != nil {
			return err
		}
		if described, err = a.iot.DescribeRoleAlias(ctx, &iotapi.DescribeRoleAliasInput{RoleAlias: &alias}); err != nil {
			return err
		}
	}
	name := policyFor(alias)
	document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:AssumeRoleWithCertificate","Resource":"` +
		*described.RoleAliasDescription.RoleAliasArn + `"}]}`
	_, err = a.iot.GetPolicy(ctx, &iotapi.GetPolicyInput{PolicyName: &name})
	if !coded(err, "ResourceNotFoundException") {
		return err
	}
	_, err = a.iot.CreatePolicy(ctx, &iotapi.CreatePolicyInput{PolicyName: &name, PolicyDocument: &document})
	if err == nil {
		t.note("made the IoT policy %s", name)
	}
	return err
}

func (a *deviceAdmin) makeRole(ctx context.Context, t *terminal) error {
	caller, err := a.account(ctx)
	if err != nil {
		return err
	}
	err = a.iam(ctx, "CreateRole", "RoleName", deviceRole, "AssumeRolePolicyDocument", deviceTrust,
		"Description", "what enrolled devices may do: send to the stream of their name")
	switch {
	case err == nil:
		t.note("made the role %s", deviceRole)
		for name, document := range map[string]string{"own-stream": devicePermissions, "household": householdPermissions} {
			if err := a.iam(ctx, "PutRolePolicy", "RoleName", deviceRole, "PolicyName", name, "PolicyDocument", document); err != nil {
				return err
			}
		}
	case !coded(err, "EntityAlreadyExists"):
		return err
	}
	_, err = a.iot.CreateRoleAlias(ctx, &iotapi.CreateRoleAliasInput{
		RoleAlias: new(defaultRoleAlias), RoleArn: new("arn:aws:iam::" + caller + ":role/" + deviceRole),
	})
	if err == nil {
		t.note("made the role alias %s", defaultRoleAlias)
	}
	return err
}

// account is the account of the credentials in use.
func (a *deviceAdmin) account(ctx context.Context) (string, error) {
	var answer struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	err := a.query(ctx, "sts", "2011-06-15", "GetCallerIdentity", &answer)
	return answer.Account, err
}

// devices lists every thing with its certificates, and the open invitations.
func (a *deviceAdmin) devices(ctx context.Context) ([]deviceRow, error) {
	rows := []deviceRow{}
	for in := new(iotapi.ListThingsInput); ; {
		out, err := a.iot.ListThings(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, thing := range out.Things {
			more, err := a.certificates(ctx, *thing.ThingName)
			if err != nil {
				return nil, err
			}
			rows = append(rows, more...)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	err := a.invitations(ctx, func(i *iotapi.EnrolmentTokenSummary) error {
		status := "INVITED"
		if i.ExpirationDate.Before(time.Now()) {
			status = "INVITATION EXPIRED"
		}
		rows = append(rows, deviceRow{ThingName: *i.ThingName, Status: status, TokenID: *i.TokenId, Expires: i.ExpirationDate})
		return nil
	})
	slices.SortStableFunc(rows, func(a, b deviceRow) int { return strings.Compare(a.ThingName, b.ThingName) })
	return rows, err
}

// certificates lists the certificates of one thing; one without any is a row, too.
func (a *deviceAdmin) certificates(ctx context.Context, name string) ([]deviceRow, error) {
	ids, err := a.certificateIDs(ctx, name)
	if err != nil {
		return nil, err
	}
	var rows []deviceRow
	for _, id := range ids {
		d, err := a.iot.DescribeCertificate(ctx, &iotapi.DescribeCertificateInput{CertificateId: &id})
		if err != nil {
			return nil, err
		}
		c := d.CertificateDescription
		rows = append(rows, deviceRow{ThingName: name, Status: *c.Status, CertificateID: id, Expires: c.Validity.NotAfter})
	}
	if rows == nil {
		rows = []deviceRow{{ThingName: name, Status: "NO CERTIFICATE"}}
	}
	return rows, nil
}

func (a *deviceAdmin) certificateIDs(ctx context.Context, name string) (ids []string, err error) {
	for in := (&iotapi.ListThingPrincipalsInput{ThingName: &name}); ; {
		out, err := a.iot.ListThingPrincipals(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, arn := range out.Principals {
			ids = append(ids, arn[strings.LastIndexByte(arn, '/')+1:])
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return ids, nil
		}
	}
}

func (a *deviceAdmin) invitations(ctx context.Context, do func(*iotapi.EnrolmentTokenSummary) error) error {
	for in := new(iotapi.ListEnrolmentTokensInput); ; {
		out, err := a.iot.ListEnrolmentTokens(ctx, in)
		if err != nil {
			return err
		}
		for _, i := range out.EnrolmentTokens {
			if err := do(i); err != nil {
				return err
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return nil
		}
	}
}

// revoke ends everything by which a device proves who it is, or could begin to.
func (a *deviceAdmin) revoke(ctx context.Context, name string) (certificates, tokens int, err error) {
	err = a.invitations(ctx, func(i *iotapi.EnrolmentTokenSummary) error {
		if *i.ThingName != name {
			return nil
		}
		tokens++
		_, err := a.iot.DeleteEnrolmentToken(ctx, &iotapi.DeleteEnrolmentTokenInput{TokenId: i.TokenId})
		return err
	})
	if err != nil {
		return 0, tokens, err
	}
	ids, err := a.certificateIDs(ctx, name)
	if tokens > 0 && coded(err, "ResourceNotFoundException") {
		return 0, tokens, nil // it was invited and never came
	}
	for _, id := range ids {
		_, err := a.iot.UpdateCertificate(ctx, &iotapi.UpdateCertificateInput{CertificateId: &id, NewStatus: new(iotapi.CertificateStatusRevoked)})
		if err != nil {
			return certificates, tokens, err
		}
		certificates++
	}
	return certificates, tokens, err
}
