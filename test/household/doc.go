// SPDX-License-Identifier: Apache-2.0

// Package household plays the people of a household at their terminals: it types what they type, reads what they read, and
// holds the program to the words and to what they bring about, against a real server. What the mailbox could do wrong is
// tested in package household.
package household
