// SPDX-License-Identifier: Apache-2.0

// Package mailbox is the conformance cases of the mailbox, an API of our own, with our own client. See kit for what
// a case is.
package mailbox

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"

	mailboxapi "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// API is the cases of the mailbox.
func API() *kit.API {
	return &kit.API{
		Model: mailboxapi.New(mailboxapi.Unimplemented{}), Denied: "AccessDeniedException",
		Cases: []kit.Case{putCase(), getCase(), listCase(), deleteCase()},
	}
}

// key is the key of the objects here.
const key = "roster/0000000001"

// newBox is the name of a box that is emptied at the end.
func newBox(w *kit.World) string {
	box := w.Name()
	w.Cleanup("box "+box, func(c *kit.Clients) (err error) {
		out, err := c.Boxes.ListObjects(c.Ctx, &mailboxapi.ListObjectsInput{Box: &box})
		if err != nil {
			return err
		}
		for _, o := range out.Objects {
			err = errors.Join(err, remove(c, box, *o.Key))
		}
		return err
	})
	return box
}

// filled is a box with one object.
func filled(w *kit.World) string {
	w.T.Helper()
	box := newBox(w)
	w.Must(put(w.Admin, box, key, "sealed"))
	return box
}

// arn is the resource of an object.
func arn(w *kit.World, box string) string { return w.ARN("mailbox", "box/"+box+"/"+key) }

func put(c *kit.Clients, box, key, body string) error {
	_, err := c.Boxes.PutObject(c.Ctx, &mailboxapi.PutObjectInput{Box: &box, Key: &key, Body: []byte(body)})
	return err
}

func get(c *kit.Clients, box string) error {
	out, err := c.Boxes.GetObject(c.Ctx, &mailboxapi.GetObjectInput{Box: &box, Key: aws.String(key)})
	if err != nil {
		return err
	}
	return kit.Want("object", []string{*out.Key, string(out.Body)}, []string{key, "sealed"})
}

func remove(c *kit.Clients, box, key string) error {
	_, err := c.Boxes.DeleteObject(c.Ctx, &mailboxapi.DeleteObjectInput{Box: &box, Key: &key})
	return err
}

// objects are the keys in a box, for Call.Changes.
func objects(w *kit.World, box string) func() any {
	return func() any {
		w.T.Helper()
		out, err := w.Admin.Boxes.ListObjects(w.Admin.Ctx, &mailboxapi.ListObjectsInput{Box: &box})
		w.Must(err)
		keys := []string{}
		for _, o := range out.Objects {
			keys = append(keys, *o.Key)
		}
		return keys
	}
}

func putCase() kit.Case {
	return kit.Case{
		Op: "PutObject",
		Good: func(w *kit.World) kit.Call {
			box := newBox(w)
			return kit.Call{Needs: kit.On(arn(w, box)), Changes: objects(w, box), Do: func(c *kit.Clients) error { return put(c, box, key, "sealed") }}
		},
		Errors: kit.Errors{
			"ObjectExistsException": func(w *kit.World) error { return put(w.Admin, filled(w), key, "other") },
			"QuotaExceededException": func(w *kit.World) error {
				w.Slow()
				box := newBox(w)
				for err := error(nil); ; {
					if err = put(w.Admin, box, w.Name(), string(make([]byte, 512<<10))); err != nil {
						return err
					}
				}
			},
		},
		Others: kit.Errors{"ValidationException": func(w *kit.World) error { return put(w.Admin, "../box", key, "sealed") }},
	}
}

func getCase() kit.Case {
	return kit.Case{
		Op: "GetObject",
		Good: func(w *kit.World) kit.Call {
			box := filled(w)
			return kit.Call{Needs: kit.On(arn(w, box)), Do: func(c *kit.Clients) error { return get(c, box) }}
		},
		Errors: kit.Errors{"ObjectNotFoundException": func(w *kit.World) error { return get(w.Admin, newBox(w)) }},
	}
}

func listCase() kit.Case {
	return kit.Case{
		Op: "ListObjects",
		Good: func(w *kit.World) kit.Call {
			box := filled(w)
			return kit.Call{Needs: kit.On(w.ARN("mailbox", "box/"+box)), Do: func(c *kit.Clients) error {
				out, err := c.Boxes.ListObjects(c.Ctx, &mailboxapi.ListObjectsInput{Box: &box, Prefix: aws.String("roster/")})
				if err != nil {
					return err
				}
				return kit.True("the one object", len(out.Objects) == 1 && *out.Objects[0].Key == key && *out.Objects[0].Size == int64(len("sealed")))
			}}
		},
		Errors: kit.Errors{"InvalidNextTokenException": func(w *kit.World) error {
			_, err := w.Admin.Boxes.ListObjects(w.Admin.Ctx, &mailboxapi.ListObjectsInput{Box: aws.String(newBox(w)), NextToken: aws.String("no token of ours")})
			return err
		}},
	}
}

func deleteCase() kit.Case {
	return kit.Case{
		Op: "DeleteObject",
		Good: func(w *kit.World) kit.Call {
			box := filled(w)
			return kit.Call{Needs: kit.On(arn(w, box)), Changes: objects(w, box), Do: func(c *kit.Clients) error { return remove(c, box, key) }}
		},
	}
}
