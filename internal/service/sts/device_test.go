// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
)

const (
	aliasARN     = "arn:aws:iot:us-east-1:000000000000:rolealias/camera"
	trustDevices = `"Principal":{"Service":"credentials.iot.amazonaws.com"},"Action":"sts:AssumeRole"`
)

// inForce are the certificates that count.
type inForce map[string]bool

func (c inForce) InForce(id string) bool { return c[id] }

func deviceSession() DeviceSession {
	return DeviceSession{
		RoleARN: roleARN, RoleAliasARN: aliasARN, Lifetime: time.Hour,
		Device: access.Device{CertificateID: strings.Repeat("c", 64), ThingName: "door", ThingTypeName: "camera"},
	}
}

func newDeviceWorld(t *testing.T, trust string) (*world, inForce) {
	w, certs := newWorld(t), inForce{strings.Repeat("c", 64): true}
	w.certs = certs
	w.role(trust, allow("kinesisvideo:PutMedia", "arn:aws:kinesisvideo:*:*:stream/${credentials-iot:ThingName}/*"))
	return w, certs
}

func (w *world) forDevice(d DeviceSession) (*stsapi.Credentials, error) {
	return w.AssumeRoleForDevice(access.NewContext(w.t.Context(), &access.Call{Service: "iot", SecureTransport: true}), d)
}

func TestDeviceSessionMayUseItsOwnStreamAlone(t *testing.T) {
	w, _ := newDeviceWorld(t, trustDevices)
	c, err := w.forDevice(deviceSession())
	if err != nil {
		t.Fatal(err)
	}
	ctx := w.session(c)
	if !w.may(ctx, "kinesisvideo:PutMedia", "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1") {
		t.Error("its own stream is refused")
	}
	if w.may(ctx, "kinesisvideo:PutMedia", "arn:aws:kinesisvideo:us-east-1:000000000000:stream/yard/1") {
		t.Error("another's stream is allowed")
	}
	call, _ := access.FromContext(ctx)
	if want := "arn:aws:sts::000000000000:assumed-role/viewer/" + strings.Repeat("c", 64); call.Principal.ARN != want {
		t.Errorf("ARN %s", call.Principal.ARN)
	}
}

func TestDeviceSessionEndsWithItsCertificate(t *testing.T) {
	w, certs := newDeviceWorld(t, trustDevices+`},{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"`)
	w.policies["AROAVIEWER"] = w.parse(allow("sts:AssumeRole", "*"), 0)
	c, err := w.forDevice(deviceSession())
	if err != nil {
		t.Fatal(err)
	}
	chained, err := w.assume(w.session(c))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*stsapi.Credentials{c, chained.Credentials} {
		clear(certs)
		if _, err := w.Resolve(t.Context(), *c.AccessKeyId, *c.SessionToken); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("after revocation: %v", err)
		}
		certs[strings.Repeat("c", 64)] = true
		if _, err := w.Resolve(t.Context(), *c.AccessKeyId, *c.SessionToken); err != nil {
			t.Errorf("in force again: %v", err)
		}
	}
	w.certs = nil
	if _, err := w.Resolve(t.Context(), *c.AccessKeyId, *c.SessionToken); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("with nobody to ask: %v", err)
	}
}

func TestDeviceNeedsTheRolesTrust(t *testing.T) {
	for name, tc := range map[string]struct {
		trust   string
		role    string
		allowed bool
	}{
		"trusted":          {trustDevices, roleARN, true},
		"by source":        {trustDevices + `,"Condition":{"StringEquals":{"aws:SourceAccount":"000000000000"},"ArnEquals":{"aws:SourceArn":"` + aliasARN + `"}}`, roleARN, true},
		"by other source":  {trustDevices + `,"Condition":{"ArnEquals":{"aws:SourceArn":"` + aliasARN + `x"}}`, roleARN, false},
		"another service":  {strings.Replace(trustDevices, "credentials.iot", "ec2", 1), roleARN, false},
		"a user is named":  {trustAna, roleARN, false},
		"account is named": {`"Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"`, roleARN, false},
		"no such role":     {trustDevices, roleARN + "x", false},
	} {
		w, _ := newDeviceWorld(t, tc.trust)
		d := deviceSession()
		d.RoleARN = tc.role
		if _, err := w.forDevice(d); (err == nil) != tc.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeviceSessionLastsAtMostAsLongAsTheRoleAllows(t *testing.T) {
	w, _ := newDeviceWorld(t, trustDevices)
	d := deviceSession()
	d.Lifetime = 12 * time.Hour
	c, err := w.forDevice(d)
	if err != nil || !c.Expiration.Equal(start.Add(2*time.Hour)) {
		t.Errorf("%v, %v", c, err)
	}
}
