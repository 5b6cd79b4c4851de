// SPDX-License-Identifier: Apache-2.0

// Command codegen writes the packages below internal/awsapi from API models, and the tables of docs/compat.
//
// The models are the api-2.json files of github.com/aws/aws-sdk-go, taken from
// the module cache, with patch.json merged over them (RFC 7386), and those of APIs
// of our own, which lie in models and have the same form. Names, shapes and
// constraints are taken; documentation is not. The output is committed:
//
//	go run ./internal/codegen          writes every *_gen.go, and the tables
//	go run ./internal/codegen -check   exits 1 when a committed file is stale
//
// A table of docs/compat says of each operation whether it is built, which follows from the methods of its service;
// in what it differs from AWS, which is written in docs/compat/notes; and which case of test/conformance tests it.
//
// A new service is a line in services; what its model has that the generator does
// not know makes the generation fail and says so.
//
// It never touches the network, and it fails on anything in a model that it
// does not understand: a constraint dropped silently would be a hole.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modelModule is where the models come from; go.mod pins its version.
const modelModule = "github.com/aws/aws-sdk-go"

// service names one model and the package that is made of it.
type service struct {
	model string // file in models, or else folder below models/apis of the module
	pkg   string // package below internal/awsapi
	in    string // package below internal/service that builds it, where that is not called as pkg is
}

var services = []service{
	{model: "kms", pkg: "kms"},
	{model: "kinesisvideo", pkg: "kinesisvideo"},
	{model: "kinesis-video-media", pkg: "kinesisvideomedia", in: "kinesisvideo"},
	{model: "kinesis-video-archived-media", pkg: "kinesisvideoarchivedmedia", in: "kinesisvideo"},
	{model: "iam", pkg: "iam"},
	{model: "sts", pkg: "sts"},
	{model: "cloudtrail", pkg: "cloudtrail"},
	{model: "iot", pkg: "iot"},
	{model: "mailbox", pkg: "mailbox"},
}

func main() {
	check := flag.Bool("check", false, "compare with the committed files instead of writing them")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "codegen:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	root, err := goList("-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	models, err := goList("-m", "-f", "{{.Dir}}", modelModule)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range services {
		files, err := generate(models, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.model, err)
		}
		dir := filepath.Join(root, "internal", "awsapi", s.pkg)
		if check {
			errs = append(errs, compare(dir, files))
			continue
		}
		errs = append(errs, write(dir, files))
	}
	errs = append(errs, compat(root, models, check))
	return errors.Join(errs...)
}

func goList(args ...string) (string, error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// write replaces every generated file of dir by files.
func write(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, old := range generated(dir) {
		if _, keep := files[filepath.Base(old)]; !keep {
			if err := os.Remove(old); err != nil {
				return err
			}
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compare reports the first difference between dir and files.
func compare(dir string, files map[string][]byte) error {
	for _, old := range generated(dir) {
		if _, known := files[filepath.Base(old)]; !known {
			return fmt.Errorf("%s is no longer generated", old)
		}
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s is stale: run go run ./internal/codegen", filepath.Join(dir, name))
		}
	}
	return nil
}

func generated(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "*_gen.go")) // the pattern is well formed
	return names
}
