// SPDX-License-Identifier: Apache-2.0

package secrecy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/producer"
	"github.com/obscura-video/obscura/test/rig"
)

const account = "arn:aws:iam::" + rig.Account + ":"

func (x *run) session(name string, c *ststypes.Credentials, err error) sigv4.Credentials {
	x.t.Helper()
	x.ok(err)
	x.addText(name+" secret access key", c.SecretAccessKey)
	x.addText(name+" session token", c.SessionToken)
	return sigv4.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
}

// useIdentities makes access keys and sessions of every kind, and has some refused.
func (x *run) useIdentities() {
	x.t.Helper()
	ana := x.User(x.t, "ana", rig.Allow("sts:*", "*", "iam:*", "*"))
	x.add("a secret access key", []byte(ana.SecretAccessKey))
	c := iam.NewFromConfig(x.V2(x.Root))
	second, err := c.CreateAccessKey(x.ctx(), &iam.CreateAccessKeyInput{UserName: aws.String("ana")})
	x.ok(err)
	x.addText("a secret access key", second.AccessKey.SecretAccessKey)
	_, err = c.UpdateAccessKey(x.ctx(), &iam.UpdateAccessKeyInput{UserName: aws.String("ana"), AccessKeyId: second.AccessKey.AccessKeyId, Status: iamtypes.StatusTypeInactive})
	x.ok(err)
	inactive := sigv4.Credentials{AccessKeyID: *second.AccessKey.AccessKeyId, SecretAccessKey: *second.AccessKey.SecretAccessKey}
	_, err = kms.NewFromConfig(x.V2(inactive)).ListKeys(x.ctx(), &kms.ListKeysInput{})
	x.refused("an inactive key", err)

	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `root","Service":"credentials.iot.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	_, err = c.CreateRole(x.ctx(), &iam.CreateRoleInput{RoleName: aws.String("camera"), AssumeRolePolicyDocument: &trust})
	x.ok(err)
	s := sts.NewFromConfig(x.V2(ana))
	role, err := s.AssumeRole(x.ctx(), &sts.AssumeRoleInput{RoleArn: aws.String(account + "role/camera"), RoleSessionName: aws.String("door")})
	x.ok(err)
	assumed := x.session("a role's", role.Credentials, err)
	token, err := s.GetSessionToken(x.ctx(), &sts.GetSessionTokenInput{})
	x.ok(err)
	x.session("a user's", token.Credentials, err)
	guest, err := s.GetFederationToken(x.ctx(), &sts.GetFederationTokenInput{Name: aws.String("guest")})
	x.ok(err)
	federated := x.session("a guest's", guest.Credentials, err)
	x.errors.text.WriteString(provoke(x.t, x.Server, federated))
	_, err = kms.NewFromConfig(x.V2(assumed)).ListKeys(x.ctx(), &kms.ListKeysInput{})
	x.refused("a role without permission", err)
	assumed.SessionToken = assumed.SessionToken[:len(assumed.SessionToken)-8] + "AAAAAAAA"
	_, err = kms.NewFromConfig(x.V2(assumed)).ListKeys(x.ctx(), &kms.ListKeysInput{})
	x.refused("a changed token", err)
}

const fleet = `{"Parameters":{"Serial":{"Type":"String"}},"Resources":{
	"thing":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":{"Ref":"Serial"}}},
	"cert":{"Type":"AWS::IoT::Certificate","Properties":{"CertificateId":{"Ref":"AWS::IoT::Certificate::Id"},"Status":"Active"}},
	"policy":{"Type":"AWS::IoT::Policy","Properties":{"PolicyName":"camera"}}}}`

// useDevices enrols one device by a token and another by a claim, and has the first get credentials.
func (x *run) useDevices() {
	x.t.Helper()
	c := iot.NewClient(protocol.Client{Endpoint: x.API, HTTP: x.HTTP, Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), x.Root, x.Region, "iot", time.Now())
		return nil
	}})
	_, err := c.CreatePolicy(x.ctx(), &iot.CreatePolicyInput{PolicyName: new("camera"), PolicyDocument: new(rig.Allow("iot:AssumeRoleWithCertificate", "*"))})
	x.ok(err)
	_, err = c.CreateRoleAlias(x.ctx(), &iot.CreateRoleAliasInput{RoleAlias: new("camera"), RoleArn: new(account + "role/camera")})
	x.ok(err)
	token, err := c.CreateEnrolmentToken(x.ctx(), &iot.CreateEnrolmentTokenInput{ThingName: new("door"), PolicyName: new("camera"), RoleAlias: new("camera")})
	x.ok(err)
	x.addText("an enrolment token", token.EnrolmentToken)
	key, request := x.deviceKey()
	enrolment := map[string]any{"enrolmentToken": *token.EnrolmentToken, "certificateSigningRequest": request}
	x.enrol("/enrolment", nil, map[string]any{"enrolmentToken": *token.EnrolmentToken + "x", "certificateSigningRequest": request}, false)
	x.enrol("/enrolment", nil, map[string]any{"enrolmentToken": *token.EnrolmentToken, "certificateSigningRequest": "none"}, false)
	answer := x.enrol("/enrolment", nil, enrolment, true)
	x.enrol("/enrolment", nil, enrolment, false)
	x.deviceCredentials(&tls.Certificate{Certificate: [][]byte{decodePEM(answer["certificatePem"].(string))}, PrivateKey: key})

	_, err = c.CreateProvisioningTemplate(x.ctx(), &iot.CreateProvisioningTemplateInput{
		TemplateName: new("fleet"), TemplateBody: new(fleet), ProvisioningRoleArn: new(account + "role/camera"), Enabled: new(true),
	})
	x.ok(err)
	claim, err := c.CreateProvisioningClaim(x.ctx(), &iot.CreateProvisioningClaimInput{TemplateName: new("fleet")})
	x.ok(err)
	pair, err := tls.X509KeyPair([]byte(*claim.CertificatePem), []byte(*claim.KeyPair.PrivateKey))
	x.ok(err)
	scalar, err := pair.PrivateKey.(*ecdsa.PrivateKey).Bytes()
	x.ok(err)
	x.add("a claim's private key", scalar)
	_, request = x.deviceKey()
	body := map[string]any{"certificateSigningRequest": request, "parameters": map[string]string{"Serial": "garden"}}
	x.enrol("/provisioning-templates/fleet/provision", nil, body, false)
	x.enrol("/provisioning-templates/fleet/provision", &pair, body, true)
}

func decodePEM(text string) []byte {
	block, _ := pem.Decode([]byte(text))
	return block.Bytes
}

func (x *run) deviceKey() (*ecdsa.PrivateKey, string) {
	x.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	x.ok(err)
	scalar, err := key.Bytes()
	x.ok(err)
	x.add("a device's private key", scalar)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	x.ok(err)
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// asDevice is a client with a certificate.
func (x *run) asDevice(pair *tls.Certificate) *http.Client {
	t := x.errors.next.(*http.Transport).Clone()
	if pair != nil {
		t.TLSClientConfig.Certificates = []tls.Certificate{*pair}
	}
	return &http.Client{Transport: &errorBodies{next: t}}
}

func (x *run) enrol(path string, pair *tls.Certificate, in map[string]any, ok bool) (out map[string]any) {
	x.t.Helper()
	body, err := json.Marshal(in)
	x.ok(err)
	resp, err := x.asDevice(pair).Post(x.Device+path, "application/json", bytes.NewReader(body))
	x.ok(err)
	return x.deviceAnswer(resp, ok)
}

func (x *run) deviceAnswer(resp *http.Response, ok bool) (out map[string]any) {
	x.t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	x.ok(err)
	if (resp.StatusCode == http.StatusOK) != ok {
		x.t.Fatalf("%s: %d %s", resp.Request.URL, resp.StatusCode, text)
	}
	if !ok {
		x.errors.text.Write(text)
	}
	x.ok(json.Unmarshal(text, &out))
	return out
}

func (x *run) deviceCredentials(pair *tls.Certificate) {
	x.t.Helper()
	resp, err := x.asDevice(pair).Get(x.Device + "/role-aliases/camera/credentials")
	x.ok(err)
	c := x.deviceAnswer(resp, true)["credentials"].(map[string]any)
	x.add("a device's secret access key", []byte(c["secretAccessKey"].(string)))
	x.add("a device's session token", []byte(c["sessionToken"].(string)))
	resp, err = x.asDevice(pair).Get(x.Device + "/role-aliases/absent/credentials")
	x.ok(err)
	x.deviceAnswer(resp, false)
}

func (x *run) useMailbox() {
	x.t.Helper()
	body := random(200)
	x.add("an object of a mailbox", body)
	_, err := x.Mailbox(x.Root).PutObject(x.ctx(), &mailbox.PutObjectInput{Box: aws.String("home"), Key: aws.String("roster/1"), Body: body})
	x.ok(err)
	_, err = x.Mailbox(x.Root).GetObject(x.ctx(), &mailbox.GetObjectInput{Box: aws.String("home"), Key: aws.String("roster/1")})
	x.ok(err)
}

// film sends a stream in clear, one that is kept in the spool alone, and one that the camera seals end to end.
func (x *run) film() {
	x.t.Helper()
	stream(x.t, x.Server, "kept", 24, x.needles)
	stream(x.t, x.Server, "passing", 0, x.needles)
	x.filmSealed()
	video := kinesisvideo.NewFromConfig(x.V2(x.Root))
	list, err := video.ListStreams(x.ctx(), &kinesisvideo.ListStreamsInput{})
	x.ok(err)
	for _, s := range list.StreamInfoList {
		x.streamARNs = append(x.streamARNs, *s.StreamARN)
	}
}

// filmSealed is a camera with a sealed buffer, whose media is end-to-end encrypted for a viewer.
func (x *run) filmSealed() {
	x.t.Helper()
	identity := func(name string, r e2ee.Role) *e2ee.Identity {
		seed := e2ee.NewSeed()
		x.add("the seed of "+name, seed)
		id, err := e2ee.IdentityFromSeed(r, seed)
		x.ok(err)
		return id
	}
	owner, camera, viewer := identity("the owner", e2ee.RoleOwner), identity("a camera", e2ee.RoleProducer), identity("a viewer", e2ee.RoleConsumer)
	seed := e2ee.NewSeed()
	x.add("the seed of a viewer's key", seed)
	key, err := e2ee.NewKEMKey(seed)
	x.ok(err)
	roster, err := e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: time.Now(), Expires: time.Now().AddDate(1, 0, 0), Threshold: 1, GenerationLife: 24 * time.Hour, NoRecovery: true,
		Members: []e2ee.Member{{Role: e2ee.RoleOwner, Name: "Ana", Key: owner.Public()}, {Role: e2ee.RoleProducer, Name: "Door", Key: camera.Public()}, {Role: e2ee.RoleConsumer, Name: "Phone", Key: viewer.Public()}},
	}, owner)
	x.ok(err)
	certificate, err := e2ee.NewCertificate(viewer, key, 1, time.Now(), 24*time.Hour)
	x.ok(err)
	r, hash, err := e2ee.ReadRoster(roster)
	x.ok(err)
	trust, err := e2ee.NewTrust(e2ee.Pin{Version: r.Version, Hash: hash}, roster, camera.Fingerprint(), func([]byte) error { return nil })
	x.ok(err)
	x.ok(trust.AddCertificate(certificate))
	var kept *e2ee.Link
	x.produce(&producer.Seal{
		New: func(stream string, tracks []e2ee.Track) (*e2ee.Sealer, error) {
			return e2ee.NewSealer(e2ee.SealerConfig{Identity: camera, Trust: trust, Stream: stream, Tracks: tracks, Previous: kept})
		},
		Keep: func(l e2ee.Link) error { kept = &l; return nil },
	})
}

func (x *run) produce(seal *producer.Seal) {
	x.t.Helper()
	keyFile := filepath.Join(x.camera, "buffer.key")
	p, err := producer.Open(producer.Options{
		StreamName: "sealed", Endpoint: x.API, Region: x.Region, RootCAs: x.HTTP.Transport.(*http.Transport).TLSClientConfig.RootCAs,
		Credentials: func(context.Context) (producer.Credentials, error) {
			return producer.Credentials{AccessKeyID: x.Root.AccessKeyID, SecretAccessKey: x.Root.SecretAccessKey}, nil
		},
		Tracks:    []producer.Track{{Number: 1, Type: producer.Video, CodecID: "V_MPEG4/ISO/AVC", CodecPrivate: []byte{1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0}}},
		BufferDir: filepath.Join(x.camera, "buffer"), BufferKeyFile: keyFile, BlockWhenFull: true, Create: true, Retention: time.Hour, Seal: seal,
	})
	x.ok(err)
	for at := range uint64(4) {
		for i, data := range rig.Frames("sealed", at, frames, frameBytes) {
			x.needles.add("a sealed frame", data)
			x.ok(p.Put(x.ctx(), producer.Frame{Track: 1, Time: time.UnixMilli(int64(3000*at+3000) + int64(40*i)), Key: i == 0, Data: data}))
		}
	}
	x.ok(p.Close(x.ctx()))
	text, err := os.ReadFile(keyFile)
	x.ok(err)
	x.add("the key of a camera's buffer", text)
}
