// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/audit/digest"
	cloudtrailapi "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	iotapi "github.com/obscura-video/obscura/internal/awsapi/iot"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	mailboxapi "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/gateway"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/oidc"
	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/internal/service/cloudtrail"
	"github.com/obscura-video/obscura/internal/service/iam"
	"github.com/obscura-video/obscura/internal/service/iot"
	"github.com/obscura-video/obscura/internal/service/kinesisvideo"
	"github.com/obscura-video/obscura/internal/service/kms"
	"github.com/obscura-video/obscura/internal/service/mailbox"
	"github.com/obscura-video/obscura/internal/service/sts"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// services are everything above the stores, in the order in which they are built.
type services struct {
	audit      *audit.Log
	digests    *digest.Digester
	authorizer access.Authorizer
	iam        *iam.Service
	sts        *sts.Service
	iot        *iot.Service
	kms        *kms.Service
	video      *kinesisvideo.Service
	trail      *cloudtrail.Service
	mailbox    *mailbox.Service
	keys       *envelope.Keyring
	spoolKeys  *envelope.Keyring
}

// openServices builds the services over s. The endpoints are what GetDataEndpoint hands out. What was opened
// before an error is in the result too, to be closed.
func openServices(ctx context.Context, c Config, s *stores, e Endpoints, m *metrics, devices iot.Config) (v *services, err error) {
	v = new(services)
	owed := newPromises(c)
	if v.audit, err = audit.Open(ctx, audit.Config{DB: s.db, Now: c.Now, Settle: owed.settle}); err != nil {
		return v, err
	}
	if err := owed.keep(ctx, s.db, v.audit); err != nil {
		return v, err
	}
	db := &promising{s.db, owed}
	v.digests = digest.New(digest.Config{
		DB: s.db, Root: s.root, Log: v.audit, Account: c.Account, Region: c.Region, Now: c.Now, Logger: c.Log,
	})
	v.authorizer = access.New(identities{v}, c.Account, c.Region, c.Now)
	if v.iam, err = iam.New(ctx, iam.Config{
		DB: db, Account: c.Account, Region: c.Region, Authorizer: v.authorizer, Now: c.Now, Log: c.Log,
	}); err != nil {
		return v, err
	}
	tokens, err := openTokens(c)
	if err != nil {
		return v, err
	}
	v.sts, err = sts.New(ctx, sts.Config{
		DB: db, Account: c.Account, Directory: directory{v.iam}, Authorizer: v.authorizer, Certificates: identities{v},
		Providers: v.iam, Tokens: tokens, Now: c.Now,
	})
	if err != nil {
		return v, err
	}
	devices.DB, devices.Authorizer, devices.Sessions = db, v.authorizer, deviceSessions{v.sts}
	if v.iot, err = iot.New(ctx, devices); err != nil {
		return v, err
	}
	v.kms, err = kms.New(kms.Config{
		DB: db, Root: s.root, Access: v.authorizer, Account: c.Account, Region: c.Region, Further: c.KMSRegions, Now: c.Now,
		Happened: func(ctx context.Context, event, keyARN string) { v.keyEvent(ctx, c, event, keyARN) },
	})
	if errors.Is(err, kms.ErrRegion) {
		err = fmt.Errorf("%w: %w: name it with --kms-regions", ErrConfig, err)
	}
	if err != nil {
		return v, err
	}
	if v.trail, err = cloudtrail.New(cloudtrail.Config{
		DB: db, Events: v.audit, Digests: v.digests, Authorizer: v.authorizer, Account: c.Account, Region: c.Region, Now: c.Now,
		Keys: trailKeys{&keyService{kms: v.kms, audit: v.audit, account: c.Account, region: c.Region, principal: "cloudtrail." + c.Region + ".amazonaws.com"}},
	}); err != nil {
		return v, err
	}
	v.mailbox = mailbox.New(mailbox.Config{
		DB: db, Account: c.Account, Region: c.Region, Authorizer: v.authorizer,
		MaxBytes: c.MailboxBytes, MaxObjects: c.MailboxObjects, Room: s.blobs.Admit, Now: c.Now,
	})
	m.watchMailbox(v.mailbox.Waiting)
	return v, v.openVideo(c, s, db, e, m)
}

// openTokens makes what verifies the tokens of identity providers.
func openTokens(c Config) (*oidc.Verifier, error) {
	oc := oidc.Config{Files: c.OIDCKeys, Log: c.Log, Now: c.Now}
	if c.OIDCCA == "" {
		return oidc.New(oc), nil
	}
	pem, err := os.ReadFile(c.OIDCCA)
	if err != nil {
		return nil, fmt.Errorf("%w: authorities of identity providers: %w", ErrConfig, err)
	}
	if oc.Roots, err = x509.SystemCertPool(); err != nil {
		oc.Roots = x509.NewCertPool()
	}
	if !oc.Roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: %s holds no certificate", ErrConfig, c.OIDCCA)
	}
	return oidc.New(oc), nil
}

