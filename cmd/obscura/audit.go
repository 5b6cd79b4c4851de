// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/audit/digest"
	"github.com/obscura-video/obscura/internal/server"
)

func newAudit(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Search the record of every call, prove that nobody changed it, take it elsewhere",
		Example: `  obscura audit lookup --user ana --denied --from yesterday
  obscura audit verify
  obscura audit keys > /media/stick/obscura.keys`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditLookup(t), newAuditVerify(t), newAuditKeys(t), newAuditExport(t))
	return cmd
}

// auditFlags say whose record it is.
type auditFlags struct {
	server.AuditConfig
	root        rootFlags
	from, until string
}

func (a *auditFlags) add(cmd *cobra.Command, times bool) {
	f := cmd.Flags()
	f.StringVar(&a.Data, "data", server.DefaultData, "data directory of a running or a stopped server")
	f.StringVar(&a.RootFile, "root-file", "", "root key's file (default: the running server's, or <data>/root.key)")
	a.root.options = &a.Root
	a.root.add(f, "")
	if times {
		f.StringVar(&a.from, "from", "", "begin with the hour of this time: 14:32, \"yesterday 14:32\", 2026-11-22T14:32:07Z, -10h")
		f.StringVar(&a.until, "until", "", "end with the hour of this time")
	}
}

// times reads --from and --until; an empty one leaves open.
func (a *auditFlags) times(now time.Time) (from, until time.Time, err error) {
	if a.from != "" {
		if from, err = parseMoment(a.from, now); err != nil {
			return from, until, err
		}
	}
	if a.until != "" {
		until, err = parseMoment(a.until, now)
	}
	if err == nil && a.from != "" && a.until != "" && until.Before(from) {
		err = usageError{fmt.Errorf("--until %s is before --from %s", sayMoment(until), sayMoment(from))}
	}
	return from, until, err
}

func newAuditVerify(t *terminal) *cobra.Command {
	var a auditFlags
	var keysFile string
	var expect []string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that no event of the record was altered, dropped or inserted",
		Long: `Read the record of a running or a stopped server and check everything that protects it:
the chain of hashes from event to event, the index by which events are found, the hourly
digests, their signatures, and the keys. Nothing is changed. The first event that is not
as it was written is named, and the first digest.

Who can write to the disk and has the root key can sign anew what was signed with the
present key, or put back an older copy of everything. That shows only against what was
kept elsewhere: a public key (--keys), or the hash of a digest or the end of the chain
that an earlier verification printed (--expect).

Exit status 0 means that all is as it was written, 7 that something is not.`,
		Example: `  obscura audit verify
  obscura audit verify --keys /media/stick/obscura.keys --expect 8c1f… --data /srv/obscura
  obscura audit verify --from "yesterday 08:00" --until "yesterday 12:00" --json | jq .eventFault`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.root.use(t)
			kept, err := a.kept(keysFile, expect)
			if err != nil {
				return err
			}
			progress := newBulk(t, "verify")
			progress.say = eventCount
			kept.Progress = func(done, total int64) { progress.show("", done, total) }
			r, err := server.VerifyAudit(cmd.Context(), a.AuditConfig, kept)
			progress.end()
			if err != nil {
				return explainAudit(cmd.Context(), "cannot verify the record of "+a.Data, err)
			}
			return tellVerified(t, r, len(kept.Keys) > 0)
		},
	}
	a.add(cmd, true)
	cmd.Flags().StringVar(&keysFile, "keys", "", "file with public keys that were kept elsewhere, from `obscura audit keys` or aws cloudtrail list-public-keys")
	cmd.Flags().StringArrayVar(&expect, "expect", nil, "SHA-256 of a digest, or BLOCK:HASH, that was kept elsewhere and must be in the record; may be repeated")
	return cmd
}

// kept gathers what was kept elsewhere.
func (a *auditFlags) kept(keysFile string, expect []string) (k server.AuditKept, err error) {
	if k.From, k.Until, err = a.times(time.Now()); err != nil {
		return k, err
	}
	if keysFile != "" {
		if k.Keys, err = readKeys(keysFile); err != nil {
			return k, err
		}
	}
	for _, e := range expect {
		block, hash, anchor := strings.Cut(e, ":")
		if !anchor {
			hash = e
		}
		if hash = strings.ToLower(hash); len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
			return k, usageError{fmt.Errorf("--expect %q: want the SHA-256 of a digest, or BLOCK:HASH, as audit verify prints them", e)}
		}
		if !anchor {
			k.Digests = append(k.Digests, hash)
			continue
		}
		n, err := strconv.ParseUint(block, 10, 64)
		if err != nil {
			return k, usageError{fmt.Errorf("--expect %q: want BLOCK:HASH", e)}
		}
		k.Anchors = append(k.Anchors, audit.Anchor{Block: n, Hash: hash})
	}
	return k, nil
}

