// SPDX-License-Identifier: Apache-2.0

// OpenAI's responses.

package wire

import (
	"fmt"
	"strings"
)

type responses struct{ openAI }

func (d *responses) Ask(body Object, path, host string) *Ask {
	needed := false
	for _, name := range []string{"input", "prompt", "previous_response_id", "conversation"} {
		_, is := body[name]
		needed = needed || is
	}
	if !needed {
		return nil
	}
	ask := d.ask(body, path, host)
	ask.Choices = 1
	uses := counted(body["max_tool_calls"])
	var tools []Uses
	for _, tool := range list(body["tools"]) {
		if name := hostedName(tool); name != "" {
			tools = append(tools, Uses{name, uses})
		}
	}
	ask.hosting(tools)
	ask.caching(body)
	conversation := body["conversation"]
	ask.Previous = text(first(text(body["previous_response_id"]), text(conversation), text(object(conversation)["id"])))
	if _, is := object(body["prompt"])["id"]; is { // a stored prompt
		ask.heavier(storedTokens)
	}
	return ask
}

func (d *responses) Tools(answer Object) []Uses {
	var searches, files int64
	containers := map[string]bool{}
	for _, item := range list(answer["output"]) {
		item := object(item)
		switch item["type"] {
		case "web_search_call":
			if kind, is := object(item["action"])["type"]; !is || kind == "search" {
				searches++
			}
		case "file_search_call":
			files++
		case "code_interpreter_call":
			containers[fmt.Sprint(item["container_id"])] = true
		}
	}
	if billed, ok := count(object(object(answer["tool_usage"])["web_search"])["num_requests"]); ok {
		searches = billed
	}
	return used(Uses{"web_search", searches}, Uses{"file_search", files},
		Uses{"code_interpreter", int64(len(containers))})
}

// used are those that were used at all.
func used(all ...Uses) (some []Uses) {
	for _, one := range all {
		if one.Count > 0 {
			some = append(some, one)
		}
	}
	return some
}

// Others are images that the image tool made, at its own model's rates.
func (d *responses) Others(answer Object) []Other {
	images := object(object(answer["tool_usage"])["image_gen"])
	if counted(images["total_tokens"]) == 0 {
		return nil
	}
	model := "gpt-image-1"
	for _, tool := range list(answer["tools"]) {
		if tool := object(tool); tool["type"] == "image_generation" && text(tool["model"]) != "" {
			model = text(tool["model"])
		}
	}
	cached := object(images["cached_tokens_details"])
	inputs, outputs := counted(images["input_tokens"]), counted(images["output_tokens"])
	drawn := outputs
	if made, is := images["output_tokens_details"]; is {
		drawn = counted(object(made)["image_tokens"])
	}
	return []Other{{model, Usage{
		Input:          inputs,
		CacheReadInput: min(inputs, counted(cached["cached_text_tokens"])+counted(cached["cached_image_tokens"])),
		Output:         outputs,
		ImageInput:     min(inputs, counted(object(images["input_tokens_details"])["image_tokens"])),
		ImageOutput:    min(outputs, drawn),
	}}}
}

func (d *responses) Stored(answer Object) (names []string) {
	for _, name := range []string{text(answer["id"]), text(object(answer["conversation"])["id"])} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

func (d *responses) Piece(event string, data, seen Object) (p Piece) {
	kind := text(data["type"])
	if kind == "" {
		kind = event
	}
	if strings.HasSuffix(kind, ".delta") {
		p.Content = textSize(data["delta"])
		if kind == "response.audio.delta" {
			p.Content = 1
		}
		return p
	}
	answer, is := data["response"].(Object)
	if !is {
		return p
	}
	p.Answer = answer
	p.Usage, _ = d.Usage(answer)
	switch kind {
	case "response.completed", "response.incomplete", "response.failed":
		p.Final = p.Usage != nil
	}
	return p
}

// hostedName is what a tool of the provider's own is called where it is billed, or "".
func hostedName(tool any) string {
	kind := text(object(tool)["type"])
	for _, name := range []string{"web_search", "file_search", "code_interpreter", "image_generation"} {
		if strings.HasPrefix(kind, name) {
			return name
		}
	}
	return ""
}
