// SPDX-License-Identifier: Apache-2.0

package oidc_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/obscura-video/obscura/internal/oidc"
	"github.com/obscura-video/obscura/internal/oidc/oidctest"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is an issuer and a verifier that trusts it, with a clock.
type world struct {
	*oidc.Verifier
	t        *testing.T
	now      time.Time
	issuer   *oidctest.Issuer
	provider oidc.Provider
}

func newWorld(t *testing.T, change ...func(*oidc.Config)) *world {
	w := &world{t: t, now: start, issuer: oidctest.New(t)}
	w.provider = oidc.Provider{URL: w.issuer.URL, ClientIDs: []string{"app", "other"}}
	c := oidc.Config{Roots: w.issuer.Roots(), Now: func() time.Time { return w.now }}
	for _, f := range change {
		f(&c)
	}
	w.Verifier = oidc.New(c)
	return w
}

func (w *world) token(change map[string]any) string { return w.issuer.Token(w.now, change) }

func (w *world) verify(token string) error {
	_, err := w.Verify(w.t.Context(), w.provider, token)
	return err
}

func (w *world) want(token string, want error) {
	w.t.Helper()
	if err := w.verify(token); !errors.Is(err, want) || (want == nil) != (err == nil) {
		w.t.Errorf("got %v, want %v", err, want)
	}
}

// fetches is how often the issuer's keys were asked for.
func (w *world) fetches() int {
	w.issuer.Lock()
	defer w.issuer.Unlock()
	return w.issuer.Hits["/realm/keys"]
}

func TestEachAlgorithmVerifies(t *testing.T) {
	for _, algorithm := range []jose.SignatureAlgorithm{
		jose.RS256, jose.RS512, jose.PS256, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	} {
		t.Run(string(algorithm), func(t *testing.T) {
			w := newWorld(t)
			w.issuer.Keys = []jose.JSONWebKey{oidctest.Key(t, "k", algorithm)}
			token := w.token(nil)
			w.want(token, nil)
			header, payload, _ := oidctest.Parts(token)
			_, _, other := oidctest.Parts(w.token(map[string]any{"sub": "somebody else"}))
			w.want(header+"."+payload+"."+other, oidc.ErrSignature)
		})
	}
}

