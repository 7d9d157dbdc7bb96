// SPDX-License-Identifier: Apache-2.0

// Tokens of an input before it is sent, learnt from what providers billed.

package bursar

// ContentAny asks Runtime.EstimateError for all kinds of content.
const ContentAny Content = -1

// Estimate fills in Tokens, the likely number, and TokensMax, what to reserve: fewer than billed
// once in 400 inputs. It goes by what this runtime has learnt of the model, of the kind of
// content and of the session's last input; docs/estimation.md has the method.
//
// A program with a tokenizer of its own passes what that counted as Bytes, with ContentCounted:
// what it leaves out is learnt, and a margin kept.
func (rt *Runtime) Estimate(x *Estimate) error { return rt.check(abiEstimate(rt.engine(), x)) }

// Learn tells what the provider billed for an input that was estimated. Where another model was
// granted, put it in x.Model. Leave out answers without usage, and those for which the provider
// ran tools.
func (rt *Runtime) Learn(x *Estimate, input, output int64) error {
	return rt.check(abiLearn(rt.engine(), x, input, output))
}

// EstimateError returns how far off the estimates were since the runtime was opened, of one model
// (0 = all) and one kind of content (ContentAny = all).
func (rt *Runtime) EstimateError(model Model, content Content) (EstimateError, error) {
	var x EstimateError
	status := abiEstimateError(rt.engine(), model, content, &x)
	return x, rt.check(status)
}
