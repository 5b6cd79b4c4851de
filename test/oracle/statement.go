// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"strings"

	"github.com/obscura-video/obscura/internal/policy"
)

// A statement is a decoded statement, with the version of its document under the name "Version".
type statement map[string]any

func statements(document string) []statement {
	if document == "" {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.UseNumber()
	var d map[string]any
	if decoder.Decode(&d) != nil {
		return nil
	}
	var all []statement
	for _, s := range list(d["Statement"]) {
		if m, ok := s.(map[string]any); ok {
			m["Version"] = d["Version"]
			all = append(all, m)
		}
	}
	return all
}

// list returns an array's elements, and what is no array as the only one.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// texts is list for strings; numbers and booleans are taken as they are written.
func texts(v any) []string {
	var all []string
	for _, e := range list(v) {
		switch e := e.(type) {
		case string:
			all = append(all, e)
		case json.Number:
			all = append(all, e.String())
		case bool:
			all = append(all, map[bool]string{true: "true", false: "false"}[e])
		}
	}
	return all
}

func (s statement) effect() string { e, _ := s["Effect"].(string); return e }
func (s statement) sid() string    { e, _ := s["Sid"].(string); return e }

// variables says whether ${…} means something in this statement.
func (s statement) variables() bool { return s["Version"] == policy.Version2012 }

// applies says whether the statement is about the request.
func (j Judge) applies(s statement, w World) bool {
	return j.principalMatches(s, w) && j.actionMatches(s, w) && j.resourceMatches(s, w) && j.conditionsHold(s, w)
}

func (j Judge) actionMatches(s statement, w World) bool {
	element, negated := s["Action"], false
	if e, ok := s["NotAction"]; ok {
		element, negated = e, true
	}
	matched := false
	for _, pattern := range texts(element) {
		if like(plainPattern(strings.ToLower(pattern)), strings.ToLower(w.Request.Action)) {
			matched = true
		}
	}
	if negated {
		return j.note("NotAction", !matched)
	}
	return j.note("Action", matched)
}

// resourceMatches: trust policies have no Resource, and are about their role. A pattern with a
// variable that has no value matches nothing; so the NotResource of a Deny excepts nothing by it. For an
// Allow the stricter reading is in force: the statement does not match.
func (j Judge) resourceMatches(s statement, w World) bool {
	element, negated := s["Resource"], false
	if e, ok := s["NotResource"]; ok {
		element, negated = e, true
	}
	if element == nil {
		return true
	}
	matched := false
	for _, text := range texts(element) {
		pattern, ok := expand(text, s.variables(), w)
		if ok && like(pattern, w.Request.Resource) {
			matched = true
		}
		if !ok && negated && s.effect() == "Allow" {
			return j.note("NotResource", false)
		}
	}
	if negated {
		return j.note("NotResource", !matched)
	}
	return j.note("Resource", matched)
}

func (j Judge) principalMatches(s statement, w World) bool {
	caller := w.Request.Principal
	if element, ok := s["NotPrincipal"]; ok {
		return j.note("NotPrincipal", !excepted(element, caller, s.effect()))
	}
	if element, ok := s["Principal"]; ok {
		return j.note("Principal", len(callerForms(element, caller)) > 0)
	}
	return true // an identity policy is about whom it is attached to
}

// excepted says whether NotPrincipal takes the caller out. From a Deny it is taken out only if all
// that it acts as is named: its account, and of a role the session too. From an Allow, any will do.
func excepted(element any, caller policy.Principal, effect string) bool {
	forms := callerForms(element, caller)
	if effect == "Allow" || forms[asEveryone] {
		return len(forms) > 0
	}
	switch caller.Kind {
	case policy.User:
		return forms[asAccount] && forms[asUser]
	case policy.AssumedRole:
		return forms[asAccount] && forms[asRole] && forms[asSession]
	case policy.FederatedUser:
		return forms[asAccount] && forms[asSession]
	}
	return len(forms) > 0
}
