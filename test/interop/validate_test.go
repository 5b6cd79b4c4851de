// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

// bucketOf serves a folder as S3 does, as far as validate-logs asks: where the bucket is, what is in it, and objects
// with their metadata.
func bucketOf(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		root := os.DirFS(filepath.Join(dir, bucket))
		switch {
		case r.URL.Query().Has("location"):
			fmt.Fprint(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>`)
		case key == "":
			listObjects(w, r, root)
		default:
			body, err := fs.ReadFile(root, key)
			if err != nil {
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, `<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`)
				return
			}
			var metadata map[string]string
			if text, err := fs.ReadFile(root, key+".metadata.json"); err == nil && json.Unmarshal(text, &metadata) == nil {
				for k, v := range metadata {
					w.Header()["x-amz-meta-"+k] = []string{v} // in lower case, as S3 does: clients take the name as it is
				}
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body)
		}
	})
}

func listObjects(w http.ResponseWriter, r *http.Request, root fs.FS) {
	q := r.URL.Query()
	var out struct {
		XMLName     xml.Name `xml:"ListBucketResult"`
		IsTruncated bool
		Contents    []struct{ Key string }
	}
	_ = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(name, q.Get("prefix")) && name > q.Get("marker") && !strings.HasSuffix(name, ".metadata.json") {
			out.Contents = append(out.Contents, struct{ Key string }{name})
		}
		return nil
	})
	_ = xml.NewEncoder(w).Encode(out)
}

// TestAWSValidatesTheExportedRecord: AWS's own validator finds exported digests and log files whole, with the keys that the
// running server lists, and finds each byte that is altered.
func TestAWSValidatesTheExportedRecord(t *testing.T) {
	t.Parallel()
	rig.Need(t, "aws", "--version")
	data, to := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "record")
	const off = -4 * time.Hour
	old, stop := rig.Run(t, func(c *server.Config) {
		c.Data, c.Now = data, func() time.Time { return time.Now().Add(off) }
	})
	_, err := kms.NewClient(protocol.Client{Endpoint: old.API, HTTP: old.HTTP, Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), old.Root, old.Region, "kms", time.Now().Add(off))
		return nil
	}}).CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	s := rig.Start(t, func(c *server.Config) { c.Data = data })
	var digests, files int
	for deadline := time.Now().Add(time.Minute); digests < 4; time.Sleep(100 * time.Millisecond) {
		if digests, files, err = server.ExportAudit(t.Context(), server.AuditConfig{Data: data}, server.AuditExport{To: to}); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d digests", digests)
		}
	}
	if files == 0 {
		t.Fatal("no log files")
	}
	bucket := httptest.NewServer(bucketOf(to))
	defer bucket.Close()
	validate := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "aws", "--endpoint-url", s.API, "cloudtrail", "validate-logs", "--verbose",
			"--trail-arn", "arn:aws:cloudtrail:"+s.Region+":000000000000:trail/obscura", "--s3-bucket", "obscura-audit",
			"--start-time", time.Now().Add(-24*time.Hour).UTC().Format(time.RFC3339))
		cmd.Env = append(environment(s), "AWS_ENDPOINT_URL_S3="+bucket.URL)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := validate()
	if err != nil && strings.Contains(out, "s3.amazonaws.com") {
		t.Skip("this aws knows no AWS_ENDPOINT_URL_S3")
	}
	want := fmt.Sprintf("%d/%d digest files valid", digests, digests)
	if err != nil || !strings.Contains(out, want) || !strings.Contains(out, fmt.Sprintf("%d/%d log files valid", files, files)) {
		t.Fatalf("%v\n%s", err, out)
	}
	var names []string
	err = filepath.WalkDir(to, func(name string, d fs.DirEntry, err error) error {
		if strings.Contains(name, "_CloudTrail_") {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) != files {
		t.Fatal(err, names)
	}
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	if out, err := validate(); err == nil || !strings.Contains(out, fmt.Sprintf("%d/%d log files valid, 1/%d log files INVALID", files-1, files, files)) {
		t.Errorf("control: a log file that is gone: %v\n%s", err, out)
	}
}
