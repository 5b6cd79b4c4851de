// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"slices"
	"strings"

	"github.com/obscura-video/obscura/internal/arn"
)

// Messages of MalformedError that say no more than themselves.
const (
	msgSyntax         = "Syntax errors in policy."
	msgJSON           = "This policy contains invalid Json"
	msgNoActions      = "Policy statement must contain actions."
	msgNoResources    = "Policy statement must contain resources."
	msgNoPrincipal    = "Missing required field Principal"
	msgHasPrincipal   = "Policy document should not specify a principal."
	msgHasResource    = "Has prohibited field Resource"
	msgNoVendor       = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	msgColons         = "Actions/Condition can contain only one colon."
	msgTrustActions   = "AssumeRole policy may only specify STS AssumeRole actions."
	msgSIDUnique      = "Statement IDs (SID) in a single policy must be unique."
	msgSIDCharacters  = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
	msgResourceVendor = "Resource vendor must be fully qualified and cannot contain regexes."
)

// Parse compiles a policy document of the given kind. It does not keep doc.
//
// The error is a *MalformedError. Beyond what AWS refuses, Parse refuses a member that is there twice, members it
// does not know, documents that are not UTF-8, and a key policy's statement without Resource (which in AWS has
// no effect): what a reader of the policy sees is what is evaluated.
func Parse(doc []byte, kind Kind) (*Document, error) {
	if len(doc) > MaxBytes {
		return nil, &MalformedError{msgSyntax}
	}
	root, err := readJSON(doc)
	if err != nil {
		if errors.Is(err, errJSON) && kind.hasPrincipal() {
			return nil, &MalformedError{msgJSON}
		}
		return nil, malformed(err)
	}
	d, err := parseDocument(root, kind)
	if err != nil {
		return nil, malformed(err)
	}
	return d, nil
}

// malformed gives err the message that AWS gives it.
func malformed(err error) error {
	if m := (*MalformedError)(nil); errors.As(err, &m) {
		return m
	}
	return &MalformedError{msgSyntax}
}

func parseDocument(root node, kind Kind) (*Document, error) {
	if root.kind != objectNode {
		return nil, errSyntax
	}
	d := &Document{kind: kind, version: Version2008}
	var statements []node
	for _, m := range root.members {
		switch {
		case m.name == "Version" && (m.value.text == Version2008 || m.value.text == Version2012):
			d.version = m.value.text
		case m.name == "Id" && m.value.kind == stringNode:
			d.id = m.value.text
		case m.name == "Statement":
			statements = m.value.list()
		default:
			return nil, errSyntax
		}
	}
	if len(statements) == 0 {
		return nil, errSyntax
	}
	for _, n := range statements {
		s, err := parseStatement(n, d)
		if err != nil {
			return nil, err
		}
		d.statements = append(d.statements, s)
	}
	return d, checkSIDs(d)
}

func checkSIDs(d *Document) error {
	if d.kind.hasPrincipal() && d.kind != Trust {
		return nil
	}
	seen := map[string]bool{}
	for _, s := range d.statements {
		switch {
		case s.sid == "":
		case !d.kind.hasPrincipal() && strings.ContainsFunc(s.sid, notAlphanumeric):
			return &MalformedError{msgSIDCharacters}
		case seen[s.sid]:
			return &MalformedError{msgSIDUnique}
		}
		seen[s.sid] = true
	}
	return nil
}

func parseStatement(n node, d *Document) (statement, error) {
	if n.kind != objectNode {
		return statement{}, errSyntax
	}
	var s statement
	withVariables := d.version == Version2012
	effect := false
	for _, m := range n.members {
		var err error
		switch m.name {
		case "Sid":
			s.sid, err = m.value.text, isString(m.value)
		case "Effect":
			effect = true
			s.deny, err = parseEffect(m.value)
		case "Principal", "NotPrincipal":
			s.notPrincipal = m.name == "NotPrincipal"
			err = once(s.principals == nil, func() (err error) { s.principals, err = parsePrincipals(m.value); return })
		case "Action", "NotAction":
			s.notAction = m.name == "NotAction"
			err = once(s.actions == nil, func() (err error) { s.actions, err = parseActions(m.value, d.kind); return })
		case "Resource", "NotResource":
			s.notResource = m.name == "NotResource"
			err = once(s.resources == nil, func() (err error) { s.resources, err = parseResources(m.value, withVariables); return })
		case "Condition":
			s.conditions, err = parseConditions(m.value, withVariables)
		default:
			err = errSyntax
		}
		if err != nil {
			return statement{}, err
		}
	}
	if !effect {
		return statement{}, errSyntax
	}
	return s, s.finish(d.kind)
}

