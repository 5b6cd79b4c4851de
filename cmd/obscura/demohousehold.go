// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// demoHousehold is an owner, a camera and a viewer, each with a key folder of its own. What they tell each other goes through
// the server's mailbox.
type demoHousehold struct {
	owner, camera, viewer *household.Device
	cameraKeys            keyFolder
	viewerKeys            keyFolder
	box                   household.Mailbox
}

// newDemoHousehold makes the devices, unless they are there, founds the household and lets camera and viewer in. In life a
// person pairs them; here all are in one process, and the pin goes from one to the other by hand.
func newDemoHousehold(ctx context.Context, t *terminal, conn *connection, base, name string) (*demoHousehold, error) {
	h := &demoHousehold{box: conn.mailbox(name)}
	create := func(folder string, kind household.Kind) (keyFolder, *household.Device, error) {
		k := keyFolder{dir: filepath.Join(base, folder), passphraseFD: -1}
		if k.exists() { // of an earlier demo that was kept
			d, err := k.open(t)
			return k, d, err
		}
		kind.Household, kind.Server = name, conn.address()
		d, err := k.createBy(t, byFile, kind)
		return k, d, err
	}
	var err error
	if _, h.owner, err = create("owner-keys", household.Kind{Name: "Ana", Owner: true}); err != nil {
		return nil, err
	}
	if h.cameraKeys, h.camera, err = create("camera-keys", household.Kind{Name: "Front door", Producer: true}); err != nil {
		return nil, err
	}
	if h.viewerKeys, h.viewer, err = create("viewer-keys", household.Kind{Name: "Ana's laptop", Consumer: true}); err != nil {
		return nil, err
	}
	if err := h.meet(ctx); err != nil {
		return nil, conn.explainHousehold("cannot make the demo's household", err)
	}
	return h, nil
}

func (h *demoHousehold) meet(ctx context.Context) error {
	if h.owner.Trust() != nil && h.camera.Trust() != nil && h.viewer.Trust() != nil {
		return nil
	}
	first, err := h.owner.Draft(nil) // a demo has nothing that would have to be recovered
	if err != nil {
		return err
	}
	if err := h.owner.Found(ctx, h.box, first); err != nil {
		return err
	}
	if err := h.admit(ctx, h.camera, e2ee.RoleProducer); err != nil {
		return err
	}
	if err := h.admit(ctx, h.viewer, e2ee.RoleConsumer); err != nil {
		return err
	}
	return h.camera.Sync(ctx, h.box)
}

// admit puts a device on the roster, and makes it trust that.
func (h *demoHousehold) admit(ctx context.Context, d *household.Device, role e2ee.Role) error {
	q, err := d.Request(role)
	if err != nil {
		return err
	}
	err = h.owner.Change(ctx, h.box, func(r *e2ee.Roster) error {
		return household.AdmitTo(r, e2ee.Member{Role: role, Name: q.Name, Key: q.PublicKey}, time.Now())
	})
	if err != nil {
		return err
	}
	if len(q.Certificate) > 0 {
		if err := h.owner.PostCertificateOf(ctx, h.box, q.Certificate); err != nil {
			return err
		}
	}
	return d.Join(ctx, h.box, household.PinText(h.owner.Trust().Pin()))
}
