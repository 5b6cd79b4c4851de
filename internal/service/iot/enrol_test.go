// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

// invite makes a token for the thing, with the policy and role alias of its name.
func (w *world) invite(name string) Token {
	w.t.Helper()
	out := must(w.CreateEnrolmentToken(w.ctx(), &api.CreateEnrolmentTokenInput{
		ThingName: &name, PolicyName: &name, RoleAlias: &name, ExpiresInSeconds: new(int64(600)),
	}))(w.t)
	token, err := ParseToken(*out.EnrolmentToken)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (e *Enrolment) holder(t *testing.T) Holder {
	t.Helper()
	c, err := parseCertificate(e.CertificatePEM)
	if err != nil {
		t.Fatal(err)
	}
	return Holder{DER: c.Raw, ThingName: e.ThingName}
}

func TestTokenMakesADeviceOnce(t *testing.T) {
	w := newWorld(t)
	w.prepare("door")
	token := w.invite("door")
	if sum := sha256.Sum256(w.ca.Certificate.Raw); !bytes.Equal(token.Anchor, sum[:]) {
		t.Error("the token does not name the server's CA")
	}
	csr := newCSR(t, newKey(t))
	got := must(w.Redeem(w.ctx(), token.Secret, csr))(t)
	if got.ThingName != "door" || got.RoleAlias != "door" || got.CredentialEndpoint != "cam.example.org:8445" {
		t.Errorf("%+v", got)
	}
	must(w.AssumeRoleWithCertificate(w.ctx(), got.holder(t), "door"))(t)
	w.want("AccessDeniedException")(w.Redeem(w.ctx(), token.Secret, csr))
}

func TestTokenIsRedeemedByOneOfMany(t *testing.T) {
	w := newWorld(t)
	w.prepare("door")
	token, csr := w.invite("door"), newCSR(t, newKey(t))
	var mu sync.Mutex
	var all sync.WaitGroup
	won := 0
	for range 8 {
		all.Go(func() {
			if _, err := w.Redeem(w.ctx(), token.Secret, csr); err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if won != 1 {
		t.Errorf("%d devices became the thing", won)
	}
}

func TestTokenEnds(t *testing.T) {
	for name, end := range map[string]func(*world){
		"by its time": func(w *world) { w.now = w.now.Add(10 * time.Minute) },
		"withdrawn": func(w *world) {
			out := must(w.ListEnrolmentTokens(w.ctx(), &api.ListEnrolmentTokensInput{}))(w.t)
			must(w.DeleteEnrolmentToken(w.ctx(), &api.DeleteEnrolmentTokenInput{TokenId: out.EnrolmentTokens[0].TokenId}))(w.t)
		},
	} {
		w := newWorld(t)
		w.prepare("door")
		token := w.invite("door")
		end(w)
		_, err := w.Redeem(w.ctx(), token.Secret, newCSR(t, newKey(t)))
		if codeOf(err) != "AccessDeniedException" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadRequestLeavesTheToken(t *testing.T) {
	w := newWorld(t)
	w.prepare("door")
	token := w.invite("door")
	w.want("InvalidRequestException")(w.Redeem(w.ctx(), token.Secret, "nonsense"))
	other := append([]byte(nil), token.Secret...)
	other[31] ^= 1
	w.want("AccessDeniedException")(w.Redeem(w.ctx(), other, newCSR(t, newKey(t))))
	must(w.Redeem(w.ctx(), token.Secret, newCSR(t, newKey(t))))(t)
}

func TestStoreDoesNotHoldTheTokensSecret(t *testing.T) {
	w := newWorld(t)
	w.prepare("door")
	token := w.invite("door")
	err := w.db.View(t.Context(), func(r meta.Reader) error {
		for kv, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			for _, form := range []string{string(token.Secret), hex.EncodeToString(token.Secret), token.String()[5:40]} {
				if strings.Contains(string(kv.Value), form) || strings.Contains(string(kv.Key), form) {
					return errors.New("the secret is in the store")
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestInvitingNeedsEveryRightThatTheTokenUses(t *testing.T) {
	in := &api.CreateEnrolmentTokenInput{ThingName: new("door"), PolicyName: new("door"), RoleAlias: new("door")}
	for _, action := range []string{"CreateEnrolmentToken", "CreateThing", "CreateCertificateFromCsr", "AttachThingPrincipal", "AttachPolicy"} {
		w := newWorld(t)
		w.prepare("door")
		w.allow = func(a, _ string) bool { return a != "iot:"+action }
		w.want("Denied")(w.CreateEnrolmentToken(w.ctx(), in))
	}
	w := newWorld(t)
	w.want("ResourceNotFoundException")(w.CreateEnrolmentToken(w.ctx(), in))
}

func TestRenewalLetsTheOldCertificateEndAfterTheNewOneIsUsed(t *testing.T) {
	w := newWorld(t)
	w.prepare("door")
	first := must(w.Redeem(w.ctx(), w.invite("door").Secret, newCSR(t, newKey(t))))(t)
	old := first.holder(t)
	second := must(w.Renew(w.ctx(), old, newCSR(t, newKey(t))))(t)
	w.now = w.now.Add(24 * time.Hour)
	must(w.AssumeRoleWithCertificate(w.ctx(), old, "door"))(t) // the answer may have been lost
	must(w.AssumeRoleWithCertificate(w.ctx(), second.holder(t), "door"))(t)
	w.now = w.now.Add(retirement - time.Second)
	must(w.AssumeRoleWithCertificate(w.ctx(), old, "door"))(t)
	w.now = w.now.Add(time.Second)
	w.want("AccessDeniedException")(w.AssumeRoleWithCertificate(w.ctx(), old, "door"))
	w.want("AccessDeniedException")(w.Renew(w.ctx(), old, newCSR(t, newKey(t))))
	must(w.AssumeRoleWithCertificate(w.ctx(), second.holder(t), "door"))(t)
}

func TestRenewalsThatWereNeverUsedDoNotPileUp(t *testing.T) {
	w := newWorld(t)
	w.prepare("door")
	h := must(w.Redeem(w.ctx(), w.invite("door").Secret, newCSR(t, newKey(t))))(t).holder(t)
	for range 5 {
		must(w.Renew(w.ctx(), h, newCSR(t, newKey(t))))(t)
	}
	out := must(w.ListThingPrincipals(w.ctx(), &api.ListThingPrincipalsInput{ThingName: new("door")}))(t)
	if len(out.Principals) != 2 {
		t.Errorf("%d certificates", len(out.Principals))
	}
}

func TestRenewalIsForNamedDevicesOfOurCA(t *testing.T) {
	w := newWorld(t)
	_, h := w.device("door")
	unnamed := h
	unnamed.ThingName = ""
	w.want("AccessDeniedException")(w.Renew(w.ctx(), unnamed, newCSR(t, newKey(t))))
	other := newAuthority(t)
	foreign, err := other.sign(newKey(t).Public(), w.ca.Certificate.Subject, w.now, w.now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	out := must(w.RegisterCertificateWithoutCA(w.ctx(), &api.RegisterCertificateWithoutCAInput{
		CertificatePem: new(encodePEM("CERTIFICATE", foreign.Raw)), Status: new("ACTIVE"),
	}))(t)
	must(w.AttachThingPrincipal(w.ctx(), &api.AttachThingPrincipalInput{ThingName: new("door"), Principal: out.CertificateArn}))(t)
	w.want("AccessDeniedException")(w.Renew(w.ctx(), Holder{foreign.Raw, "door"}, newCSR(t, newKey(t))))
	must(w.Renew(w.ctx(), h, newCSR(t, newKey(t))))(t)
}

func TestSweepForgetsOldTokens(t *testing.T) {
	w := newWorld(t)
	w.prepare("door")
	w.invite("door")
	w.now = w.now.Add(8 * 24 * time.Hour)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := must(w.ListEnrolmentTokens(w.ctx(), &api.ListEnrolmentTokensInput{}))(t); len(out.EnrolmentTokens) != 0 {
		t.Errorf("%d left", len(out.EnrolmentTokens))
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(Token{Secret: make([]byte, 32), Anchor: make([]byte, 32)}.String())
	f.Add(Token{Secret: make([]byte, 32)}.String())
	f.Add("obs1_")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		if len(token.Secret) != secretBytes || token.String() != strings.TrimSpace(text) {
			t.Errorf("%q became %q", text, token)
		}
	})
}

func FuzzParseCSR(f *testing.F) {
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\nMA==\n-----END CERTIFICATE REQUEST-----\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if csr, err := parseCSR(text); err == nil && checkKey(csr.PublicKey) != nil {
			t.Error("a weak key passed")
		}
	})
}