// maxKeysFile bounds what is read of a file with keys, in bytes.
const maxKeysFile = 64 << 20

// readKeys reads public keys: lines whose last field is one in base64, or the JSON of ListPublicKeys.
func readKeys(file string) (keys [][]byte, err error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxKeysFile {
		err = fmt.Errorf("%s: too large for a file of keys", file)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, &problem{What: "cannot read the kept keys", Why: err.Error(), Exit: exitNotFound, Err: err}
	}
	bad := func(why string) error {
		return &problem{What: "cannot read the kept keys", Why: file + ": " + why, Next: "obscura audit keys > FILE    (while the record can be trusted)", Exit: exitFailed}
	}
	var values []string
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		var list struct{ PublicKeyList []struct{ Value string } }
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, bad(err.Error())
		}
		for _, k := range list.PublicKeyList {
			values = append(values, k.Value)
		}
	} else {
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 0 {
				values = append(values, f[len(f)-1])
			}
		}
	}
	for _, v := range values {
		der, err := base64.StdEncoding.DecodeString(v)
		if err != nil || digest.CheckPublic(der) != nil {
			return nil, bad("not a list of public keys")
		}
		keys = append(keys, der)
	}
	if len(keys) == 0 {
		return nil, bad("no key in it")
	}
	return keys, nil
}

// tellVerified prints a report. What is not as written is an error.
func tellVerified(t *terminal, r *server.AuditReport, pins bool) error {
	var err error
	if t.json {
		err = json.NewEncoder(t.out).Encode(r)
	} else {
		err = printVerified(t, r, pins)
	}
	if err != nil || r.Clean() {
		return err
	}
	p := &problem{What: "the record of " + r.Data + " is not as it was written", Exit: exitDamaged}
	if f := r.Event; f != nil {
		p.Why = f.Error()
	} else {
		p.Why = r.Digest.Error()
	}
	p.Next = "keep the data directory as it is, and compare with a backup: obscura backup restore FOLDER --data NEW; obscura audit verify --data NEW"
	return p
}

func printVerified(t *terminal, r *server.AuditReport, pins bool) error {
	var b strings.Builder
	for _, f := range []*audit.Fault{r.Event, r.Digest} {
		if f != nil {
			fmt.Fprintln(&b, faultLine(t, f))
		}
	}
	if r.Clean() {
		fmt.Fprintf(&b, "ok\t%s\n", r.Data)
	}
	if _, err := t.out.WriteString(b.String()); err != nil {
		return err
	}
	fmt.Fprintf(t.err, "read    %s in %s that %s signed; %s behind them, which the next digest signs\n",
		count(int(r.Events), "event", "events"), count(r.LogFiles, "log file", "log files"), count(r.Digests, "digest has", "digests have"), count(int(r.Unsigned), "event", "events"))
	if r.Newest != "" {
		fmt.Fprintf(t.err, "digest  %s\n        until %s\n", r.NewestHash, r.NewestEnd.Format(time.RFC3339))
	}
	if r.End.Block > 0 {
		fmt.Fprintf(t.err, "end     %d:%s\n", r.End.Block, r.End.Hash)
	}
	if !r.Clean() {
		return nil
	}
	switch {
	case r.Pinned:
		fmt.Fprintln(t.err, "        signed by a key that you kept, or one that it leads to")
	case !pins:
		fmt.Fprintln(t.err, "        the keys are the record's own: keep them elsewhere (obscura audit keys), and this digest for --expect")
	}
	return nil
}

// faultLine is a fault as a line: what, position, event, time, name, where it lies, why.
func faultLine(t *terminal, f *audit.Fault) string {
	what := "digest"
	if f.Event > 0 || f.Block > 0 {
		what = "event"
	}
	position := strconv.FormatUint(f.Event, 10)
	if f.Last > f.Event {
		position += "-" + strconv.FormatUint(f.Last, 10)
	}
	if f.Event == 0 {
		position = ""
	}
	at := ""
	if !f.EventTime.IsZero() {
		at = f.EventTime.UTC().Format(time.RFC3339)
	}
	// The event is somebody's who has written to the disk.
	fields := []string{"FAIL", what, position, printable(f.EventID), at, printable(f.EventName), printable(f.Digest), printable(f.Reason)}
	if !t.outIsTerminal() {
		return strings.Join(fields, "\t")
	}
	return fmt.Sprintf("FAIL  %s\n      %s", strings.Join(nonEmpty(fields[1:7]...), "  "), fields[7])
}

