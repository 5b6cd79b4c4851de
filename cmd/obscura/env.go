// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/internal/server"
)

func newEnv(t *terminal) *cobra.Command {
	var data, shell string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print shell lines that point AWS's tools at this server",
		Long: `Print shell lines that point the aws command (2.13 or newer) and current AWS SDKs at the
server of a data directory, with its root credentials. Nothing else is printed.

Older tools that do not know AWS_ENDPOINT_URL need --endpoint-url "$AWS_ENDPOINT_URL".`,
		Example: `  eval "$(obscura env)"
  eval "$(obscura env --data /srv/obscura)"
  obscura env --shell fish | source`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			e, err := readEndpoints(data)
			if err != nil {
				return err
			}
			return printEnv(t.out, e, shell)
		},
	}
	cmd.Flags().StringVar(&data, "data", server.DefaultData, "data directory of the server")
	cmd.Flags().StringVar(&shell, "shell", "sh", "sh, fish or powershell")
	return cmd
}

// readEndpoints reads where the server of a data directory was last reached.
func readEndpoints(data string) (server.Endpoints, error) {
	e, err := server.ReadEndpoints(data)
	if errors.Is(err, fs.ErrNotExist) {
		return e, &problem{
			What: fmt.Sprintf("no server has run with the data directory %s", data),
			Next: "obscura serve --data " + shellQuote(data),
			Exit: exitNotFound, Err: err,
		}
	}
	return e, err
}

// overrides are the variables that would win over what env sets.
var overrides = []string{
	"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
	"AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_IAM", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_IOT", "AWS_ENDPOINT_URL_CLOUDTRAIL",
	"AWS_ENDPOINT_URL_KINESIS_VIDEO", "AWS_ENDPOINT_URL_KINESIS_VIDEO_MEDIA",
	"AWS_ENDPOINT_URL_KINESIS_VIDEO_ARCHIVED_MEDIA",
}

func printEnv(w io.Writer, e server.Endpoints, shell string) error {
	unset, set := "unset %s\n", "export %s=%s\n"
	quote := shellQuote
	switch shell {
	case "sh", "bash", "zsh":
	case "fish":
		unset, set = "set -e %s\n", "set -gx %s %s\n"
	case "powershell":
		unset, set = "Remove-Item Env:%s -ErrorAction SilentlyContinue\n", "$Env:%s = %s\n"
		quote = func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	default:
		return usageError{fmt.Errorf("--shell %q: want sh, fish or powershell", shell)}
	}
	var b strings.Builder
	if shell == "fish" || shell == "powershell" {
		for _, name := range overrides {
			fmt.Fprintf(&b, unset, name)
		}
	} else {
		fmt.Fprintf(&b, unset, strings.Join(overrides, " "))
	}
	for _, kv := range [][2]string{
		{"AWS_ENDPOINT_URL", e.API},
		{"AWS_CA_BUNDLE", e.CAFile},
		{"NODE_EXTRA_CA_CERTS", e.CAFile},
		{"AWS_SHARED_CREDENTIALS_FILE", filepath.Join(e.Data, "credentials")},
		{"AWS_REGION", e.Region},
		{"AWS_DEFAULT_REGION", e.Region},
	} {
		if kv[1] != "" {
			fmt.Fprintf(&b, set, kv[0], quote(kv[1]))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shellQuote quotes s for a POSIX shell, and leaves plain words as they are.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+,=") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
