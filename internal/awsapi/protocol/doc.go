// SPDX-License-Identifier: Apache-2.0

// Package protocol is the hand-written half of the wire: JSON 1.1, REST-JSON and
// the query protocol, for servers and (the JSON ones) for clients. The packages
// beside it are generated and hold only names, types and constraints.
//
// It decides nothing: no authentication, no authorisation, no state. Its invariant
// is that what it hands to an operation is bounded in size and depth, well-formed
// and validated, and that nothing but an [APIError] shows its text to a client.
package protocol
