// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	"github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/awsapi/sts"
)

// secretName says which members hold what no record may show. It is a list of its own, on purpose: not
// the generator's.
var secretName = regexp.MustCompile(`Plaintext$|Ciphertext|^Message$|Signature$|^Mac$|SecretAccessKey|SessionToken` +
	`|Password$|PrivateKey|^WebIdentityToken|SAMLAssertion|SharedSecret|GrantToken|ImportToken|EncryptedKeyMaterial` +
	`|TokenCode|AuthenticationCode|QRCodePNG|Base32StringSeed|KeyStorePassword|ServicePassword|StreamingSessionURL`)

const planted = "PLANTED-SECRET"

// plant fills every member below v: secrets with the marker, all else with something harmless.
func plant(v reflect.Value, secret bool, depth int) (secrets int) {
	if depth > 6 {
		return 0
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return plant(v.Elem(), secret, depth+1)
	case reflect.String:
		v.SetString("harmless")
		if secret {
			v.SetString(planted)
			return 1
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(planted)) // no blob is ever shown
			return 1
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return plant(v.Index(0), secret, depth+1)
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		secrets = plant(e, secret, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), e)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return 0
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				secrets += plant(v.Field(i), secret || secretName.MatchString(f.Name), depth+1)
			}
		}
	}
	return secrets
}

func TestNoSecretOfAnyOperationIsInItsRecord(t *testing.T) {
	servers := map[string]reflect.Type{
		"kms":                       reflect.TypeFor[kms.Server](),
		"iam":                       reflect.TypeFor[iam.Server](),
		"sts":                       reflect.TypeFor[sts.Server](),
		"iot":                       reflect.TypeFor[iot.Server](),
		"mailbox":                   reflect.TypeFor[mailbox.Server](),
		"cloudtrail":                reflect.TypeFor[cloudtrail.Server](),
		"kinesisvideo":              reflect.TypeFor[kinesisvideo.Server](),
		"kinesisvideomedia":         reflect.TypeFor[kinesisvideomedia.Server](),
		"kinesisvideoarchivedmedia": reflect.TypeFor[kinesisvideoarchivedmedia.Server](),
	}
	var c encoder
	secrets := 0
	for service, server := range servers {
		for i := range server.NumMethod() {
			m := server.Method(i)
			if m.Type.Out(0).Kind() != reflect.Pointer {
				continue // PutMedia answers with a stream and has nothing to show
			}
			in, out := reflect.New(m.Type.In(1).Elem()), reflect.New(m.Type.Out(0).Elem())
			secrets += plant(in.Elem(), false, 0) + plant(out.Elem(), false, 0)
			e := NewEvent(call("alice", service, m.Name), Outcome{
				Params: protocol.AuditParams(in.Interface()), Response: protocol.AuditParams(out.Interface()),
			})
			record := c.encode(&e)
			for _, form := range []string{planted, base64.StdEncoding.EncodeToString([]byte(planted))} {
				if bytes.Contains(record, []byte(form)) {
					t.Errorf("%s %s: %s", service, m.Name, record)
				}
			}
		}
	}
	if secrets < 80 {
		t.Errorf("only %d secrets planted: the test tests nothing", secrets)
	}
}

// TestPlantedSecretsAreSeen is the control of the test above.
func TestPlantedSecretsAreSeen(t *testing.T) {
	in := kms.CreateAliasInput{}
	plant(reflect.ValueOf(&in).Elem(), true, 0)
	e := NewEvent(call("alice", "kms", "CreateAlias"), Outcome{Params: protocol.AuditParams(&in)})
	var c encoder
	if !bytes.Contains(c.encode(&e), []byte(planted)) {
		t.Error("a secret that is shown was not found")
	}
}
