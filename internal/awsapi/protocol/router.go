// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// Router finds the operation of a request among several services.
type Router struct {
	services []*Service
	bySigner map[string][]*Service
	fallback *Service
}

// NewRouter makes a router. It does not look at the order of the services.
func NewRouter(services ...*Service) *Router {
	rt := &Router{services, map[string][]*Service{}, NewService(Service{Name: "unknown", Protocol: RestJSON})}
	for _, s := range services {
		rt.bySigner[s.SigningName] = append(rt.bySigner[s.SigningName], s)
	}
	return rt
}

// Services are the routed services, as given.
func (rt *Router) Services() []*Service { return rt.services }

// Match finds the operation that a request asks for.
//
// signingName is the service in the request's credential scope, and empty when it
// carries none; it then goes by X-Amz-Target, Action and Version, or method and
// path alone. Several services may share a signing name.
//
// The service is never nil, so that an error can be written in the protocol that
// the client most likely speaks; the operation is nil exactly when there is an
// error. Errors: UnknownOperation, TooLarge, Serialization.
//
// To find an Action, Match reads a form body, bounded, and puts it back.
func (rt *Router) Match(w http.ResponseWriter, r *http.Request, signingName string) (*Service, *Operation, error) {
	candidates := rt.named(signingName)
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		if s, op, ok := matchTarget(candidates, target, signingName != ""); ok {
			return found(s, op, target)
		}
	}
	if s, op, ok := matchPath(candidates, r); ok {
		return s, op, nil
	}
	if s := first(candidates, Query); s != nil {
		form, err := s.form(w, r)
		if err != nil {
			return s, nil, err
		}
		if action := form.Get("Action"); action != "" || signingName != "" {
			s, op := matchAction(candidates, action, form.Get("Version"))
			return found(s, op, action)
		}
	}
	if len(candidates) > 0 && signingName != "" {
		return found(candidates[0], nil, "")
	}
	return found(rt.fallback, nil, "")
}

// Serves says whether a service with this signing name is routed.
func (rt *Router) Serves(signingName string) bool {
	return signingName != "" && len(rt.named(signingName)) > 0
}

func found(s *Service, op *Operation, name string) (*Service, *Operation, error) {
	if op == nil {
		return s, nil, s.unknownOperation(name)
	}
	return s, op, nil
}

func (rt *Router) named(signingName string) []*Service {
	if signingName == "" {
		return rt.services
	}
	return rt.bySigner[signingName]
}

func first(services []*Service, p Protocol) *Service {
	for _, s := range services {
		if s.Protocol == p {
			return s
		}
	}
	return nil
}

// matchTarget goes by the text after the last dot once the service is certain.
// Old clients send a shorter prefix, so a suffix of the prefix will do.
func matchTarget(services []*Service, target string, named bool) (*Service, *Operation, bool) {
	dot := strings.LastIndexByte(target, '.')
	prefix, name := target[:max(dot, 0)], target[dot+1:]
	for _, s := range services {
		if s.Protocol != JSON11 {
			continue
		}
		if named || s.TargetPrefix == prefix || prefix != "" && strings.HasSuffix(s.TargetPrefix, "."+prefix) {
			op, _ := s.Operation(name)
			return s, op, true
		}
	}
	return nil, nil, false
}

func matchPath(services []*Service, r *http.Request) (*Service, *Operation, bool) {
	for _, s := range services {
		if s.Protocol != RestJSON {
			continue
		}
		for _, op := range s.Operations {
			if op.matches(r.Method, r.URL.EscapedPath()) {
				return s, op, true
			}
		}
	}
	return nil, nil, false
}

// matchAction prefers a service of the version that has the action; then one of
// the version, then one that has the action, then the first.
func matchAction(services []*Service, action, version string) (*Service, *Operation) {
	var best *Service
	var bestOp *Operation
	bestScore := -1
	for _, s := range services {
		if s.Protocol != Query {
			continue
		}
		op, ok := s.Operation(action)
		score := 0
		if s.APIVersion == version {
			score += 2
		}
		if ok {
			score++
		}
		if score > bestScore {
			best, bestOp, bestScore = s, op, score
		}
	}
	return best, bestOp
}

// form is the request's parameters: the URL's, and those of a form body, which is
// read and put back.
func (s *Service) form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	var body []byte
	if isForm(r) {
		var err error
		if body, err = s.readBody(w, r); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return s.values(r, body)
}

// values merges the URL's parameters with those of a form body.
func (s *Service) values(r *http.Request, body []byte) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, s.Error(Serialization, "The query string is malformed.")
	}
	if !isForm(r) {
		return query, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, s.Error(Serialization, "The form is malformed.")
	}
	for name, v := range query {
		if !strings.HasPrefix(name, "X-Amz-") {
			form[name] = append(form[name], v...)
		}
	}
	return form, nil
}

func isForm(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	typ, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && typ == "application/x-www-form-urlencoded"
}
