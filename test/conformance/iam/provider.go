// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// thumbprint is of no certificate; nothing is fetched from an issuer when its provider is made.
var thumbprint = strings.Repeat("ab", 20)

func providerInput(name string) *iam.CreateOpenIDConnectProviderInput {
	return &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String("https://" + name + ".example.org"), ClientIDList: []string{"client"}, ThumbprintList: []string{thumbprint},
	}
}

// newProvider makes an OpenID Connect provider and returns its ARN.
func newProvider(w *kit.World) (arn string) {
	w.T.Helper()
	out, err := w.Admin.IAM.CreateOpenIDConnectProvider(w.Admin.Ctx, providerInput(w.Name()))
	w.Must(err)
	arn = *out.OpenIDConnectProviderArn
	w.Cleanup(arn, func(c *kit.Clients) error { return deleteProvider(c, arn) })
	return arn
}

func deleteProvider(c *kit.Clients, arn string) error {
	return kit.Run(c, c.IAM.DeleteOpenIDConnectProvider, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
}

// badProvider is the errors of an operation on a provider that is not there, and on an ARN that is no provider's.
func badProvider(call func(c *kit.Clients, arn string) error) kit.Errors {
	return kit.Errors{
		"NoSuchEntity": func(w *kit.World) error {
			arn := w.ARN("iam", "oidc-provider/absent.example.org")
			return kit.Saying(call(w.Admin, arn), "OpenIDConnect Provider not found for arn "+arn)
		},
		"InvalidInput": func(w *kit.World) error { return call(w.Admin, w.ARN("iam", "user/"+absent)) },
	}
}

// provider is what is known of a provider, or that it is not there.
func provider(w *kit.World, arn string) any {
	w.T.Helper()
	out, err := w.Admin.IAM.GetOpenIDConnectProvider(w.Admin.Ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	if there(w, err) == false {
		return nil
	}
	return [][]string{out.ClientIDList, out.ThumbprintList}
}

// onProvider is the case of an operation that is decided on a provider.
func onProvider(op string, call func(c *kit.Clients, arn string) error, d detail) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			arn := newProvider(w)
			good := kit.Call{Needs: kit.On(arn), Do: func(c *kit.Clients) error { return call(c, arn) }}
			if d.changes != nil {
				good.Changes = func() any { return d.changes(w, arn) }
			}
			return good
		},
		Errors: kit.Merge(badProvider(call), d.errors), Never: d.never,
	}
}

func addClient(c *kit.Clients, arn, id string) error {
	return kit.Run(c, c.IAM.AddClientIDToOpenIDConnectProvider, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: &id})
}

func providerCases() []kit.Case {
	deletion := onProvider("DeleteOpenIDConnectProvider", deleteProvider, detail{
		changes: provider, never: map[string]string{"NoSuchEntity": "to delete what is not there is no error"},
	})
	delete(deletion.Errors, "NoSuchEntity")
	return []kit.Case{
		createProvider(),
		deletion,
		onProvider("GetOpenIDConnectProvider", func(c *kit.Clients, arn string) error {
			in := &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn}
			return kit.Run(c, c.IAM.GetOpenIDConnectProvider, in, func(o *iam.GetOpenIDConnectProviderOutput) error {
				return kit.Want("provider", []any{o.ClientIDList, o.ThumbprintList, strings.HasSuffix(arn, "/"+*o.Url)}, []any{[]string{"client"}, []string{thumbprint}, true})
			})
		}, detail{}),
		{
			Op: "ListOpenIDConnectProviders",
			Good: func(w *kit.World) kit.Call {
				arn := newProvider(w)
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.IAM.ListOpenIDConnectProviders, &iam.ListOpenIDConnectProvidersInput{}, func(o *iam.ListOpenIDConnectProvidersOutput) error {
						return kit.True("it is among them", slices.ContainsFunc(o.OpenIDConnectProviderList, func(p types.OpenIDConnectProviderListEntry) bool { return *p.Arn == arn }))
					})
				}}
			},
		},
		onProvider("AddClientIDToOpenIDConnectProvider", func(c *kit.Clients, arn string) error { return addClient(c, arn, "another") }, detail{
			changes: provider,
			errors: kit.Errors{"LimitExceeded": func(w *kit.World) error {
				w.Slow()
				arn := newProvider(w)
				for range 99 {
					w.Must(addClient(w.Admin, arn, w.Name()))
				}
				return addClient(w.Admin, arn, "one too many")
			}},
		}),
		onProvider("RemoveClientIDFromOpenIDConnectProvider", func(c *kit.Clients, arn string) error {
			in := &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: aws.String("client")}
			return kit.Run(c, c.IAM.RemoveClientIDFromOpenIDConnectProvider, in)
		}, detail{changes: provider}),
		onProvider("UpdateOpenIDConnectProviderThumbprint", func(c *kit.Clients, arn string) error {
			in := &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: &arn, ThumbprintList: []string{strings.Repeat("cd", 20)}}
			return kit.Run(c, c.IAM.UpdateOpenIDConnectProviderThumbprint, in)
		}, detail{changes: provider}),
	}
}

func createProvider() kit.Case {
	with := func(change func(in *iam.CreateOpenIDConnectProviderInput)) func(w *kit.World) error {
		return func(w *kit.World) error {
			in := providerInput(w.Name())
			change(in)
			return kit.Run(w.Admin, w.Admin.IAM.CreateOpenIDConnectProvider, in)
		}
	}
	return kit.Case{
		Op: "CreateOpenIDConnectProvider",
		Good: func(w *kit.World) kit.Call {
			in := providerInput(w.Name())
			arn := w.ARN("iam", "oidc-provider/"+strings.TrimPrefix(*in.Url, "https://"))
			w.Cleanup(arn, func(c *kit.Clients) error { return deleteProvider(c, arn) })
			return kit.Call{
				Needs:   kit.On(arn),
				Changes: func() any { return provider(w, arn) },
				Do: func(c *kit.Clients) error {
					return kit.Run(c, c.IAM.CreateOpenIDConnectProvider, in, func(o *iam.CreateOpenIDConnectProviderOutput) error {
						return kit.Want("ARN", *o.OpenIDConnectProviderArn, arn)
					})
				},
			}
		},
		Errors: kit.Errors{
			"EntityAlreadyExists": func(w *kit.World) error {
				arn := newProvider(w)
				in := providerInput("")
				in.Url = aws.String("https://" + arn[strings.IndexByte(arn, '/')+1:])
				return kit.Run(w.Admin, w.Admin.IAM.CreateOpenIDConnectProvider, in)
			},
			"InvalidInput": with(func(in *iam.CreateOpenIDConnectProviderInput) { in.Url = aws.String("http://conformance.example.org") }),
			"LimitExceeded": with(func(in *iam.CreateOpenIDConnectProviderInput) {
				for i := range 101 {
					in.ClientIDList = append(in.ClientIDList, "client"+strings.Repeat("x", i))
				}
			}),
		},
		Never: map[string]string{"OpenIdIdpCommunicationError": "the issuer is not asked for its certificate"},
	}
}
