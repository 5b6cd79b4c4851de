// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func getUser(c *kit.Clients, name string) error {
	return kit.Run(c, c.IAM.GetUser, &iam.GetUserInput{UserName: &name}, func(o *iam.GetUserOutput) error {
		return kit.Want("user", []any{*o.User.UserName, *o.User.Path, len(*o.User.UserId)}, []any{name, "/", 21})
	})
}

func deleteUser(c *kit.Clients, name string) error {
	return kit.Run(c, c.IAM.DeleteUser, &iam.DeleteUserInput{UserName: &name})
}

func userCases() []kit.Case {
	return []kit.Case{
		createUser(),
		on("GetUser", users(), getUser, detail{}),
		{
			Op: "ListUsers",
			Good: func(w *kit.World) kit.Call {
				newUser(w)
				return kit.Call{Needs: kit.On(w.ARN("iam", "user/")), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.IAM.ListUsers, &iam.ListUsersInput{MaxItems: aws.Int32(1)}, func(o *iam.ListUsersOutput) error {
						return kit.True("one user and more", len(o.Users) == 1 && o.IsTruncated && o.Marker != nil)
					})
				}}
			},
		},
		updateUser(),
		on("DeleteUser", users(), deleteUser, detail{
			changes: userThere, never: unlimited(),
			errors: kit.Errors{"DeleteConflict": func(w *kit.World) error {
				name := newUser(w)
				w.Must(createKey(w.Admin, name))
				return kit.Saying(deleteUser(w.Admin, name), "Cannot delete entity, must delete access keys first.")
			}},
		}),
	}
}

func createUser() kit.Case {
	// with tries to make a user with something wrong about it.
	with := func(change func(w *kit.World, in *iam.CreateUserInput)) func(w *kit.World) error {
		return func(w *kit.World) error {
			in := &iam.CreateUserInput{UserName: aws.String(w.Name())}
			change(w, in)
			return kit.Run(w.Admin, w.Admin.IAM.CreateUser, in)
		}
	}
	return kit.Case{
		Op: "CreateUser",
		Good: func(w *kit.World) kit.Call {
			name := w.Name()
			w.Cleanup("user "+name, func(c *kit.Clients) error { return purgeUser(c, name) })
			arn := w.ARN("iam", "user/crew/"+name)
			return kit.Call{
				Needs:   kit.On(arn),
				Changes: func() any { return userThere(w, name) },
				Do: func(c *kit.Clients) error {
					in := &iam.CreateUserInput{UserName: &name, Path: aws.String("/crew/")}
					return kit.Run(c, c.IAM.CreateUser, in, func(o *iam.CreateUserOutput) error {
						u := o.User
						return kit.Want("user", []any{*u.Arn, *u.Path, *u.UserName, (*u.UserId)[:4]}, []any{arn, "/crew/", name, "AIDA"})
					})
				},
			}
		},
		Errors: kit.Errors{
			"EntityAlreadyExists": func(w *kit.World) error {
				name := newUser(w)
				return kit.Saying(kit.Run(w.Admin, w.Admin.IAM.CreateUser, &iam.CreateUserInput{UserName: &name}), "User with name "+name+" already exists.")
			},
			"InvalidInput": with(func(_ *kit.World, in *iam.CreateUserInput) {
				in.Tags = []types.Tag{{Key: aws.String("aws:mine"), Value: aws.String("v")}}
			}),
			"NoSuchEntity": with(func(w *kit.World, in *iam.CreateUserInput) {
				in.PermissionsBoundary = aws.String(w.ARN("iam", "policy/"+absent))
			}),
		},
		Others: kit.Errors{"ValidationError": with(func(_ *kit.World, in *iam.CreateUserInput) { in.UserName = aws.String("not a name!") })},
		Never:  map[string]string{"LimitExceeded": "there is no quota of users"},
	}
}

func updateUser() kit.Case {
	rename := func(c *kit.Clients, name, to string) error {
		return kit.Run(c, c.IAM.UpdateUser, &iam.UpdateUserInput{UserName: &name, NewUserName: &to})
	}
	return kit.Case{
		Op: "UpdateUser",
		Good: func(w *kit.World) kit.Call {
			name, to := newUser(w), w.Name()
			w.Cleanup("user "+to, func(c *kit.Clients) error { return purgeUser(c, to) })
			return kit.Call{
				Needs:   []kit.Need{{Resource: users().arn(w, name)}, {Resource: users().arn(w, to)}},
				Changes: func() any { return userThere(w, to) },
				Do:      func(c *kit.Clients) error { return rename(c, name, to) },
			}
		},
		Errors: kit.Merge(missing(users(), func(c *kit.Clients, name string) error { return rename(c, name, name+"-2") }), kit.Errors{
			"EntityAlreadyExists": func(w *kit.World) error { return rename(w.Admin, newUser(w), newUser(w)) },
		}),
		Never: unlimited(),
	}
}
