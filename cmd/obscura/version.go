// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/fips140"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the build of a release (-ldflags "-X main.release=v1.2.3").
var release = "development"

// versionInfo is what `obscura version --json` prints.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// FIPS140 is the version of the Go Cryptographic Module; FIPSMode says whether it runs in FIPS 140-3 mode.
	FIPS140  string `json:"fips140"`
	FIPSMode bool   `json:"fipsMode"`
}

func newVersion(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which Obscura this is",
		Example: "  obscura version\n  obscura version --json\n  obscura version | head -1",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := readVersion()
			if t.json {
				return json.NewEncoder(t.out).Encode(v)
			}
			rev := v.Revision
			if v.Modified {
				rev += " (modified)"
			}
			mode := ""
			if v.FIPSMode {
				mode = " in FIPS 140-3 mode"
			}
			_, err := fmt.Fprintf(t.out, "obscura %s %s\n%s %s\nGo Cryptographic Module %s%s\n", v.Version, rev, v.Go, v.Platform, v.FIPS140, mode)
			return err
		},
	}
}

func readVersion() versionInfo {
	v := versionInfo{
		Version: release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		FIPS140: fips140.Version(), FIPSMode: fips140.Enabled(),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
