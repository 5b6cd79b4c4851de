// SPDX-License-Identifier: Apache-2.0

package clerk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"

	"github.com/obscura-video/obscura/test/rig"
)

// ReadLog reads the names of all management events on record, by the name of their call. Behind that of a call that
// failed stands how, in brackets.
func ReadLog(ctx context.Context, s *rig.Server) (map[string][]string, error) {
	log := map[string][]string{}
	pages := cloudtrail.NewLookupEventsPaginator(cloudtrail.NewFromConfig(s.V2(s.Root)), &cloudtrail.LookupEventsInput{MaxResults: aws.Int32(50)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			var record struct{ UserAgent, EventName, ErrorCode string }
			if err := json.Unmarshal([]byte(*e.CloudTrailEvent), &record); err != nil {
				return nil, err
			}
			if record.ErrorCode != "" {
				record.EventName += " (" + record.ErrorCode + ")"
			}
			log[record.UserAgent] = append(log[record.UserAgent], record.EventName)
		}
	}
	return log, nil
}

// grace is how long before a crash a call that only reads may have been answered and its event be lost: the audit
// log promises to have written it within 100 ms.
const grace = 250 * time.Millisecond

// JudgeLog says what is wrong with an audit log, given what was answered and when the server crashed.
func JudgeLog(log map[string][]string, receipts []Receipt, crashes ...time.Time) (wrong []string) {
	for _, r := range receipts {
		events := log[r.Call]
		excused := r.Reads && slices.ContainsFunc(crashes, func(c time.Time) bool { return r.At.Before(c.Add(grace)) && c.Sub(r.At) < grace })
		switch {
		case r.Operation == "GetObject":
			// LookupEvents leaves out the data plane.
		case len(events) == 0 && !excused:
			wrong = append(wrong, r.Call+": "+r.Operation+" was answered and is not on record")
		case len(events) > 1:
			wrong = append(wrong, r.Call+": "+r.Operation+" is on record as "+strings.Join(events, ", "))
		}
	}
	return wrong
}

// JudgeAnswers says which answers a server must not have given to somebody who did nothing wrong: those that say that
// the fault is its own, and those that took longer than most.
func JudgeAnswers(receipts []Receipt, most time.Duration) (wrong []string) {
	for _, r := range receipts {
		if r.Status >= 500 || r.Took > most {
			wrong = append(wrong, fmt.Sprintf("%s: %s was answered %d after %v", r.Call, r.Operation, r.Status, r.Took))
		}
	}
	return wrong
}

// JudgeLeft says what is wrong with an audit log, given the calls of changes that were made although nobody waited for
// the answer, and what all calls of an office begin with: each such change is on record once and as made, and no call
// is twice.
func JudgeLeft(log map[string][]string, made []string, prefix string) (wrong []string) {
	for _, call := range made {
		if events := log[call]; len(events) != 1 || strings.Contains(events[0], "(") {
			wrong = append(wrong, fmt.Sprintf("%s was made, not answered, and is on record as %q", call, events))
		}
	}
	for call, events := range log {
		if strings.HasPrefix(call, prefix) && len(events) > 1 && !slices.Contains(made, call) {
			wrong = append(wrong, fmt.Sprintf("%s is on record as %q", call, events))
		}
	}
	return wrong
}
