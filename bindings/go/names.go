// SPDX-License-Identifier: Apache-2.0

// Numbers as words: the constants' own, in lower case. A number of a newer
// library prints as itself.

package bursar

import "strconv"

func word(words []string, n int32) string {
	if n < 0 || int(n) >= len(words) || words[n] == "" {
		return strconv.Itoa(int(n))
	}
	return words[n]
}

var (
	verdictWords = []string{"allow", "downgrade", "throttle", "pause", "halt"}
	reasonWords  = []string{"none", "limit", "rate", "killed", "paused", "closed", "wall", "idle",
		"unattended", "undeclared", "price unknown", "journal full", "downgrade", "holdback"}
	remedyWords = []string{"none", "wait", "smaller request", "cheaper model", "ask for more", "stop",
		"set a price", "declare a budget"}
	endWords   = []string{"halt", "pause", "throttle", "observe"}
	kindWords  = []string{"", "budget", "session"}
	stateWords = []string{"open", "paused", "halted", "killed", "closed"}
	eventWords = []string{"", "threshold", "downgrade", "halt", "pause", "resume", "kill", "revive",
		"deadline", "idle", "unattended", "overrun", "orphan", "window", "top up", "declared", "limits",
		"observed", "unpriced", "storm", "lost", "late", "throttle", "home", "corrupt",
		"ledger"}
)

func (v Verdict) String() string   { return word(verdictWords, int32(v)) }
func (r Reason) String() string    { return word(reasonWords, int32(r)) }
func (r Remedy) String() string    { return word(remedyWords, int32(r)) }
func (e End) String() string       { return word(endWords, int32(e)) }
func (k Kind) String() string      { return word(kindWords, int32(k)) }
func (s State) String() string     { return word(stateWords, int32(s)) }
func (t EventType) String() string { return word(eventWords, int32(t)) }
