// SPDX-License-Identifier: Apache-2.0

// What a step used: every provider's usage turned into one. The trap is the cache. OpenAI,
// Gemini and most others count cached tokens inside the input, Anthropic and Bedrock beside it.
// Reasoning is inside the output, except with Gemini, xAI and Perplexity.

package wire

import (
	"errors"
	"fmt"
	"strings"
)

// Usage is the tokens of one step. Cached ones are part of the input, reasoning is part of the
// output.
type Usage struct {
	Input               int64
	CacheReadInput      int64
	CacheWriteInput     int64 // those kept for an hour included
	CacheWrite1hInput   int64
	Output              int64
	ReasoningOutput     int64
	AudioInput          int64
	CacheReadAudioInput int64
	AudioOutput         int64
	ImageInput          int64
	ImageOutput         int64
}

var errNoUsage = errors.New("it has none of prompt_tokens, input_tokens, inputTokens, promptTokenCount")

// UsageOf reads a provider's usage object.
func UsageOf(value Object, provider string) (Usage, error) {
	for _, name := range []string{"usage", "usage_metadata", "usageMetadata"} {
		if inner, is := value[name].(Object); is {
			value = inner
			break
		}
	}
	r := reader{value: value, beside: provider == "anthropic" || provider == "bedrock"}
	var usage Usage
	switch {
	case r.has("prompt_token_count", "promptTokenCount"):
		usage = r.gemini()
	case r.has("inputTokens"):
		usage = r.bedrock()
	case r.has("billed_units"):
		r.value = object(value["billed_units"])
		usage = r.cohere()
	case provider == "cohere" && r.has("tokens"):
		r.value = object(value["tokens"])
		usage = r.cohere()
	case r.has("prompt_tokens"):
		usage = r.chat()
	case r.has("input_tokens"):
		usage = r.tokens()
	default:
		return usage, errNoUsage
	}
	if r.err != nil {
		return usage, r.err
	}
	if err := usage.check(); err != nil {
		return usage, err
	}
	return usage, usage.iterated(value, r)
}

// isAdvisor says that an iteration is another model's.
func isAdvisor(part Object) bool { return part["type"] == "advisor_message" }

// iterated is all iterations but an advisor's. What was compacted, and what a hosted tool's turns
// read again, is billed but may be missing from the counts of the whole.
func (u *Usage) iterated(value Object, r reader) error {
	if r.has("prompt_tokens") { // LiteLLM has added them up
		return nil
	}
	var total Usage
	for _, part := range list(value["iterations"]) {
		one := reader{value: object(part), beside: r.beside}
		if isAdvisor(one.value) || !one.has("input_tokens") {
			continue
		}
		used := one.tokens()
		if one.err != nil {
			return one.err
		}
		if err := used.check(); err != nil {
			return err
		}
		total.add(&used)
	}
	if total.Input+total.Output > u.Input+u.Output {
		*u = total
	}
	return nil
}

func (u *Usage) add(v *Usage) {
	u.Input += v.Input
	u.CacheReadInput += v.CacheReadInput
	u.CacheWriteInput += v.CacheWriteInput
	u.CacheWrite1hInput += v.CacheWrite1hInput
	u.Output += v.Output
	u.ReasoningOutput += v.ReasoningOutput
	u.AudioInput += v.AudioInput
	u.CacheReadAudioInput += v.CacheReadAudioInput
	u.AudioOutput += v.AudioOutput
	u.ImageInput += v.ImageInput
	u.ImageOutput += v.ImageOutput
}

// check is an error when a part is larger than its whole or below zero.
func (u *Usage) check() error {
	for _, pair := range []struct {
		name        string
		part, whole int64
	}{
		{"cached", u.CacheReadInput + u.CacheWriteInput, u.Input},
		{"cache read", u.CacheReadInput, u.Input},
		{"cache write", u.CacheWriteInput, u.Input},
		{"cache write for an hour", u.CacheWrite1hInput, u.CacheWriteInput},
		{"reasoning", u.ReasoningOutput, u.Output},
		{"audio input", u.AudioInput, u.Input},
		{"cached audio input", u.CacheReadAudioInput, u.AudioInput},
		{"audio output", u.AudioOutput, u.Output},
		{"image input", u.ImageInput, u.Input},
		{"image output", u.ImageOutput, u.Output},
	} {
		if pair.part > pair.whole || pair.part < 0 || pair.whole < 0 {
			return fmt.Errorf("%d %s tokens of %d", pair.part, pair.name, pair.whole)
		}
	}
	return nil
}

