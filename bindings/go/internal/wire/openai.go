// SPDX-License-Identifier: Apache-2.0

// OpenAI's dialects, which most others speak too: Azure, Mistral, DeepSeek, xAI, LiteLLM, vLLM.

package wire

import (
	"regexp"
	"strings"
)

var (
	deployments  = regexp.MustCompile(`/deployments/([^/?]+)/`)
	newestModels = regexp.MustCompile(`^(?:.*/)?(?:o\d|gpt-[5-9])`) // they refuse max_tokens
	openAITiers  = map[string]string{"flex": "flex", "priority": "priority", "batch": "batch",
		"fast":      "priority", // the same by another name
		"ultrafast": "priority", // dearer still, and the book has no word for it
	}
)

const hostedTokens = 1_000 // what a provider says to the model about a tool of its own

// openAI is what the dialects share; a row of the table sets the names.
type openAI struct {
	plain
	name, provider string
	inputs         []string // the first must be there
	limits         []string // what the output limit is called, best first
	unlimited      int64    // output where no limit is named, if the API says so; else -1
	usageOption    bool     // a stream sends usage only when asked to
}

func (d *openAI) Name() string { return d.name }

func (d *openAI) Ask(body Object, path, host string) *Ask {
	if _, is := body[d.inputs[0]]; !is {
		return nil
	}
	return d.ask(body, path, host)
}

func (d *openAI) ask(body Object, path, host string) *Ask {
	ask := &Ask{Model: text(body["model"]), Choices: max(1, counted(body["n"])), Stream: truthy(body["stream"]),
		Variant: "standard", UsageAsked: d.usageSeen(body, host)}
	ask.Weight, ask.CacheWrite = weigh(body, d.inputs...)
	ask.Input = ask.Weight.Tokens()
	for _, name := range d.limits {
		if body[name] == nil {
			continue
		}
		ask.Limits = append(ask.Limits, name)
		if given, ok := count(body[name]); ok && (!ask.HasLimit || given < ask.MaxOutput) {
			ask.MaxOutput, ask.HasLimit = given, true
		}
	}
	if !ask.HasLimit && d.unlimited >= 0 {
		ask.MaxOutput, ask.HasLimit = d.unlimited, true
	}
	if found := deployments.FindStringSubmatch(path); found != nil {
		ask.Model = unquote(found[1])
	}
	if len(ask.Limits) == 0 && len(d.limits) > 0 {
		ask.Limits = d.limits[:1]
		if len(d.limits) > 1 && !strings.Contains(host, "openai.") && !newestModels.MatchString(ask.Model) {
			ask.Limits = d.limits[1:2]
		}
	}
	if tier := openAITiers[text(body["service_tier"])]; tier != "" {
		ask.Variant = tier
	}
	return ask
}

func (d *openAI) usageSeen(body Object, host string) bool {
	if !d.usageOption || strings.Contains(host, "mistral.ai") {
		return true
	}
	return object(body["stream_options"])["include_usage"] == true
}

func (d *openAI) Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string) {
	var fields []Field
	limits := ask.Limits
	if model != "" && model != ask.Model {
		fields = append(fields, Field{Name: "model", Value: model})
		if at := deployments.FindStringIndex(path); at != nil {
			path = path[:at[0]] + "/deployments/" + quote(model, "") + "/" + path[at[1]:]
		}
		if len(limits) == 1 && limits[0] == "max_tokens" && len(d.limits) > 1 && newestModels.MatchString(model) {
			fields = append(fields, Field{Name: "max_tokens", Removed: true})
			limits = d.limits[:1]
		}
	}
	for _, name := range limits {
		fields = append(fields, Field{Name: name, Value: maxOutput})
	}
	if ask.Stream && !ask.UsageAsked {
		fields = append(fields, Field{Name: "stream_options",
			Value: with(object(body["stream_options"]), "include_usage", true)})
	}
	return fields, path
}

func (d *openAI) Usage(answer Object) (*Usage, error) { return reported(answer, "usage", d.provider) }

func (d *openAI) Piece(event string, data, seen Object) Piece { return Piece{} }

// heavier adds tokens to the input.
func (ask *Ask) heavier(tokens int64) {
	ask.Weight.Fixed += tokens
	ask.Input += tokens
}

