// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK reads profiles without a further dependency

package kit

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	awsv1 "github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"

	"github.com/obscura-video/obscura/internal/oidc/oidctest"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

// Options say what a run is aimed at. They are flags of `go test ./test/conformance`.
type Options struct {
	// Endpoint is the URL of another server than the one that the test starts, or "aws" for AWS's own endpoints.
	Endpoint string
	// Profile of the shared configuration has the administrator's credentials; without it they are found as
	// the SDK finds them, in the environment first.
	Profile string
	Region  string
	// OtherRegion is where replicas of multi-Region keys are made.
	OtherRegion string
	// CA is a file of certificates that the endpoint's is checked against.
	CA string
	// Bucket is where CloudTrail may deliver; AWS wants it to be there.
	Bucket string
	// Destructive lets a run alter what is the whole account's, such as its alias.
	Destructive bool
	// Slow lets a run make what takes hundreds of calls, to meet a quota, or minutes.
	Slow bool
}

// Flags defines the options as flags.
func Flags(f *flag.FlagSet) *Options {
	o := new(Options)
	f.StringVar(&o.Endpoint, "endpoint", "", "aim TestConformance at this `URL`, or at aws, instead of a server of its own")
	f.StringVar(&o.Profile, "profile", "", "`profile` with the credentials of an administrator there")
	f.StringVar(&o.Region, "region", "us-east-1", "`region` there")
	f.StringVar(&o.OtherRegion, "other-region", "us-west-2", "`region` for replicas there")
	f.StringVar(&o.CA, "ca", "", "`file` of PEM certificates to trust there")
	f.StringVar(&o.Bucket, "bucket", "conformance-trails", "`bucket` that trails may deliver to there")
	f.BoolVar(&o.Destructive, "destructive", false, "alter what is the whole account's there")
	f.BoolVar(&o.Slow, "slow", false, "make the hundreds of calls that meet quotas, and wait for minutes, there")
	return o
}

// Target is what a run is aimed at. It may be used concurrently.
type Target struct {
	Options
	Account string
	// Foreign says that it is not a server that this test has started: it is asked with patience, and left clean.
	Foreign bool

	t         testing.TB
	http      *http.Client
	admin     *Clients
	anonymous *Clients
	users     chan *User // at leisure
	nobody    *User
	issuer    *oidctest.Issuer // nil where it is foreign, which could not reach it

	mu     sync.Mutex
	shared map[string]*fixture
}

// workers is how many cases run at once.
const workers = 4

// Open finds the target, or starts it, and makes the users of the cases.
func Open(t testing.TB, o Options) *Target {
	t.Helper()
	tg := &Target{Options: o, t: t, Foreign: o.Endpoint != "", shared: map[string]*fixture{}, users: make(chan *User, workers)}
	var root sigv4.Credentials
	if tg.Foreign {
		tg.http, root = trusting(t, o.CA), credentialsOf(t, o)
	} else {
		tg.issuer = oidctest.New(t)
		ca := certificateFile(t, tg.issuer.Certificate())
		before := newPast()
		s := rig.Start(t, func(c *server.Config) {
			c.Now = before.now
			c.KMSRegions, c.OIDCCA, c.ExplainDenials = []string{o.OtherRegion}, ca, true
			c.MailboxBytes = 2 << 20 // which is soon full
		})
		if err := before.live(t.Context(), s); err != nil {
			t.Fatalf("what needs a past: %v", err)
		}
		tg.Endpoint, tg.Region, tg.CA, tg.http, root = s.API, s.Region, s.CAFile, s.HTTP, s.Root
	}
	tg.admin = tg.clients(root)
	me, err := tg.admin.STS.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatalf("who is the administrator: %v", err)
	}
	tg.Account = *me.Account
	tg.anonymous = tg.clients(sigv4.Credentials{})
	w := tg.World(t)
	tg.nobody = w.NewUser("nobody")
	for range workers {
		tg.users <- w.NewUser("worker")
	}
	return tg
}

// certificateFile writes a certificate where a server can read it.
func certificateFile(t testing.TB, der []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func trusting(t testing.TB, ca string) *http.Client {
	if ca == "" {
		ca = os.Getenv("AWS_CA_BUNDLE")
	}
	if ca == "" {
		return http.DefaultClient
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
}

func credentialsOf(t testing.TB, o Options) sigv4.Credentials {
	s, err := session.NewSessionWithOptions(session.Options{
		Profile: o.Profile, SharedConfigState: session.SharedConfigEnable, Config: awsv1.Config{Region: &o.Region},
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Config.Credentials.Get()
	if err != nil {
		t.Fatalf("profile %s: %v", cmp.Or(o.Profile, "default"), err)
	}
	return sigv4.Credentials{AccessKeyID: v.AccessKeyID, SecretAccessKey: v.SecretAccessKey, SessionToken: v.SessionToken}
}

// aws says that the target is AWS itself, where each service has an endpoint of its own.
func (tg *Target) aws() bool { return tg.Endpoint == "aws" }

// World is what a test of its own sees of the target.
func (tg *Target) World(t testing.TB) *World {
	return &World{T: t, Target: tg, Admin: tg.admin.with(t.Context())}
}

// fixture is something that is made once.
type fixture struct {
	once  sync.Once
	value any
}

// Shared makes something once in a run, for cases that use it and do not alter it.
func Shared[V any](w *World, name string, make func(w *World) V) V {
	w.T.Helper()
	w.Target.mu.Lock()
	f := w.Target.shared[name]
	if f == nil {
		f = new(fixture)
		w.Target.shared[name] = f
	}
	w.Target.mu.Unlock()
	f.once.Do(func() { f.value = make(w) })
	v, ok := f.value.(V)
	if !ok {
		w.T.Fatalf("%s could not be made", name)
	}
	return v
}

// atTheEnd runs what cleans up a foreign target when the whole run has ended.
func (tg *Target) atTheEnd(what string, f func(c *Clients) error) {
	if !tg.Foreign {
		return
	}
	tg.t.Cleanup(func() {
		if err := f(tg.admin.with(context.Background())); err != nil {
			tg.t.Logf("left behind: %s: %v", what, err)
		}
	})
}