// keyEvent audits what the KMS did by itself: a key deleted at its deadline, a key rotated when it was due. It
// has happened already, so all that is left when the audit log fails is to tell the operator.
func (v *services) keyEvent(ctx context.Context, c Config, event, keyARN string) {
	var details map[string]any
	if _, id, _ := strings.Cut(keyARN, ":key/"); event != "DeleteKey" { // a key that is gone is named among the resources alone
		details = map[string]any{"keyId": id}
	}
	region := strings.Split(keyARN, ":")[3]
	err := v.audit.Record(context.WithoutCancel(ctx), audit.NewServiceEvent(audit.ServiceAction{
		Service: "kms", Name: event, Region: region, Account: c.Account,
		Resources: []audit.Resource{{ARN: keyARN, Type: "AWS::KMS::Key"}},
		Details:   details,
	}))
	if err != nil {
		c.Log.Error("event was not recorded", "event", event, "key", keyARN, "error", err)
	}
}

func (v *services) openVideo(c Config, s *stores, db meta.DB, e Endpoints, m *metrics) (err error) {
	ks := &keyService{
		kms: v.kms, audit: v.audit, account: c.Account, region: c.Region,
		principal: "kinesisvideo." + c.Region + ".amazonaws.com",
	}
	v.keys = envelope.New(s.db, ks, c.Now)
	// The spool's wrapped keys are kept in memory alone: when it is gone, so is what they sealed.
	v.spoolKeys = envelope.New(mem.New(), ks, c.Now)
	v.video, err = kinesisvideo.New(kinesisvideo.Config{
		DB:         db,
		Archive:    kinesisvideo.Store{DB: s.db, Journal: s.journal, Keys: v.keys},
		Spool:      kinesisvideo.Store{DB: s.spoolMeta, Journal: s.spool, Keys: v.spoolKeys},
		Authorizer: v.authorizer,
		Account:    c.Account, Region: c.Region,
		MediaEndpoint: e.Media, APIEndpoint: e.API,
		Metrics: m, Logger: c.Log, Now: c.Now,
	})
	return err
}

// router is every API that the server speaks.
func (v *services) router() *protocol.Router {
	return protocol.NewRouter(
		kmsapi.New(v.kms),
		kvapi.New(v.video),
		mediaapi.New(v.video),
		archiveapi.New(v.video),
		iamapi.New(v.iam),
		stsapi.New(v.sts),
		iotapi.New(v.iot),
		cloudtrailapi.New(v.trail),
		mailboxapi.New(v.mailbox),
	)
}

// further is what there is in the other Regions: the KMS.
func (v *services) further(c Config) map[string]gateway.Region {
	all := map[string]gateway.Region{}
	for _, r := range c.KMSRegions {
		if there, ok := v.kms.In(r); ok {
			all[r] = gateway.Region{Router: protocol.NewRouter(kmsapi.New(there)), Verifier: sigv4.NewVerifier(r)}
		}
	}
	return all
}

func (v *services) close() error {
	var errs []error
	if v.video != nil {
		errs = append(errs, v.video.Close())
	}
	for _, k := range []*envelope.Keyring{v.keys, v.spoolKeys} {
		if k != nil {
			k.Close()
		}
	}
	if v.kms != nil {
		v.kms.Close()
	}
	if v.audit != nil {
		errs = append(errs, v.audit.Close())
	}
	return errors.Join(errs...)
}

// identities knows what principals may do at this moment: as IAM says, for a device only as long as its certificate
// is in force. It is used once all services are there.
type identities struct{ services *services }

// PoliciesFor implements access.IdentitySource.
func (i identities) PoliciesFor(ctx context.Context, p *access.Principal) ([]*policy.Document, *policy.Document, error) {
	if s := p.Session; s != nil && s.Device != nil && !i.InForce(s.Device.CertificateID) {
		return nil, nil, &access.Denied{Message: "User: " + p.ARN + " is not authorized because its certificate is not in force", Explicit: true}
	}
	return i.services.iam.PoliciesFor(ctx, p)
}

// InForce implements sts.Certificates.
func (i identities) InForce(certificateID string) bool { return i.services.iot.InForce(certificateID) }

// deviceSessions is what IoT needs of STS.
type deviceSessions struct{ sts *sts.Service }

// AssumeRoleForDevice implements iot.Sessions.
func (d deviceSessions) AssumeRoleForDevice(ctx context.Context, s iot.Session) (*stsapi.Credentials, error) {
	return d.sts.AssumeRoleForDevice(ctx, sts.DeviceSession(s))
}

// directory is what STS needs of IAM.
type directory struct{ *iam.Service }

// Role implements sts.Directory.
func (d directory) Role(ctx context.Context, arn string) (sts.Role, bool) {
	r, ok := d.Service.Role(ctx, arn)
	return sts.Role(r), ok
}

