// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"errors"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/policy"
)

// devicePrincipal is the service that a role's trust policy names for devices.
const devicePrincipal = "credentials.iot.amazonaws.com"

// A DeviceSession says for which device, and how long, AssumeRoleForDevice is asked.
type DeviceSession struct {
	RoleARN string
	// RoleAliasARN is what the device asked through: aws:SourceArn for the trust policy.
	RoleAliasARN string
	Device       access.Device
	// Lifetime is cut to the role's MaxSessionDuration.
	Lifetime time.Duration
}

// AssumeRoleForDevice makes credentials of a role for a device that has proven to hold its certificate's key. The
// caller has decided that the device may ask; here the role's trust policy must let credentials.iot.amazonaws.com
// assume it (condition keys aws:SourceArn, aws:SourceAccount). The session's name is the certificate's ID. It ends
// with the certificate.
//
// It is no operation of the wire. Errors: *access.Denied, also for a role that does not exist.
//
// Source: IoT Core Developer Guide, "Authorizing direct calls to AWS services using AWS IoT Core credential provider".
func (s *Service) AssumeRoleForDevice(ctx context.Context, d DeviceSession) (*stsapi.Credentials, error) {
	ctx, call := access.Via(ctx, devicePrincipal, "sts", "AssumeRole")
	call.Principal = access.Principal{Principal: policy.Principal{Kind: policy.Service, ARN: devicePrincipal, Service: devicePrincipal}}
	role, known := s.directory.Role(ctx, d.RoleARN)
	err := s.auth.Authorize(ctx, access.Request{
		Action: "sts:AssumeRole", Resource: d.RoleARN, Policy: role.Trust, Mode: policy.TrustMode,
		Context: map[string][]string{
			"aws:sourcearn": {d.RoleAliasARN}, "aws:sourceaccount": {s.account}, "sts:rolesessionname": {d.Device.CertificateID},
		},
	})
	if d := (*access.Denied)(nil); err != nil && !errors.As(err, &d) {
		return nil, err
	}
	if err != nil || !known {
		return nil, s.denied(ctx, "sts:AssumeRole", d.RoleARN)
	}
	se := &session{Kind: roleSession, ID: role.ID, RoleARN: d.RoleARN, Name: d.Device.CertificateID, Device: &d.Device}
	c, _, err := s.issue(se, min(d.Lifetime, role.MaxSession))
	if err != nil {
		return nil, err
	}
	access.AddResource(ctx, role.ARN, "AWS::IAM::Role")
	return c, nil
}