func TestClaimsComeBack(t *testing.T) {
	w := newWorld(t)
	got, err := w.Verify(t.Context(), w.provider, w.token(map[string]any{
		"aud": []string{"nobody", "app"}, "azp": "other", "amr": []string{"pwd", "mfa"}, "nbf": start.Unix(),
		"https://aws.amazon.com/tags":            map[string]any{"principal_tags": map[string]any{"ward": []string{"7"}}, "transitive_tag_keys": []string{"ward"}},
		"https://aws.amazon.com/source_identity": "ana",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := oidc.Claims{
		Issuer: w.issuer.URL, Subject: "camera-7", Audience: []string{"nobody", "app"}, AuthorizedParty: "other",
		Methods: []string{"pwd", "mfa"}, Issued: start.Local(), NotBefore: start.Local(), Expires: start.Add(10 * time.Minute).Local(),
		Tags: map[string]string{"ward": "7"}, Transitive: []string{"ward"}, SourceIdentity: "ana",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

func TestTokensAreRefusedByTheirClaims(t *testing.T) {
	w := newWorld(t)
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }
	for name, tc := range map[string]struct {
		change map[string]any
		want   error
	}{
		"good":                             {nil, nil},
		"another issuer":                   {map[string]any{"iss": "https://evil.example"}, oidc.ErrIssuer},
		"issuer with a slash more":         {map[string]any{"iss": w.issuer.URL + "/"}, oidc.ErrIssuer},
		"no issuer":                        {map[string]any{"iss": nil}, oidc.ErrMalformed},
		"no subject":                       {map[string]any{"sub": nil}, oidc.ErrMalformed},
		"subject is a number":              {map[string]any{"sub": 7}, oidc.ErrMalformed},
		"subject too long":                 {map[string]any{"sub": strings.Repeat("x", 256)}, oidc.ErrMalformed},
		"no audience":                      {map[string]any{"aud": nil}, oidc.ErrMalformed},
		"empty audience":                   {map[string]any{"aud": []string{}}, oidc.ErrMalformed},
		"another audience":                 {map[string]any{"aud": "shop"}, oidc.ErrAudience},
		"audience in another case":         {map[string]any{"aud": "APP"}, oidc.ErrAudience},
		"part of an audience":              {map[string]any{"aud": "ap"}, oidc.ErrAudience},
		"one audience of several":          {map[string]any{"aud": []string{"shop", "app"}}, nil},
		"another party":                    {map[string]any{"azp": "shop"}, oidc.ErrAudience},
		"party ours, audience another":     {map[string]any{"azp": "app", "aud": "shop"}, oidc.ErrAudience},
		"no expiry":                        {map[string]any{"exp": nil}, oidc.ErrMalformed},
		"expiry is text":                   {map[string]any{"exp": "tomorrow"}, oidc.ErrMalformed},
		"expiry beyond all years":          {map[string]any{"exp": 1e300}, oidc.ErrMalformed},
		"expired":                          {map[string]any{"exp": at(-time.Second)}, oidc.ErrExpired},
		"expires now":                      {map[string]any{"exp": at(0)}, oidc.ErrExpired},
		"no time of issue":                 {map[string]any{"iat": nil}, oidc.ErrMalformed},
		"issued in the future":             {map[string]any{"iat": at(2 * time.Minute)}, oidc.ErrNotYet},
		"issued by a clock that is ahead":  {map[string]any{"iat": at(30 * time.Second)}, nil},
		"not before later":                 {map[string]any{"nbf": at(2 * time.Minute)}, oidc.ErrNotYet},
		"not before now":                   {map[string]any{"nbf": at(0)}, nil},
		"a tag with two values":            {map[string]any{"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"a": []string{"1", "2"}}}}, oidc.ErrMalformed},
		"names of claims in another case":  {map[string]any{"aud": nil, "AUD": "app"}, oidc.ErrMalformed},
		"other claims":                     {map[string]any{"groups": []string{"x"}, "nested": map[string]any{"aud": "x"}}, nil},
		"sixty-five audiences":             {map[string]any{"aud": append(make([]string, 0), strings.Split(strings.Repeat("app,", 64)+"app", ",")...)}, oidc.ErrMalformed},
		"methods that are no texts":        {map[string]any{"amr": 7}, oidc.ErrMalformed},
		"source identity that is no text":  {map[string]any{"https://aws.amazon.com/source_identity": []int{1}}, oidc.ErrMalformed},
		"negative time":                    {map[string]any{"iat": -1}, oidc.ErrMalformed},
		"not before is not a time":         {map[string]any{"nbf": -1}, oidc.ErrMalformed},
		"fractions of a second":            {map[string]any{"iat": float64(start.Unix()) + 0.25}, nil},
		"one method, as a text":            {map[string]any{"amr": "pwd"}, nil},
		"audience with an empty text more": {map[string]any{"aud": []string{"app", ""}}, oidc.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.want(w.token(tc.change), tc.want)
		})
	}
}

func b64(v any) string {
	b, ok := v.([]byte)
	if !ok {
		b, _ = json.Marshal(v)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// TestForgedTokens: what somebody can make who has no private key of the issuer, but all that is public.
func TestForgedTokens(t *testing.T) {
	w := newWorld(t)
	signing := oidctest.Key(t, "rsa", jose.RS256)
	w.issuer.Keys = []jose.JSONWebKey{signing, oidctest.Key(t, "ec", jose.ES256)}
	mine := oidctest.Key(t, "rsa", jose.RS256) // the same key ID, another key
	good := w.token(nil)
	w.want(good, nil)
	header, payload, signature := oidctest.Parts(good)
	claims := w.issuer.Claims(start, nil)

	public, err := x509.MarshalPKIXPublicKey(&signing.Key.(*rsa.PrivateKey).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func(key []byte) string {
		signed := b64(map[string]any{"alg": "HS256", "kid": "rsa"}) + "." + payload
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		return signed + "." + b64(mac.Sum(nil))
	}
	embedded := mine.Public()
	for name, tc := range map[string]struct {
		token string
		want  error
	}{
		"alg none":                          {b64(map[string]any{"alg": "none"}) + "." + payload + ".", oidc.ErrMalformed},
		"alg None":                          {b64(map[string]any{"alg": "None"}) + "." + payload + ".", oidc.ErrMalformed},
		"alg none with a signature":         {b64(map[string]any{"alg": "none", "kid": "rsa"}) + "." + payload + "." + signature, oidc.ErrMalformed},
		"no alg":                            {b64(map[string]any{"kid": "rsa"}) + "." + payload + "." + signature, oidc.ErrMalformed},
		"HMAC with the public key":          {hs256(public), oidc.ErrMalformed},
		"HMAC with the public key as PEM":   {hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), oidc.ErrMalformed},
		"HMAC with the JWK set":             {hs256(w.issuer.JWKS()), oidc.ErrMalformed},
		"another key by the same ID":        {oidctest.Sign(t, mine, claims, nil), oidc.ErrSignature},
		"a key of its own in the header":    {oidctest.Sign(t, mine, claims, map[string]any{"jwk": embedded}), oidc.ErrSignature},
		"an address of keys in the header":  {oidctest.Sign(t, mine, claims, map[string]any{"jku": "https://evil.example/keys"}), oidc.ErrSignature},
		"a key ID that is a path":           {oidctest.Sign(t, withID(mine, "../../../../dev/null"), claims, nil), oidc.ErrSignature},
		"a key ID that nobody has":          {oidctest.Sign(t, withID(signing, "k9"), claims, nil), oidc.ErrSignature},
		"no key ID where there are several": {oidctest.Sign(t, withID(signing, ""), claims, nil), oidc.ErrSignature},
		"the key of another kind":           {oidctest.Sign(t, withID(mine, "ec"), claims, nil), oidc.ErrSignature},
		"an extension":                      {oidctest.Sign(t, signing, claims, map[string]any{"crit": []string{"x"}, "x": 1}), oidc.ErrMalformed},
		"a payload that is not encoded":     {oidctest.Sign(t, signing, claims, map[string]any{"b64": true, "crit": []string{"b64"}}), oidc.ErrMalformed},
		"no signature":                      {header + "." + payload + ".", oidc.ErrSignature},
		"two parts":                         {header + "." + payload, oidc.ErrMalformed},
		"four parts":                        {good + ".x", oidc.ErrMalformed},
		"nothing":                           {"", oidc.ErrMalformed},
		"dots":                              {"..", oidc.ErrMalformed},
		"JSON form":                         {`{"protected":"` + header + `","payload":"` + payload + `","signature":"` + signature + `"}`, oidc.ErrMalformed},
		"padding":                           {header + "=." + payload + "." + signature, oidc.ErrMalformed},
		"too long":                          {header + "." + payload + "." + signature + strings.Repeat("A", 20000), oidc.ErrMalformed},
		"a claim twice":                     {oidctest.Sign(t, signing, `{"iss":"`+w.issuer.URL+`","aud":"shop","aud":"app","sub":"s","iat":1,"exp":9999999999}`, nil), oidc.ErrMalformed},
		"payload is no object":              {oidctest.Sign(t, signing, `[1]`, nil), oidc.ErrMalformed},
		"encrypted":                         {"eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAA.AAAA.AAAA", oidc.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.want(tc.token, tc.want)
		})
	}
	for i := range len(good) {
		if good[i] == '.' {
			continue
		}
		bent := []byte(good)
		bent[i] ^= 1
		if err := w.verify(string(bent)); err == nil && string(bent) != good && !sameBytes(good, string(bent)) {
			t.Errorf("a token with byte %d changed was taken", i)
		}
	}
}

// sameBytes says that two spellings of a token decode to the same: the last character of a part may have spare bits.
func sameBytes(a, b string) bool {
	pa, pb := strings.Split(a, "."), strings.Split(b, ".")
	for i := range pa {
		x, _ := base64.RawURLEncoding.DecodeString(pa[i])
		y, _ := base64.RawURLEncoding.DecodeString(pb[i])
		if string(x) != string(y) {
			return false
		}
	}
	return true
}

func withID(k jose.JSONWebKey, id string) jose.JSONWebKey {
	k.KeyID = id
	return k
}

func TestKeyIsUsedForItsOwnAlgorithmAlone(t *testing.T) {
	w := newWorld(t)
	key := oidctest.Key(t, "k", jose.PS256)
	w.issuer.Keys = []jose.JSONWebKey{key}
	other := key
	other.Algorithm = string(jose.RS256)
	w.want(oidctest.Sign(t, other, w.issuer.Claims(start, nil), nil), oidc.ErrSignature)
	w.want(w.token(nil), nil)
}

func TestWeakAndPrivateKeysDoNotCount(t *testing.T) {
	w := newWorld(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("the Go runtime makes no short keys:", err)
	}
	w.issuer.Keys = []jose.JSONWebKey{{Key: small, KeyID: "k", Algorithm: "RS256"}}
	if err := w.verify(w.token(nil)); err == nil {
		t.Error("a key of 1024 bits was taken")
	}
}

func TestKeysForEncryptionDoNotCount(t *testing.T) {
	w := newWorld(t)
	k := oidctest.Key(t, "k", jose.ES256)
	k.Use = "enc"
	w.issuer.Keys = []jose.JSONWebKey{k}
	if err := w.verify(w.token(nil)); err == nil {
		t.Error("a key for encryption was taken")
	}
}

func TestKeysAreFetchedSeldom(t *testing.T) {
	w := newWorld(t)
	good := w.token(map[string]any{"exp": start.Add(24 * time.Hour).Unix()})
	for range 5 {
		w.want(good, nil)
	}
	if n := w.fetches(); n != 1 {
		t.Errorf("%d fetches for 5 tokens", n)
	}
	stranger := oidctest.Key(t, "k2", jose.ES256)
	for range 50 {
		w.now = w.now.Add(time.Second)
		w.want(oidctest.Sign(t, stranger, w.issuer.Claims(w.now, nil), nil), oidc.ErrSignature)
		w.want(good, nil)
	}
	if n := w.fetches(); n < 3 || n > 7 {
		t.Errorf("%d fetches for tokens of an unknown key in 50 s: want one in 10 s", n)
	}
}

func TestNewKeyIsFoundAndWithdrawnKeyForgotten(t *testing.T) {
	w := newWorld(t)
	old := w.token(map[string]any{"exp": start.Add(24 * time.Hour).Unix()})
	w.want(old, nil)
	w.issuer.Lock()
	w.issuer.Keys = []jose.JSONWebKey{oidctest.Key(t, "k2", jose.RS256)}
	w.issuer.Unlock()
	w.now = w.now.Add(11 * time.Second)
	w.want(w.token(nil), nil)          // an unknown key ID asks for the keys
	w.want(old, oidc.ErrSignature)     // and with that the old key is gone
	w.now = w.now.Add(6 * time.Minute) // also when nobody uses the new one:
	before := w.fetches()
	w.want(w.token(nil), nil)
	if w.fetches() != before+1 {
		t.Error("keys are older than five minutes and were not asked for")
	}
}

func TestIssuerThatIsAwayIsBorneForAnHour(t *testing.T) {
	w := newWorld(t)
	w.want(w.token(nil), nil)
	token := w.token(map[string]any{"exp": start.Add(24 * time.Hour).Unix()})
	w.issuer.Close()
	w.now = w.now.Add(59 * time.Minute)
	w.want(token, nil)
	w.now = w.now.Add(2 * time.Minute)
	w.want(token, oidc.ErrUnreachable)
}

func TestUnreachableIssuerIsAskedSeldom(t *testing.T) {
	w := newWorld(t)
	w.issuer.Answer = func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusInternalServerError) }
	for range 20 {
		w.want(w.token(nil), oidc.ErrUnreachable)
	}
	w.issuer.Lock()
	defer w.issuer.Unlock()
	if n := w.issuer.Hits["/realm/.well-known/openid-configuration"]; n != 1 {
		t.Errorf("%d requests for 20 tokens at once", n)
	}
}

// TestIssuerMisbehaves: none of it ends with a key that is not the issuer's own.
func TestIssuerMisbehaves(t *testing.T) {
	elsewhere := oidctest.New(t)
	for name, spoil := range map[string]func(*oidctest.Issuer){
		"redirect": func(i *oidctest.Issuer) {
			i.Answer = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+"/.well-known/openid-configuration", http.StatusFound)
			}
		},
		"configuration of another issuer": func(i *oidctest.Issuer) { i.Configuration = map[string]any{"issuer": elsewhere.URL} },
		"keys over plain HTTP":            func(i *oidctest.Issuer) { i.Configuration = map[string]any{"jwks_uri": "http://127.0.0.1:1/keys"} },
		"keys in a file":                  func(i *oidctest.Issuer) { i.Configuration = map[string]any{"jwks_uri": "file:///etc/passwd"} },
		"no keys":                         func(i *oidctest.Issuer) { i.Configuration = map[string]any{"jwks_uri": ""} },
		"endless configuration": func(i *oidctest.Issuer) {
			i.Answer = func(w http.ResponseWriter, _ *http.Request) { endless(w) }
		},
		"endless keys": func(i *oidctest.Issuer) {
			i.Answer = func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/keys") {
					endless(w)
					return
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
			}
		},
		"a thousand keys": func(i *oidctest.Issuer) {
			for range 1000 {
				i.Keys = append(i.Keys, i.Keys[0])
			}
		},
		"no JSON": func(i *oidctest.Issuer) {
			i.Answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			spoil(w.issuer)
			w.want(w.token(nil), oidc.ErrUnreachable)
		})
	}
}

