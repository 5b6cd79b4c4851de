// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"strconv"
	"strings"
)

// importRule forbids imports. All lists are of patterns, see match.
type importRule struct {
	name string
	// who is bound by the rule, and who among them is not.
	who, notWho []string
	// deny is what they must not import, apart from allow.
	deny, allow []string
	// testsMay is what their tests may import all the same.
	testsMay []string
	why      string
}

var everybody = []string{"./...", "."}

// programs may import anything: they are where things are put together.
var programs = []string{"./cmd/...", "./test/...", "./bench/...", "./examples/..."}

// concrete are the packages that only the composition root knows.
var concrete = []string{
	"./internal/service/...",
	"./internal/meta/mem", "./internal/meta/pebble", "./internal/meta/postgres",
	"./internal/blob/mem", "./internal/blob/disk", "./internal/blob/s3",
	"./console/...",
}

// importRules is the architecture.
//
// DO NOT CHANGE THIS TABLE TO FIX A BUILD. A build that breaks here has found a mistake in the code: declare
// an interface where the thing is used, and have internal/server put the other side in. When a rule itself
// is wrong, write down why in docs/design first.
var importRules = []importRule{
	{
		name: "1: programs are leaves", who: everybody, notWho: programs, deny: programs,
		why: "what a program contains can be relied on by nobody else; move it into a package",
	},
	{
		name: "2: one composition root", who: everybody, notWho: append([]string{"./internal/server"}, programs...), deny: concrete,
		testsMay: []string{"./internal/meta/mem", "./internal/blob/mem"},
		why:      "only internal/server knows services, stores and console; everybody else declares an interface for what it needs, so that each can be replaced and tested alone",
	},
	{
		name: "3: services speak no HTTP", who: []string{"./internal/service/..."},
		deny:     []string{"net/http/...", "./internal/gateway", "./internal/server"},
		testsMay: []string{"net/http/..."},
		why:      "a service is behaviour behind a generated interface; authentication, throttling and audit happen in the gateway, and a service that read a request itself would go round them",
	},
	{
		name: "4: the wire knows no service", who: []string{"./internal/awsapi/..."},
		deny: []string{"./..."}, allow: []string{"./internal/awsapi/...", "./internal/sigv4"},
		why: "the wire packages are used by server, SDK and tests alike, so they may drag none of them in",
	},
	{
		name: "5: the SDK speaks the wire only", who: []string{"./producer/...", "./consumer/...", "./household/..."},
		deny:  []string{"./internal/..."},
		allow: []string{"./internal/awsapi/...", "./internal/sigv4", "./internal/seal", "./internal/media/..."},
		why:   "the SDK must be able to do nothing that any other client cannot do over the wire",
	},
	{
		name: "5: e2ee stands alone", who: []string{"./e2ee/..."},
		deny: []string{"..."}, allow: []string{"std", "golang.org/x/crypto/...", "./e2ee/..."},
		why: "end-to-end encryption must be reviewable by itself: standard library and x/crypto, nothing else",
	},
	{
		name: "6: the server cannot open end-to-end encrypted media", who: []string{"./internal/..."}, deny: []string{"./e2ee/...", "./household/..."},
		why: "that the server holds no code that could decrypt is a promise made to its users",
	},
	{
		name: "7: ciphers in few places", who: everybody,
		notWho: []string{"./internal/seal", "./internal/service/kms", "./internal/media/hls", "./internal/transcode", "./e2ee/..."},
		deny: []string{
			"crypto/aes", "crypto/cipher", "crypto/des", "crypto/rc4",
			"golang.org/x/crypto/chacha20", "golang.org/x/crypto/chacha20poly1305", "golang.org/x/crypto/nacl/...", "golang.org/x/crypto/xts",
		},
		why: "nonces and associated data go wrong where ciphers are used by the way; use internal/seal",
	},
	{
		name: "8: foreign tokens in one place", who: everybody, notWho: []string{"./internal/oidc/..."},
		deny: []string{"github.com/go-jose/..."},
		why:  "a token that was read and not verified looks like one that was; only internal/oidc, which verifies issuer, audience, time and signature at once, may read them (docs/design/0004-web-identity.md)",
	},
	{
		name: "7: no weak randomness, no unsafe", who: everybody, notWho: []string{"./cmd/..."},
		deny: []string{"math/rand/...", "unsafe"},
		why:  "math/rand gets into keys and tokens unnoticed (use crypto/rand, in tests rapid or a counter), and unsafe voids what the compiler promises about memory",
	},
}

func checkImports(p *pkg, f *file) []Violation {
	var found []Violation
	for _, spec := range f.ast.Imports {
		raw, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := imported(raw)
		if sameTree(p.path, name) {
			continue
		}
		for _, r := range importRules {
			if r.forbids(p.path, name, f.test) {
				found = append(found, Violation{
					Rule: r.name, Pos: p.at(spec.Pos()), Why: r.why,
					What: fmt.Sprintf("%s must not import %s", strings.TrimPrefix(p.path, "./"), strings.TrimPrefix(name, "./")),
				})
			}
		}
	}
	return found
}

func (r *importRule) forbids(who, what string, test bool) bool {
	if !match(who, r.who) || match(who, r.notWho) {
		return false
	}
	if !match(what, r.deny) || match(what, r.allow) {
		return false
	}
	return !test || !match(what, r.testsMay)
}

// sameTree says that one package lies in or below the other: a package and its parts are one thing.
func sameTree(a, b string) bool {
	return strings.HasPrefix(a+"/", b+"/") || strings.HasPrefix(b+"/", a+"/")
}