// reader reads counts, and keeps the first error.
type reader struct {
	value  Object
	beside bool // the cache is counted beside the input
	err    error
}

func (r *reader) has(names ...string) bool {
	for _, name := range names {
		if r.value[name] != nil {
			return true
		}
	}
	return false
}

// count is the first of these fields that is set, else 0. Dots lead into parts.
func (r *reader) count(names ...string) int64 {
	for _, name := range names {
		var found any = r.value
		for _, step := range strings.Split(name, ".") {
			found = object(found)[step]
		}
		if found != nil {
			return r.whole(name, found)
		}
	}
	return 0
}

// usageMax is more than any count of tokens.
const usageMax = 1 << 48

func (r *reader) whole(name string, found any) int64 {
	if n, is := found.(Number); is {
		if whole, err := n.Int64(); err == nil && whole <= usageMax {
			return whole
		}
		if f, err := n.Float64(); err == nil && !isWhole(n) && f <= usageMax && f >= -usageMax && f == float64(int64(f)) {
			return int64(f)
		}
	}
	if r.err == nil {
		r.err = fmt.Errorf("%s is %.60s, not a whole number of tokens", name, fmt.Sprint(found))
	}
	return 0
}

// gemini: Google's thoughts are beside the candidates, tool prompts beside the prompt.
func (r *reader) gemini() Usage {
	thoughts := r.count("thoughts_token_count", "thoughtsTokenCount")
	tools := r.count("tool_use_prompt_token_count", "toolUsePromptTokenCount")
	return Usage{
		Input:               r.count("prompt_token_count", "promptTokenCount") + tools,
		CacheReadInput:      r.count("cached_content_token_count", "cachedContentTokenCount"),
		Output:              r.count("candidates_token_count", "candidatesTokenCount", "response_token_count") + thoughts,
		ReasoningOutput:     thoughts,
		AudioInput:          r.modality("AUDIO", "prompt_tokens_details", "promptTokensDetails"),
		CacheReadAudioInput: r.modality("AUDIO", "cache_tokens_details", "cacheTokensDetails"),
		AudioOutput:         r.modality("AUDIO", "candidates_tokens_details", "candidatesTokensDetails"),
		ImageInput:          r.modality("IMAGE", "prompt_tokens_details", "promptTokensDetails"),
		ImageOutput:         r.modality("IMAGE", "candidates_tokens_details", "candidatesTokensDetails"),
	}
}

func (r *reader) modality(modality string, names ...string) (total int64) {
	for _, detail := range r.details(names...) {
		part := reader{value: object(detail)}
		if strings.HasSuffix(strings.ToUpper(text(part.value["modality"])), modality) {
			total += part.count("token_count", "tokenCount")
		}
		if r.err == nil {
			r.err = part.err
		}
	}
	return total
}

// details is the first of these fields that is a list.
func (r *reader) details(names ...string) []any {
	for _, name := range names {
		if found, is := r.value[name].([]any); is {
			return found
		}
	}
	return nil
}

// bedrock: in Amazon's Converse the cache is beside the input.
func (r *reader) bedrock() Usage {
	read := r.count("cacheReadInputTokens", "cacheReadInputTokenCount")
	write := r.count("cacheWriteInputTokens", "cacheWriteInputTokenCount")
	long := int64(0)
	for _, detail := range r.details("cacheDetails") {
		part := reader{value: object(detail)}
		if part.value["ttl"] == "1h" {
			long += part.count("inputTokens")
		}
		if r.err == nil {
			r.err = part.err
		}
	}
	return Usage{Input: r.count("inputTokens") + read + write, CacheReadInput: read,
		CacheWriteInput: write, CacheWrite1hInput: long, Output: r.count("outputTokens")}
}

