// SPDX-License-Identifier: Apache-2.0

// OpenAI's dialects, which most others speak too.

package wire

import (
	"net/url"
	"regexp"
	"strings"
)

var (
	deploymentPath = regexp.MustCompile(`/deployments/([^/?]+)/`)
	newestModels   = regexp.MustCompile(`^(?:.*/)?(?:o\d|gpt-[5-9])`) // they refuse max_tokens
)

// openAI is what the dialects share.
type openAI struct {
	name        string
	inputs      []string
	limits      []string // the fields of the output limit, best first
	usageOption bool     // a stream sends usage only when asked to
}

func (d *openAI) Name() string { return d.name }

func (d *openAI) Ask(value any, path, host string) *Ask {
	body := object(value)
	if _, is := body[d.inputs[0]]; !is {
		return nil
	}
	ask := &Ask{Model: text(body["model"]), Choices: 1, Weight: weigh(body, d.inputs...), HasLimit: len(d.limits) == 0}
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
	if found := deploymentPath.FindStringSubmatch(path); found != nil {
		if name, err := url.PathUnescape(found[1]); err == nil {
			ask.Model = name
		}
	}
	if len(d.limits) > 0 && len(ask.Limits) == 0 {
		ask.Limits = []string{d.limitFor(ask.Model, host)}
	}
	if n, ok := count(body["n"]); ok && n > 0 {
		ask.Choices = n
	}
	ask.Stream = body["stream"] == true
	ask.Variant = variantOf(body["service_tier"])
	ask.UsageAsked = !d.usageOption || object(body["stream_options"])["include_usage"] == true
	return ask
}

func (d *openAI) limitFor(model, host string) string {
	if len(d.limits) > 1 && !strings.Contains(host, "openai.") && !newestModels.MatchString(model) {
		return d.limits[1]
	}
	return d.limits[0]
}

func (d *openAI) Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string) {
	var fields []Field
	if model != "" && model != ask.Model {
		fields = append(fields, Field{"model", model})
		path = deploymentPath.ReplaceAllLiteralString(path, "/deployments/"+url.PathEscape(model)+"/")
	}
	for _, name := range ask.Limits {
		fields = append(fields, Field{name, maxOutput})
	}
	if ask.Stream && !ask.UsageAsked {
		options := Object{}
		for name, value := range object(body["stream_options"]) {
			options[name] = value
		}
		options["include_usage"] = true
		fields = append(fields, Field{"stream_options", options})
	}
	return fields, path
}

func (d *openAI) Usage(answer any) (*Usage, error) { return reported(answer, "usage", "openai") }

func (d *openAI) StreamsArrays() bool { return false }

func (d *openAI) Tools(answer any) []Uses { return nil }

func (d *openAI) Piece(event string, data any, seen Object) (p Piece) {
	said := object(data)
	if said == nil {
		return p
	}
	choices := list(said["choices"])
	ended := true
	for _, choice := range choices {
		if c := object(choice); c != nil {
			p.Content += deltaSize(c["delta"])
			ended = ended && c["finish_reason"] != nil
		}
	}
	p.Usage, _ = d.Usage(said)
	p.Final = p.Usage != nil && ended
	p.Hide = p.Usage != nil && len(choices) == 0
	return p
}

// deltaSize is the bytes of output in the delta of a chat chunk.
func deltaSize(value any) (size int64) {
	delta := object(value)
	for _, name := range []string{"content", "refusal", "reasoning_content", "reasoning"} {
		size += textSize(delta[name])
	}
	for _, call := range list(delta["tool_calls"]) {
		function := object(object(call)["function"])
		size += textSize(function["name"]) + textSize(function["arguments"])
	}
	return size
}

func variantOf(tier any) string {
	switch name := text(tier); name {
	case "flex", "priority", "batch":
		return name
	}
	return "standard"
}