func endless(w http.ResponseWriter) {
	junk := []byte(strings.Repeat(" ", 4096))
	for range 1024 { // 4 MiB
		if _, err := w.Write(junk); err != nil {
			return
		}
	}
}

func TestSlowIssuerHoldsNobodyForLong(t *testing.T) {
	w := newWorld(t, func(c *oidc.Config) { c.Timeout = 200 * time.Millisecond })
	release := make(chan struct{})
	w.issuer.Answer = func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	defer close(release)
	began := time.Now()
	w.want(w.token(nil), oidc.ErrUnreachable)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestWhoseKeyIsAtHandWaitsForNobody: a token with a made-up key ID, and an issuer that does not answer, hold up those
// who sent it alone.
func TestWhoseKeyIsAtHandWaitsForNobody(t *testing.T) {
	w := newWorld(t)
	good := w.token(nil)
	w.want(good, nil)
	asked, release := make(chan struct{}), make(chan struct{})
	w.issuer.Lock()
	w.issuer.Answer = func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
	}
	w.issuer.Unlock()
	w.now = w.now.Add(11 * time.Second)
	hostile := oidctest.Sign(t, oidctest.Key(t, "k9", jose.ES256), w.issuer.Claims(w.now, nil), nil)
	done := make(chan error, 1)
	go func() {
		_, err := w.Verify(context.Background(), w.provider, hostile)
		done <- err
	}()
	<-asked
	began := time.Now()
	w.want(good, nil)
	if took := time.Since(began); took > time.Second {
		t.Errorf("waited %v", took)
	}
	close(release)
	if err := <-done; !errors.Is(err, oidc.ErrSignature) {
		t.Errorf("the other one: %v", err)
	}
}

