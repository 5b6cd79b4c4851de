// SPDX-License-Identifier: Apache-2.0

package gateway

import "net/http"

// guardedWriter asks before the first byte of an answer leaves. When the answer must not leave, it cuts the
// connection: nothing else can be said to a client that is still sending.
type guardedWriter struct {
	http.ResponseWriter
	before func() error
	begun  bool
}

// Unwrap lets http.ResponseController reach the connection.
func (g *guardedWriter) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// WriteHeader lets informational responses (100 Continue) pass unasked: they answer nothing.
func (g *guardedWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		g.begin()
	}
	g.ResponseWriter.WriteHeader(status)
}

func (g *guardedWriter) Write(p []byte) (int, error) {
	g.begin()
	return g.ResponseWriter.Write(p)
}

func (g *guardedWriter) begin() {
	if g.begun {
		return
	}
	g.begun = true
	if err := g.before(); err != nil {
		panic(http.ErrAbortHandler)
	}
}
