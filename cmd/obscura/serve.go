// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/server"
)

type serveOptions struct {
	server.Config
	root                rootFlags
	coreDumps           bool
	logLevel, logFormat string
}

func newServe(t *terminal) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until it is told to stop (SIGTERM or Ctrl-C). What was acknowledged
is durable; producers that are connected resume when it is back.

The first start makes the data directory, a root key, a local CA and root credentials.`,
		Example: `  obscura serve                                     on this machine only, data in ./obscura-data
  obscura serve --data /srv/obscura --root-file /etc/obscura/root.key
  obscura serve --listen-api :8443 --listen-media :8444 \
      --advertise-api video.example.org --advertise-media video.example.org`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), t, &o) },
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *serveOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Data, "data", server.DefaultData, "data directory, made when it does not exist")
	f.StringVar(&o.RootFile, "root-file", "", "root key's file; keep it off the data's disk (default <data>/root.key)")
	o.root.options = &o.Root
	o.root.add(f, "")
	f.BoolVar(&o.coreDumps, "allow-core-dumps", false, "let crashes leave a core dump, which holds keys in clear")
	f.StringVar(&o.Region, "region", server.DefaultRegion, "region in every ARN")
	f.StringSliceVar(&o.KMSRegions, "kms-regions", nil, "regions beside it in which the KMS has keys too, for multi-Region keys")
	f.StringVar(&o.Account, "account", server.DefaultAccount, "account in every ARN, 12 digits")
	f.StringVar(&o.API.Listen, "listen-api", server.DefaultAPI, "address of the API, or off")
	f.StringVar(&o.Media.Listen, "listen-media", server.DefaultMedia, "address for media, or off")
	f.StringVar(&o.Device.Listen, "listen-device", "", "address where devices enrol and obtain credentials, or off (default "+server.DefaultDevice+")")
	f.StringVar(&o.Admin.Listen, "listen-admin", server.DefaultAdmin, "address of metrics and health, loopback only, or off")
	f.StringVar(&o.API.Advertise, "advertise-api", "", "host[:port] that clients reach the API by (default: where it listens)")
	f.StringVar(&o.Media.Advertise, "advertise-media", "", "host[:port] that clients reach media by (default: where it listens)")
	f.StringVar(&o.Device.Advertise, "advertise-device", "", "host[:port] that devices reach it by (default: where it listens)")
	f.StringVar(&o.DeviceCACert, "device-ca-cert", "", "PEM file of your own CA for device certificates (default: one made at first start)")
	f.StringVar(&o.DeviceCAKey, "device-ca-key", "", "PEM file of its key")
	f.BoolVar(&o.ExplainDenials, "explain-denials", false, "add to each denial a text that aws sts decode-authorization-message reads")
	f.StringVar(&o.OIDCCA, "oidc-ca", "", "PEM file of authorities for identity providers' addresses, beside the system's")
	f.StringToStringVar(&o.OIDCKeys, "oidc-keys", nil, "ISSUER=FILE: read an identity provider's keys (a JWK Set) from a file, not from its address")
	f.StringVar(&o.TLSCert, "tls-cert", "", "PEM file of your own certificate chain (default: one of the local CA)")
	f.StringVar(&o.TLSKey, "tls-key", "", "PEM file of its key")
	f.BoolVar(&o.InsecureHTTP, "insecure-http", false, "serve without TLS; on loopback only, for tests")
	f.Int64Var(&o.FreeSpace, "free-space", server.DefaultFreeSpace, "bytes kept free on the disk: below, new data is refused")
	f.DurationVar(&o.BackupHorizon, "backup-horizon", server.DefaultBackupHorizon, "how long deleted footage stays on disk for older backups")
	f.Int64Var(&o.MailboxBytes, "mailbox-bytes", server.DefaultMailboxBytes, "bound on the bytes of each mailbox")
	f.Int64Var(&o.MailboxObjects, "mailbox-objects", server.DefaultMailboxObjects, "bound on the objects of each mailbox")
	f.Float64Var(&o.RequestsPerSecond, "requests-per-second", 0, "bound on each access key's calls (0: none)")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
}

// newLog makes the operator's log on w.
func (o *serveOptions) newLog(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: want debug, info, warn or error", o.logLevel)}
	}
	opts := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q: want text or json", o.logFormat)}
}

func serve(ctx context.Context, t *terminal, o *serveOptions) error {
	log, err := o.newLog(t.err)
	if err != nil {
		return err
	}
	o.Log = log
	o.root.use(t)
	if !o.coreDumps {
		if err := forbidCoreDumps(); err != nil {
			log.Warn("keys could end up in a core dump", "error", err)
		}
	}
	s, err := server.Open(ctx, o.Config)
	if err != nil {
		return explainStart(o, err)
	}
	greet(t, s, o.Data)
	return s.Run(ctx)
}

// greet says what a person needs after a start: where, whom to trust, where it lies, what next.
func greet(t *terminal, s *server.Server, data string) {
	e := s.Endpoints()
	fmt.Fprintf(t.err, "Obscura serves %s\n", t.bold(e.API))
	if fp := s.Fingerprint(); fp != "" {
		fmt.Fprintf(t.err, "  CA    %s\n        SHA-256 %s\n", e.CAFile, fp)
	}
	fmt.Fprintf(t.err, "  data  %s\n", e.Data)
	if fips140.Enabled() {
		fmt.Fprintf(t.err, "  FIPS  140-3 mode, Go Cryptographic Module %s\n", fips140.Version())
	}
	next := `eval "$(obscura env)"`
	if data != server.DefaultData {
		next = fmt.Sprintf(`eval "$(obscura env --data %s)"`, shellQuote(data))
	}
	fmt.Fprintf(t.err, "  next  %s\n", t.pasteable(next))
}

// explainStart turns what stopped a start into what a person can do about it.
func explainStart(o *serveOptions, err error) error {
	p := &problem{What: "cannot start the server", Why: err.Error(), Exit: exitFailed, Err: err}
	switch {
	case errors.Is(err, server.ErrForeign):
		p.Next = "choose another folder with --data; nothing in this one was touched"
		p.Exit = exitConflict
	case errors.Is(err, server.ErrInUse):
		p.Next = "stop the other server, or choose another folder with --data"
		p.Exit = exitConflict
	case errors.Is(err, server.ErrNewerFormat):
		p.Next = "use the Obscura that wrote it, or a later one"
	case errors.Is(err, rootkey.ErrMissing):
		p.Why = "the data is there, but its root key is not: " + err.Error()
		p.Next = "put the root key back, or name it with --root-file; nothing was changed"
		p.Exit = exitNoKey
	case errors.Is(err, rootkey.ErrWrongKey):
		p.Next = "name the root key that this data directory was made with (--root-file); nothing was changed"
		p.Exit = exitNoKey
	case errors.Is(err, rootkey.ErrLocked):
		p.Next = "give the right passphrase or PIN, or make its token or service reachable; nothing was changed"
		p.Exit = exitNoKey
	case errors.Is(err, rootkey.ErrProvider):
		p.Next = "see docs/formats/root-key.md for the providers and their options; nothing was changed"
		p.Exit = exitUsage
	case errors.Is(err, rootkey.ErrMalformed):
		p.Next = "restore the root key's file from your copy; nothing was changed"
		p.Exit = exitNoKey
	case errors.Is(err, syscall.EADDRINUSE):
		p.Next = "stop what listens there, or choose other addresses with --listen-api, --listen-media, --listen-device and --listen-admin"
		p.Exit = exitConflict
	case errors.Is(err, server.ErrConfig):
		p.Exit = exitUsage
		p.Next = "obscura serve --help"
	}
	return p
}