// cohere bills images like other input.
func (r *reader) cohere() Usage {
	images := r.count("image_tokens")
	return Usage{Input: r.count("input_tokens") + images, ImageInput: images, Output: r.count("output_tokens")}
}

// chat: OpenAI's chat completions, and all who speak it.
func (r *reader) chat() Usage {
	const details, made = "prompt_tokens_details.", "completion_tokens_details."
	read := r.count(details + "cached_tokens")
	if read == 0 {
		read = r.count("prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens")
	}
	write := r.count(details+"cache_write_tokens", details+"cache_creation_tokens")
	total := r.count("prompt_tokens")
	namedRead, namedWrite := r.count("cache_read_input_tokens"), r.count("cache_creation_input_tokens")
	if (namedRead != 0 || namedWrite != 0) && (namedRead != read || namedWrite != write) {
		read, write = namedRead, namedWrite // the details say nothing about these
		if r.beside {
			total += read + write
		}
	} else {
		write = min(write, max(0, total-read)) // OpenAI's count of writes is "unadjusted"
	}
	thought := r.count(made + "reasoning_tokens")
	if thought == 0 {
		thought = r.count("reasoning_tokens")
	}
	output, reasoning := reasoned(r.count("completion_tokens"), thought, r.count("total_tokens")-total,
		read == 0 && write == 0)
	return Usage{
		Input: total, CacheReadInput: read, CacheWriteInput: write,
		CacheWrite1hInput: min(write, r.count(details+"cache_creation_token_details.ephemeral_1h_input_tokens")),
		Output:            output, ReasoningOutput: reasoning,
		AudioInput:  r.count(details + "audio_tokens"),
		AudioOutput: r.count(made + "audio_tokens"),
		ImageInput:  r.count(details + "image_tokens"),
		ImageOutput: r.count(made + "image_tokens"),
	}
}

// reasoned is output with its reasoning. That is beside it where the total says so (xAI), or
// where it is larger (Perplexity); Google's chat completions leave it out of all but the total.
// whole is that without the input; plain says that nothing else could explain the difference.
func reasoned(output, reasoning, whole int64, plain bool) (int64, int64) {
	beside := whole - output
	switch {
	case reasoning != 0 && (beside == reasoning || reasoning > output):
		return output + reasoning, reasoning
	case reasoning == 0 && plain && beside > 0:
		return whole, beside
	}
	return output, reasoning
}

// tokens: input_tokens and output_tokens, of Anthropic and of OpenAI's responses.
func (r *reader) tokens() Usage {
	total := r.count("input_tokens")
	read := r.count("input_tokens_details.cached_tokens", "input_token_details.cache_read",
		"cache_read_tokens", "cache_read_input_tokens")
	write := r.count("input_tokens_details.cache_write_tokens", "input_token_details.cache_creation",
		"cache_write_tokens", "cache_write_input_tokens", "cache_creation_input_tokens")
	long := r.count("cache_creation.ephemeral_1h_input_tokens", "cache_write_1h_input_tokens",
		"input_tokens_details.cache_write_tokens_details.ttl_12h_tokens")
	if r.has("cache_creation") {
		write = max(write, long)
	} else if r.has("input_tokens_details") {
		write = min(write, max(0, total-read))
		long = min(long, write)
	}
	told := r.has("input_tokens_details", "input_token_details", "cache_read_tokens",
		"cache_write_tokens", "cache_write_input_tokens")
	if r.has("cache_creation") || !told && r.beside {
		total += read + write
	}
	return Usage{
		Input: total, CacheReadInput: read, CacheWriteInput: write,
		CacheWrite1hInput: long,
		Output:            r.count("output_tokens"),
		ReasoningOutput: r.count("output_tokens_details.reasoning_tokens", "output_token_details.reasoning",
			"output_tokens_details.thinking_tokens", "reasoning_output_tokens", "details.reasoning_tokens"),
		AudioInput:          r.count("input_audio_tokens", "audio_input_tokens"),
		CacheReadAudioInput: r.count("cache_audio_read_tokens"),
		AudioOutput:         r.count("output_audio_tokens", "audio_output_tokens"),
	}
}