func (ask *Ask) hosting(tools []Uses) {
	ask.heavier(hostedTokens * int64(len(tools)))
	ask.Tools = tools
}

// caching: models since GPT-5.6 write to the cache unasked, and that has a price; with others
// the flag costs nothing.
func (ask *Ask) caching(body Object) {
	options := object(body["prompt_cache_options"])
	if options["mode"] == "explicit" && ask.CacheWrite == "" || ask.CacheWrite == "1h" {
		return
	}
	ask.CacheWrite = "5m"
	if options["ttl"] == "12h" {
		ask.CacheWrite = "1h"
	}
}

// chat is chat completions, and with other names those before them and Mistral's.
type chat struct{ openAI }

func (d *chat) Ask(body Object, path, host string) *Ask {
	ask := d.openAI.Ask(body, path, host)
	if ask == nil {
		return nil
	}
	if _, is := body["web_search_options"]; is {
		ask.hosting([]Uses{{"web_search", 1}})
	}
	ask.caching(body)
	return ask
}

func (d *chat) Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string) {
	fields, path := d.openAI.Grant(body, path, ask, model, maxOutput)
	// LiteLLM's, OpenRouter's: both Anthropic's rule
	for _, names := range [][2]string{{"thinking", "budget_tokens"}, {"reasoning", "max_tokens"}} {
		thinking, is := body[names[0]].(Object)
		if !is {
			continue
		}
		if budget, ok := smaller(thinking[names[1]], ask, maxOutput, 1024); ok && budget > 0 {
			fields = append(fields, Field{Name: names[0], Value: with(thinking, names[1], budget)})
		} else if ok {
			fields = append(fields, Field{Name: names[0], Removed: true})
		}
	}
	return fields, path
}

func (d *chat) Piece(event string, data, seen Object) (p Piece) {
	ended, anyChoice := true, false
	for _, choice := range list(data["choices"]) {
		anyChoice = true
		if c := object(choice); c != nil {
			p.Content += d.content(c)
			ended = ended && c["finish_reason"] != nil
		}
	}
	if data["usage"] == nil {
		if data = object(data["x_groq"]); data["usage"] == nil {
			return p
		}
	}
	p.Usage, _ = d.Usage(data)
	p.Final = p.Usage != nil && ended
	p.Hide = p.Usage != nil && !anyChoice
	return p
}

// content is the bytes of output in a choice of a chunk.
func (d *chat) content(choice Object) (size int64) {
	if d.name == "openai.completions" {
		return textSize(choice["text"])
	}
	delta := object(choice["delta"])
	for _, name := range []string{"content", "refusal", "reasoning_content", "reasoning"} {
		size += textSize(delta[name])
		for _, part := range list(delta[name]) { // Mistral's, with its thinking
			part := object(part)
			size += textSize(part["text"])
			for _, words := range list(part["thinking"]) {
				size += textSize(object(words)["text"])
			}
		}
	}
	for _, call := range list(delta["tool_calls"]) {
		function := object(object(call)["function"])
		size += textSize(function["name"]) + textSize(function["arguments"])
	}
	if audio, is := delta["audio"].(Object); is {
		size += textSize(audio["transcript"])
		if truthy(audio["data"]) {
			size++
		}
	}
	return size
}

// completions are answers to prompts.
type completions struct{ chat }

func (d *completions) Ask(body Object, path, host string) *Ask {
	ask := d.chat.Ask(body, path, host)
	if ask == nil {
		return nil
	}
	// Answers to every prompt, with those that are made only to choose the best.
	prompts := int64(1)
	if several := list(body["prompt"]); len(several) > 0 {
		switch several[0].(type) {
		case string, []any:
			prompts = int64(len(several))
		}
	}
	each := max(1, counted(body["n"]), counted(body["best_of"]))
	ask.Choices = tokensMax
	if each <= tokensMax/prompts {
		ask.Choices = each * prompts
	}
	return ask
}

// embeddings have no output.
type embeddings struct{ openAI }

func (d *embeddings) Ask(body Object, path, host string) *Ask {
	ask := d.openAI.Ask(body, path, host)
	if ask != nil {
		ask.AsAsked, ask.Choices = true, 1
		ask.heavier(2 * int64(len(list(body["input"])))) // what some put around every input
	}
	return ask
}