func eventCount(n int64) string { return strconv.FormatInt(n, 10) + " events" }

func newAuditKeys(t *terminal) *cobra.Command {
	var a auditFlags
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Print the public keys that sign the record, to keep elsewhere",
		Long: `Print every public key that hourly digests are signed with: fingerprint, first and last
hour, and the key (DER of PKCS #1 in base64). Keep them where who could change the record
cannot: audit verify --keys compares. One is enough, since each key signs the next.`,
		Example: `  obscura audit keys
  obscura audit keys --data /srv/obscura > /media/stick/obscura.keys
  obscura audit keys --json | jq -r '.PublicKeyList[].Fingerprint'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.root.use(t)
			keys, err := server.AuditKeys(cmd.Context(), a.AuditConfig)
			if err != nil {
				return explainAudit(cmd.Context(), "cannot list the keys of "+a.Data, err)
			}
			if len(keys) == 0 {
				return &problem{
					What: "there is no key yet", Why: "the first is made with the first digest, when the first hour has ended, or when it is asked for",
					Next: "aws cloudtrail list-public-keys", Exit: exitNotFound,
				}
			}
			return printKeys(t, keys)
		},
	}
	a.add(cmd, false)
	return cmd
}

// publicKey is a key in the JSON of ListPublicKeys.
type publicKey struct {
	Value             []byte
	ValidityStartTime time.Time
	ValidityEndTime   time.Time
	Fingerprint       string
}

func printKeys(t *terminal, keys []digest.Key) error {
	var list []publicKey
	for _, k := range keys {
		list = append(list, publicKey{k.Public, k.From, k.To, k.Fingerprint})
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(map[string][]publicKey{"PublicKeyList": list})
	}
	for _, k := range list {
		_, err := fmt.Fprintf(t.out, "%s\t%s\t%s\t%s\n", k.Fingerprint, k.ValidityStartTime.Format(time.RFC3339),
			k.ValidityEndTime.Format(time.RFC3339), base64.StdEncoding.EncodeToString(k.Value))
		if err != nil {
			return err
		}
	}
	return nil
}

func newAuditExport(t *terminal) *cobra.Command {
	var a auditFlags
	var to string
	cmd := &cobra.Command{
		Use:   "export --to FOLDER",
		Short: "Write the record as CloudTrail's files: gzipped log files, and digests with their signatures",
		Long: `Write every log file and every digest in CloudTrail's format to a folder, by bucket and
object. A digest's signature, which is an object's metadata in AWS, is in a file beside it
with .metadata.json added. Who has the folder and the public keys can verify it with
nothing of Obscura. Events that no digest is about yet are left out.`,
		Example: `  obscura audit export --to /mnt/record
  obscura audit export --to record --from -24h
  obscura audit export --to record --from 2026-11-01 --until 2026-11-30 --data /srv/obscura`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return usageError{errors.New("audit export: --to is missing: where should the files go?")}
			}
			return auditExport(cmd.Context(), t, &a, to)
		},
	}
	a.add(cmd, true)
	cmd.Flags().StringVar(&to, "to", "", "folder for the files")
	return cmd
}

func auditExport(ctx context.Context, t *terminal, a *auditFlags, to string) error {
	a.root.use(t)
	from, until, err := a.times(time.Now())
	if err != nil {
		return err
	}
	if !until.IsZero() {
		until = until.Truncate(digest.Period).Add(digest.Period) // the digest of that hour ends then
	}
	progress := newBulk(t, "export")
	var n int64
	digests, files, err := server.ExportAudit(ctx, a.AuditConfig, server.AuditExport{To: to, From: from, Until: until, Progress: func(object string) {
		n++
		progress.show(object, n, 0)
	}})
	progress.end()
	if err != nil {
		return explainAudit(ctx, "cannot export the record of "+a.Data, err)
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(map[string]any{"to": to, "digests": digests, "logFiles": files})
	}
	_, err = fmt.Fprintf(t.out, "%s\t%s\t%s\n", to, count(digests, "digest", "digests"), count(files, "log file", "log files"))
	return err
}

// explainAudit turns what stopped a command on the record into what a person can do about it.
func explainAudit(ctx context.Context, what string, err error) error {
	fault, bad := errors.AsType[*audit.Fault](err)
	switch {
	case ctx.Err() != nil:
	case bad:
		return &problem{What: what, Why: fault.Error(), Next: "obscura audit verify", Exit: exitDamaged, Err: err}
	case errors.Is(err, server.ErrDamaged):
		return &problem{What: what, Why: "its metadata cannot be read: " + err.Error(), Next: "obscura fsck", Exit: exitDamaged, Err: err}
	}
	return explainData(ctx, what, err)
}