// credentials knows long-term keys from IAM and temporary ones from STS.
type credentials struct {
	iam *iam.Service
	sts *sts.Service
}

// temporaryPrefix begins the IDs of access keys that are worth nothing without their session token.
const temporaryPrefix = "ASIA"

// Credential implements gateway.Credentials.
func (c credentials) Credential(ctx context.Context, id, token string) (access.Credential, error) {
	if token == "" && !strings.HasPrefix(id, temporaryPrefix) {
		cred, err := c.iam.LookupAccessKey(ctx, id)
		if errors.Is(err, iam.ErrUnknownAccessKey) {
			err = gateway.ErrUnknownClient
		}
		return cred, err
	}
	cred, err := c.sts.Resolve(ctx, id, token)
	switch {
	case errors.Is(err, sts.ErrExpiredToken):
		err = gateway.ErrExpiredToken
	case errors.Is(err, sts.ErrInvalidToken):
		err = gateway.ErrUnknownClient
	}
	return cred, err
}

// recording takes the gateway's audit events and notes when each access key was used last.
type recording struct {
	audit  *audit.Log
	iam    *iam.Service
	region string
}

// Record implements gateway.Recorder.
func (r recording) Record(ctx context.Context, e audit.Event) error {
	if call, ok := access.FromContext(ctx); ok {
		r.iam.MarkUsed(&call.Principal, call.Service, cmp.Or(call.Region, r.region))
	}
	return recordCall(ctx, r.audit, e)
}

// keyService is the KMS as the services see it: each call is made on the behalf of ctx's caller, decided like
// one from the wire, and audited like one.
type keyService struct {
	kms             *kms.Service
	audit           *audit.Log
	account, region string
	// principal is the service that calls, as kms:ViaService has it.
	principal string
}

var _ envelope.KeyService = (*keyService)(nil)

// GenerateDataKey implements envelope.KeyService.
func (k *keyService) GenerateDataKey(ctx context.Context, keyID string, ec map[string]string) (envelope.DataKey, error) {
	in := &kmsapi.GenerateDataKeyInput{KeyId: &keyID, EncryptionContext: ec, KeySpec: ptr(kmsapi.DataKeySpecAes256)}
	out, err := invoke(ctx, k, "GenerateDataKey", ec, in, k.kms.GenerateDataKey)
	if err != nil {
		return envelope.DataKey{}, err
	}
	return envelope.DataKey{KeyARN: *out.KeyId, Plaintext: out.Plaintext, Ciphertext: out.CiphertextBlob}, nil
}

// Decrypt implements envelope.KeyService.
func (k *keyService) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ec map[string]string) ([]byte, error) {
	in := &kmsapi.DecryptInput{KeyId: &keyID, CiphertextBlob: ciphertext, EncryptionContext: ec}
	out, err := invoke(ctx, k, "Decrypt", ec, in, k.kms.Decrypt)
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// Authorize implements envelope.KeyService. Only refusals are audited: a use that was allowed with a warm cache
// is part of the use that is on the record.
func (k *keyService) Authorize(ctx context.Context, operation, keyID string, ec map[string]string) error {
	child, call := k.via(ctx, operation, ec)
	err := k.kms.AuthorizeUse(child, operation, keyID, ec)
	if err == nil {
		return nil
	}
	params := map[string]any{"keyId": keyID, "encryptionContext": ec}
	return k.record(child, call, params, nil, err)
}

// via makes the context of a call on the behalf of ctx's caller and of the stream whose data the key is for.
func (k *keyService) via(ctx context.Context, operation string, ec map[string]string) (context.Context, *access.Call) {
	child, call := access.Via(ctx, k.principal, "kms", operation)
	call.SourceARN = ec[kinesisvideo.StreamContextKey]
	return child, call
}

// invoke makes one call of the KMS on the caller's behalf.
func invoke[In, Out any](ctx context.Context, k *keyService, operation string, ec map[string]string, in *In, do func(context.Context, *In) (*Out, error)) (*Out, error) {
	child, call := k.via(ctx, operation, ec)
	out, err := do(child, in)
	var response map[string]any
	if err == nil {
		response = protocol.AuditParams(out)
	}
	if err := k.record(child, call, protocol.AuditParams(in), response, err); err != nil {
		return nil, err
	}
	return out, nil
}

// record audits a call and passes its error on.
func (k *keyService) record(ctx context.Context, call *access.Call, params, response map[string]any, err error) error {
	e := audit.NewEvent(call, audit.Outcome{
		Region: k.region, Account: k.account, Params: params, Response: response, Err: err,
	})
	if auditErr := recordCall(context.WithoutCancel(ctx), k.audit, e); auditErr != nil {
		return fmt.Errorf("audit of kms:%s: %w", call.Operation, auditErr)
	}
	return err
}

func ptr[T any](v T) *T { return &v }
