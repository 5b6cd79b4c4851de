// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package rig

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	awsv1 "github.com/aws/aws-sdk-go/aws"
	credentialsv1 "github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"

	"github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// V2 configures the SDK for Go v2 for this server; nothing is tried twice.
func (s *Server) V2(c sigv4.Credentials) aws.Config {
	return aws.Config{
		Region:       s.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		HTTPClient:   s.HTTP,
		BaseEndpoint: aws.String(s.API),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// V1 configures the SDK for Go v1, which is the one that has the media APIs. It is given the CA once more, since
// it would replace the client's by what AWS_CA_BUNDLE in the environment names.
func (s *Server) V1(c sigv4.Credentials) *session.Session {
	ca, err := os.ReadFile(s.CAFile)
	if err != nil {
		panic(err)
	}
	return session.Must(session.NewSessionWithOptions(session.Options{
		CustomCABundle: bytes.NewReader(ca),
		Config: awsv1.Config{
			Region: awsv1.String(s.Region), Endpoint: awsv1.String(s.API), HTTPClient: s.copyOfHTTP(), MaxRetries: awsv1.Int(0),
			Credentials: credentialsv1.NewStaticCredentials(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		},
	}))
}

// Mailbox is our own client, since AWS has no such service.
func (s *Server) Mailbox(c sigv4.Credentials) *mailbox.Client {
	return mailbox.NewClient(protocol.Client{Endpoint: s.API, HTTP: s.HTTP, Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), c, s.Region, "mailbox", time.Now())
		return nil
	}})
}

// User makes an IAM user with an inline policy (none when empty) and an access key.
func (s *Server) User(t testing.TB, name, policy string) sigv4.Credentials {
	t.Helper()
	client := iam.NewFromConfig(s.V2(s.Root))
	if _, err := client.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
	if policy != "" {
		s.Permit(t, name, policy)
	}
	key, err := client.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return sigv4.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}
}

// Permit replaces the inline policy of a user.
func (s *Server) Permit(t testing.TB, user, policy string) {
	t.Helper()
	_, err := iam.NewFromConfig(s.V2(s.Root)).PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{
		UserName: &user, PolicyName: aws.String("permit"), PolicyDocument: &policy,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Allow is a policy of one statement for each pair of action and resource; each is a JSON value.
func Allow(pairs ...string) string {
	text := `{"Version":"2012-10-17","Statement":[`
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q}`, pairs[i], pairs[i+1])
	}
	return text + `]}`
}
