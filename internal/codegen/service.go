// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
)

// handwritten operations by package: the function that makes their row.
var handwritten = map[string]string{"kinesisvideomedia": "putMediaOperation(s)"}

// dispatch emits New: the table from names on the wire to methods of a Server.
func (f *file) dispatch() error {
	meta := f.m.Metadata
	protocols := map[string]string{"json": "JSON11", "rest-json": "RestJSON", "query": "Query"}
	name, ok := protocols[meta.Protocol]
	if !ok {
		return fmt.Errorf("protocol %q", meta.Protocol)
	}
	f.p("// New makes the dispatch table of a server.")
	f.p("func New(s Server) *protocol.Service {")
	f.p("return protocol.NewService(protocol.Service{")
	f.p("Name: %q,", f.svc.pkg)
	f.p("SigningName: %q,", cmp.Or(meta.SigningName, meta.EndpointPrefix))
	f.p("APIVersion: %q,", meta.APIVersion)
	f.p("Protocol: protocol.%s,", name)
	if meta.TargetPrefix != "" {
		f.p("TargetPrefix: %q,", meta.TargetPrefix)
	}
	if meta.XMLNamespace != "" {
		f.p("Namespace: %q,", meta.XMLNamespace)
	}
	if n := f.patch.Bodies[f.svc.pkg]; n != 0 {
		f.p("MaxBody: %d,", n)
	}
	f.p("},")
	for _, op := range sorted(f.m.Operations) {
		f.row(f.m.Operations[op])
	}
	if row := handwritten[f.svc.pkg]; row != "" {
		f.p("%s,", row)
	}
	f.p(")\n}")
	return nil
}

func (f *file) row(o *operation) {
	unsigned := ""
	if o.Authtype == "none" {
		unsigned = ", Unsigned: true"
	}
	declared := ""
	if codes := f.m.codes(o); len(codes) > 0 {
		declared = fmt.Sprintf(", Errors: %#v", codes)
	}
	desc := fmt.Sprintf("protocol.Operation{Name: %q, Method: %q, Path: %q%s%s}", o.Name, o.HTTP.Method, o.HTTP.RequestURI, unsigned, declared)
	if f.m.Metadata.Protocol != "query" {
		f.p("protocol.JSONOperation(%s, s.%s),", desc, upper(o.Name))
		return
	}
	wrapper := ""
	if o.Output != nil {
		wrapper = o.Output.ResultWrapper
	}
	f.p("protocol.QueryOperation(%s, %q, s.%s),", desc, wrapper, upper(o.Name))
}

// client emits a typed client of a JSON service.
func (f *file) client() error {
	if f.m.Metadata.Protocol == "query" {
		return nil
	}
	f.p("// Client calls the service over the wire. Failures that the service reports")
	f.p("// are [*protocol.ResponseError].")
	f.p("type Client struct{ c protocol.Client }\n")
	f.p("// NewClient makes a client; its Service need not be set.")
	f.p("func NewClient(c protocol.Client) *Client {")
	f.p("c.Service = New(Unimplemented{})")
	f.p("return &Client{c}\n}\n")
	for _, name := range sorted(f.m.Operations) {
		op := upper(name)
		o := f.m.Operations[name]
		if o.Output != nil && f.m.Shapes[o.Output.Shape].Payload != "" {
			f.p("// %s calls the operation. The caller closes the body.", op)
			f.p("func (c *Client) %s(ctx context.Context, in *%sInput) (*%sOutput, io.ReadCloser, error) {", op, op, op)
			f.p("return protocol.InvokeStream(ctx, &c.c, %q, in, new(%sOutput))\n}\n", name, op)
			continue
		}
		f.p("// %s calls the operation.", op)
		f.p("func (c *Client) %s(ctx context.Context, in *%sInput) (*%sOutput, error) {", op, op, op)
		f.p("return protocol.Invoke(ctx, &c.c, %q, in, new(%sOutput))\n}\n", name, op)
	}
	return nil
}
