// SPDX-License-Identifier: Apache-2.0

// Anthropic's messages, by its own API and by Vertex, where the model is in the path.

package wire

import "strings"

const toolsTokens = 600 // what is said to the model once it has any tool

type messages struct {
	plain
	vertex bool
}

func (d *messages) Name() string {
	if d.vertex {
		return "anthropic.vertex"
	}
	return "anthropic.messages"
}

func (d *messages) Ask(body Object, path, host string) *Ask {
	if _, is := body["messages"]; !is || d.vertex && modelIn(path) == "count-tokens" {
		return nil
	}
	ask := &Ask{Model: text(body["model"]), Choices: 1, Stream: truthy(body["stream"]), Variant: "standard",
		Limits: []string{"max_tokens"}, UsageAsked: true,
		Previous: text(object(body["thread"])["previous_message_id"])}
	ask.MaxOutput, ask.HasLimit = count(body["max_tokens"])
	ask.Weight, ask.CacheWrite = weigh(body, "messages", "system", "tools", "tool_choice", "output_config",
		"output_format", "cache_control", "mcp_servers")
	if control := body["cache_control"]; control != nil {
		if object(control)["ttl"] == "1h" {
			ask.CacheWrite = "1h"
		} else if ask.CacheWrite == "" {
			ask.CacheWrite = "5m"
		}
	}
	ask.Input = ask.Weight.Tokens()
	if tools := list(body["tools"]); len(tools) > 0 {
		ask.heavier(toolsTokens)
		for _, tool := range tools {
			tool := object(tool)
			kind := text(tool["type"])
			if kind == "" || kind == "custom" {
				continue
			}
			ask.heavier(hostedTokens)
			if strings.HasPrefix(kind, "web_search_") || strings.HasPrefix(kind, "web_fetch_") {
				ask.Tools = append(ask.Tools, Uses{kind[:strings.LastIndexByte(kind, '_')], counted(tool["max_uses"])})
			}
		}
	}
	if body["speed"] == "fast" {
		ask.Variant = "priority"
	}
	if d.vertex {
		ask.Model = modelIn(path)
		ask.Stream = ask.Stream || strings.Contains(path, ":streamRawPredict")
	}
	return ask
}

func (d *messages) Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string) {
	var fields []Field
	if model != "" && model != ask.Model {
		if d.vertex {
			path = withModel(path, model)
		} else {
			fields = append(fields, Field{Name: "model", Value: model})
		}
	}
	fields = append(fields, Field{Name: "max_tokens", Value: maxOutput})
	if thinking, is := body["thinking"].(Object); is {
		if budget, ok := smaller(thinking["budget_tokens"], ask, maxOutput, 1024); ok && budget > 0 {
			fields = append(fields, Field{Name: "thinking", Value: with(thinking, "budget_tokens", budget)})
		} else if ok {
			fields = append(fields, Field{Name: "thinking", Value: Object{"type": "disabled"}})
		}
	}
	return fields, path
}

func (d *messages) Usage(answer Object) (*Usage, error) {
	return reported(answer, "usage", "anthropic")
}

func (d *messages) Tools(answer Object) []Uses {
	uses := object(object(answer["usage"])["server_tool_use"])
	return used(Uses{"web_search", counted(uses["web_search_requests"])},
		Uses{"web_fetch", counted(uses["web_fetch_requests"])})
}

// Others are advisors: other models, beside the usage of this one.
func (d *messages) Others(answer Object) (found []Other) {
	for _, part := range list(object(answer["usage"])["iterations"]) {
		part := object(part)
		if model := text(part["model"]); model != "" && isAdvisor(part) {
			if usage, err := UsageOf(part, "anthropic"); err == nil {
				found = append(found, Other{model, usage})
			}
		}
	}
	return found
}

// Stored is what a thread may go on from.
func (d *messages) Stored(answer Object) []string {
	if name := text(answer["id"]); name != "" {
		return []string{name}
	}
	return nil
}

func (d *messages) Piece(event string, data, seen Object) (p Piece) {
	kind := text(data["type"])
	if kind == "" {
		kind = event
	}
	var told Object
	switch kind {
	case "content_block_delta":
		delta := object(data["delta"])
		p.Content = textSize(delta["text"]) + textSize(delta["thinking"]) + textSize(delta["partial_json"])
		return p
	case "message_start":
		message := object(data["message"])
		seen["id"], told = message["id"], object(message["usage"])
	case "message_delta":
		told = object(data["usage"])
	}
	if told == nil {
		return p
	}
	usage := Object{}
	for name, value := range object(seen["usage"]) {
		usage[name] = value
	}
	for name, value := range told {
		if value != nil {
			usage[name] = value
		}
	}
	seen["usage"] = usage
	p.Answer = Object{"id": seen["id"], "usage": usage}
	p.Usage, _ = d.Usage(p.Answer)
	p.Final = p.Usage != nil && kind == "message_delta"
	return p
}