func TestAddressMustBeVouchedFor(t *testing.T) {
	nobody := func(c *oidc.Config) { c.Roots = x509.NewCertPool() }
	w := newWorld(t, nobody)
	w.want(w.token(nil), oidc.ErrUnreachable)

	w = newWorld(t, nobody)
	w.provider.Thumbprints = []string{strings.Repeat("0", 40), strings.ToUpper(w.issuer.Thumbprint())}
	w.want(w.token(nil), nil)
	w.provider.Thumbprints = w.provider.Thumbprints[:1]
	w.want(w.token(nil), oidc.ErrUnreachable) // what was fetched under a thumbprint goes with it

	// A thumbprint does not excuse a certificate for another host.
	w = newWorld(t, nobody)
	w.provider.Thumbprints = []string{w.issuer.Thumbprint()}
	w.provider.URL = strings.Replace(w.issuer.URL, "127.0.0.1", "localhost", 1)
	w.issuer.Configuration = map[string]any{"issuer": w.provider.URL}
	w.want(w.token(map[string]any{"iss": w.provider.URL}), oidc.ErrUnreachable)
}

func TestKeysFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	const issuer = "https://idp.offline.example"
	w := newWorld(t, func(c *oidc.Config) { c.Files = map[string]string{issuer: file} })
	w.provider.URL = issuer
	token := w.token(map[string]any{"iss": issuer})
	w.want(token, oidc.ErrUnreachable)
	if err := os.WriteFile(file, w.issuer.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(11 * time.Second)
	w.want(token, nil)
	if n := w.fetches(); n != 0 {
		t.Errorf("%d requests over the network", n)
	}
	if err := os.WriteFile(file, make([]byte, 300<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.want(w.token(map[string]any{"iss": issuer}), oidc.ErrUnreachable)
}

func TestURLsOfProviders(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://idp.example":            true,
		"https://idp.example/":           true,
		"https://idp.example:8443/a/b":   true,
		"https://127.0.0.1:1/realm":      true,
		"http://idp.example":             false,
		"https://":                       false,
		"https:///path":                  false,
		"https://:443":                   false,
		"https://me@idp.example":         false,
		"https://idp.example?x=1":        false,
		"https://idp.example?":           false,
		"https://idp.example#x":          false,
		"https://idp.example#":           false,
		"https://idp.example/*":          false,
		"https://idp.example/${aws:x}":   false,
		"https://idp.example/a b":        false,
		"idp.example":                    false,
		"file:///etc/passwd":             false,
		"https:idp.example":              false,
		"HTTPS://idp.example":            false,
		"https://idp.example/%zz":        false,
		"https://idp.example/%7Etenants": true,
	} {
		if err := oidc.CheckURL(url); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// FuzzVerify: no text makes the verifier panic or believe it, but the one that the issuer signed.
func FuzzVerify(f *testing.F) {
	issuer := oidctest.New(f)
	v := oidc.New(oidc.Config{Roots: issuer.Roots(), Now: func() time.Time { return start }})
	p := oidc.Provider{URL: issuer.URL, ClientIDs: []string{"app"}}
	good := issuer.Token(start, nil)
	f.Add(good)
	f.Add("..")
	f.Add(b64(map[string]any{"alg": "none"}) + "." + b64(issuer.Claims(start, nil)) + ".")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := v.Verify(t.Context(), p, text); err == nil && !sameBytes(good, text) {
			t.Errorf("believed %q", text)
		}
	})
}

// FuzzKeys: a set of keys comes from a server that may be anybody's.
func FuzzKeys(f *testing.F) {
	issuer := oidctest.New(f)
	f.Add(issuer.JWKS())
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","n":"AQ","e":"AQAB"}]}`))
	server := httptest.NewTLSServer(http.NotFoundHandler())
	f.Cleanup(server.Close)
	token := oidctest.Sign(f, oidctest.Key(f, "k1", jose.ES256), issuer.Claims(start, nil), nil)
	file := filepath.Join(f.TempDir(), "keys.json")
	f.Fuzz(func(t *testing.T, set []byte) {
		if err := os.WriteFile(file, set, 0o600); err != nil {
			t.Fatal(err)
		}
		v := oidc.New(oidc.Config{Files: map[string]string{issuer.URL: file}, Now: func() time.Time { return start }})
		if _, err := v.Verify(t.Context(), oidc.Provider{URL: issuer.URL, ClientIDs: []string{"app"}}, token); err == nil {
			t.Errorf("a token of an unpublished key verified with %q", set)
		}
	})
}