// once refuses an element that is there in both its forms, such as Action and NotAction.
func once(first bool, parse func() error) error {
	if !first {
		return errSyntax
	}
	return parse()
}

// finish checks that the statement has the elements of its kind and no others.
func (s *statement) finish(kind Kind) error {
	s.anyResource = kind == Trust || slices.ContainsFunc(s.resources, func(t template) bool { return !t.variables && t.plain == "*" })
	switch {
	case len(s.principals) > 0 && !kind.hasPrincipal():
		return &MalformedError{msgHasPrincipal}
	case len(s.principals) == 0 && kind.hasPrincipal():
		return &MalformedError{msgNoPrincipal}
	case len(s.actions) == 0:
		return &MalformedError{msgNoActions}
	case len(s.resources) > 0 && kind == Trust:
		return &MalformedError{msgHasResource}
	case len(s.resources) == 0 && kind != Trust:
		return &MalformedError{msgNoResources}
	}
	return nil
}

func isString(n node) error {
	if n.kind != stringNode {
		return errSyntax
	}
	return nil
}

func parseEffect(n node) (deny bool, err error) {
	if n.kind != stringNode || n.text != "Allow" && n.text != "Deny" {
		return false, errSyntax
	}
	return n.text == "Deny", nil
}

func parseActions(n node, kind Kind) ([]arn.Glob, error) {
	names, ok := n.strings()
	if !ok {
		return nil, errSyntax
	}
	var out []arn.Glob
	for _, name := range names {
		if err := checkAction(name, kind); err != nil {
			return nil, err
		}
		out = append(out, arn.CompileGlob(strings.ToLower(name)))
	}
	return out, nil
}

// checkAction asks for "*" or service:Name, in which only Name may have wildcards.
func checkAction(name string, kind Kind) error {
	if name == "*" && kind != Trust {
		return nil
	}
	vendor, op, found := strings.Cut(name, ":")
	switch {
	case kind == Trust && (!found || !strings.EqualFold(vendor, "sts")):
		return &MalformedError{msgTrustActions}
	case !found:
		return &MalformedError{msgNoVendor}
	case strings.Contains(op, ":"):
		return &MalformedError{msgColons}
	case vendor == "" || strings.ContainsFunc(strings.ReplaceAll(vendor, "-", ""), notAlphanumeric):
		return &MalformedError{"Vendor " + vendor + " is not valid"}
	case op == "" || strings.ContainsFunc(op, notActionCharacter):
		return errSyntax
	}
	return nil
}

func notActionCharacter(r rune) bool { return notAlphanumeric(r) && !strings.ContainsRune("*?-_.", r) }

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

func parseResources(n node, withVariables bool) ([]template, error) {
	names, ok := n.strings()
	if !ok {
		return nil, errSyntax
	}
	var out []template
	for _, name := range names {
		if err := checkResource(name, withVariables); err != nil {
			return nil, err
		}
		t, err := newTemplate(name, withVariables)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// checkResource asks for "*" or an ARN with a literal service. An ARN may end early in a '*', which then
// stands for the segments that are missing.
func checkResource(name string, withVariables bool) error {
	if name == "*" {
		return nil
	}
	parts := strings.SplitN(name, ":", 4)
	if len(parts) < 4 || parts[0] != "arn" {
		return &MalformedError{"Resource " + name + ` must be in ARN format or "*".`}
	}
	if parts[2] == "" || strings.ContainsAny(parts[2], "*?$") {
		return &MalformedError{msgResourceVendor}
	}
	if _, six := splitARN(name, withVariables); !six && !strings.HasSuffix(name, "*") {
		return &MalformedError{"Resource " + name + ` must be in ARN format or "*".`}
	}
	return nil
}

func parseConditions(n node, withVariables bool) ([]condition, error) {
	if n.kind != objectNode {
		return nil, errSyntax
	}
	var out []condition
	for _, op := range n.members {
		if op.value.kind != objectNode {
			return nil, errSyntax
		}
		for _, key := range op.value.members {
			vals, ok := key.value.scalars()
			if !ok {
				return nil, errSyntax
			}
			if !strings.Contains(key.name, ":") {
				return nil, &MalformedError{msgNoVendor}
			}
			c, err := newCondition(op.name, key.name, vals, withVariables)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return out, nil
}
