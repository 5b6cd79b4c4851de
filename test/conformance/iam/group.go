// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// maxGroups is the quota of groups that a user is in.
const maxGroups = 10

func join(c *kit.Clients, group, user string) error {
	return kit.Run(c, c.IAM.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: &group, UserName: &user})
}

func leave(c *kit.Clients, group, user string) error {
	return kit.Run(c, c.IAM.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: &group, UserName: &user})
}

func deleteGroup(c *kit.Clients, name string) error {
	return kit.Run(c, c.IAM.DeleteGroup, &iam.DeleteGroupInput{GroupName: &name})
}

func renameGroup(c *kit.Clients, name, to string) error {
	return kit.Run(c, c.IAM.UpdateGroup, &iam.UpdateGroupInput{GroupName: &name, NewGroupName: &to})
}

// members are the names of a group's users.
func members(w *kit.World, group string) any {
	w.T.Helper()
	names := []string{}
	w.Must(kit.Run(w.Admin, w.Admin.IAM.GetGroup, &iam.GetGroupInput{GroupName: &group}, func(o *iam.GetGroupOutput) error {
		for _, u := range o.Users {
			names = append(names, *u.UserName)
		}
		return nil
	}))
	return names
}

func groupCases() []kit.Case {
	return append(groupMembers(), []kit.Case{
		{
			Op: "CreateGroup",
			Good: func(w *kit.World) kit.Call {
				name := w.Name()
				w.Cleanup("group "+name, func(c *kit.Clients) error { return purgeGroup(c, name) })
				return kit.Call{
					Needs:   kit.On(groups().arn(w, name)),
					Changes: func() any { return groupThere(w, name) },
					Do: func(c *kit.Clients) error {
						return kit.Run(c, c.IAM.CreateGroup, &iam.CreateGroupInput{GroupName: &name}, func(o *iam.CreateGroupOutput) error {
							return kit.Want("group", []string{*o.Group.Arn, *o.Group.GroupName, (*o.Group.GroupId)[:4]}, []string{groups().arn(w, name), name, "AGPA"})
						})
					},
				}
			},
			Errors: kit.Errors{"EntityAlreadyExists": func(w *kit.World) error {
				name := newGroup(w)
				return kit.Saying(kit.Run(w.Admin, w.Admin.IAM.CreateGroup, &iam.CreateGroupInput{GroupName: &name}), "Group with name "+name+" already exists.")
			}},
			Never: map[string]string{"LimitExceeded": "there is no quota of groups", "NoSuchEntity": "names nothing that could be missing"},
		},
		on("GetGroup", groups(), func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IAM.GetGroup, &iam.GetGroupInput{GroupName: &name}, func(o *iam.GetGroupOutput) error {
				return kit.Want("group", []any{*o.Group.GroupName, len(o.Users)}, []any{name, 1})
			})
		}, detail{prepare: func(w *kit.World, name string) { w.Must(join(w.Admin, name, newUser(w))) }}),
		{
			Op: "ListGroups",
			Good: func(w *kit.World) kit.Call {
				newGroup(w)
				return kit.Call{Needs: kit.On(w.ARN("iam", "group/")), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.IAM.ListGroups, &iam.ListGroupsInput{MaxItems: aws.Int32(1)}, func(o *iam.ListGroupsOutput) error {
						return kit.Want("groups", len(o.Groups), 1)
					})
				}}
			},
		},
		{
			Op: "UpdateGroup",
			Good: func(w *kit.World) kit.Call {
				name, to := newGroup(w), w.Name()
				w.Cleanup("group "+to, func(c *kit.Clients) error { return purgeGroup(c, to) })
				return kit.Call{
					Needs:   []kit.Need{{Resource: groups().arn(w, name)}, {Resource: groups().arn(w, to)}},
					Changes: func() any { return groupThere(w, to) },
					Do:      func(c *kit.Clients) error { return renameGroup(c, name, to) },
				}
			},
			Errors: kit.Merge(missing(groups(), func(c *kit.Clients, name string) error { return renameGroup(c, name, name+"-2") }), kit.Errors{
				"EntityAlreadyExists": func(w *kit.World) error { return renameGroup(w.Admin, newGroup(w), newGroup(w)) },
			}),
			Never: unlimited(),
		},
		on("DeleteGroup", groups(), deleteGroup, detail{
			changes: groupThere, never: unlimited(),
			errors: kit.Errors{"DeleteConflict": func(w *kit.World) error {
				name := newGroup(w)
				w.Must(join(w.Admin, name, newUser(w)))
				return deleteGroup(w.Admin, name)
			}},
		}),
	}...)
}

// groupMembers put users into groups; AWS decides that on the group.
func groupMembers() []kit.Case {
	return []kit.Case{
		{
			Op: "AddUserToGroup",
			Good: func(w *kit.World) kit.Call {
				group, user := newGroup(w), newUser(w)
				return kit.Call{
					Needs:   kit.On(groups().arn(w, group)),
					Changes: func() any { return members(w, group) },
					Do:      func(c *kit.Clients) error { return join(c, group, user) },
				}
			},
			Errors: kit.Errors{
				"NoSuchEntity": func(w *kit.World) error { return join(w.Admin, newGroup(w), absent) },
				"LimitExceeded": func(w *kit.World) error {
					user := newUser(w)
					for range maxGroups {
						w.Must(join(w.Admin, newGroup(w), user))
					}
					return kit.Saying(join(w.Admin, newGroup(w), user), "Cannot exceed quota for GroupsPerUser: 10")
				},
			},
		},
		{
			Op: "RemoveUserFromGroup",
			Good: func(w *kit.World) kit.Call {
				group, user := newGroup(w), newUser(w)
				w.Must(join(w.Admin, group, user))
				return kit.Call{
					Needs:   kit.On(groups().arn(w, group)),
					Changes: func() any { return members(w, group) },
					Do:      func(c *kit.Clients) error { return leave(c, group, user) },
				}
			},
			Errors: missing(groups(), func(c *kit.Clients, group string) error { return leave(c, group, absent) }),
			Never:  unlimited(),
		},
		on("ListGroupsForUser", users(), func(c *kit.Clients, user string) error {
			return kit.Run(c, c.IAM.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: &user}, func(o *iam.ListGroupsForUserOutput) error {
				return kit.Want("groups", len(o.Groups), 1)
			})
		}, detail{prepare: func(w *kit.World, user string) { w.Must(join(w.Admin, newGroup(w), user)) }}),
	}
}
