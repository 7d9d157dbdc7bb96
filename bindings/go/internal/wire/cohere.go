// SPDX-License-Identifier: Apache-2.0

// Cohere's v2: chat and embed. It bills what `billed_units` says.

package wire

type cohereChat struct{ plain }

func (d *cohereChat) Name() string { return "cohere.chat" }

func (d *cohereChat) Ask(body Object, path, host string) *Ask {
	if _, is := body["messages"]; !is {
		return nil
	}
	ask := &Ask{Model: text(body["model"]), Choices: 1, Stream: truthy(body["stream"]), Variant: "standard",
		Limits: []string{"max_tokens"}, UsageAsked: true}
	ask.MaxOutput, ask.HasLimit = count(body["max_tokens"])
	ask.Weight, _ = weigh(body, "messages", "tools", "documents", "response_format")
	ask.Input = ask.Weight.Tokens()
	return ask
}

func (d *cohereChat) Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string) {
	fields := []Field{{Name: "max_tokens", Value: maxOutput}}
	if model != "" {
		fields = append(fields, Field{Name: "model", Value: model})
	}
	if thinking, is := body["thinking"].(Object); is {
		if budget, ok := smaller(thinking["token_budget"], ask, maxOutput, 1); ok {
			fields = append(fields, Field{Name: "thinking", Value: with(thinking, "token_budget", max(1, budget))})
		}
	}
	return fields, path
}

func (d *cohereChat) Usage(answer Object) (*Usage, error) { return reported(answer, "usage", "cohere") }

func (d *cohereChat) Piece(event string, data, seen Object) (p Piece) {
	delta := object(data["delta"])
	kind := text(data["type"])
	if kind == "" {
		kind = event
	}
	if kind == "message-end" {
		p.Usage, _ = d.Usage(delta)
		p.Final = p.Usage != nil
		return p
	}
	message := object(delta["message"])
	content := object(message["content"])
	p.Content = textSize(message["tool_plan"]) + textSize(content["text"]) + textSize(content["thinking"])
	calls := list(message["tool_calls"])
	if call, is := message["tool_calls"].(Object); is {
		calls = []any{call}
	}
	for _, call := range calls {
		function := object(object(call)["function"])
		p.Content += textSize(function["name"]) + textSize(function["arguments"])
	}
	return p
}

type cohereEmbed struct{ plain }

func (d *cohereEmbed) Name() string { return "cohere.embed" }

func (d *cohereEmbed) Ask(body Object, path, host string) *Ask {
	inputs := []string{"texts", "inputs", "images"}
	if !anyOf(body, inputs) {
		return nil
	}
	weight, _ := weigh(body, inputs...)
	return &Ask{Model: text(body["model"]), Input: weight.Tokens(), HasLimit: true, Choices: 1, Variant: "standard",
		UsageAsked: true, Weight: weight, AsAsked: true}
}

func (d *cohereEmbed) Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string) {
	if model == "" {
		return nil, path
	}
	return []Field{{Name: "model", Value: model}}, path
}

func (d *cohereEmbed) Usage(answer Object) (*Usage, error) {
	if _, is := object(answer["meta"])["billed_units"]; !is {
		return nil, nil
	}
	return reported(answer, "meta", "cohere")
}

func (d *cohereEmbed) Piece(event string, data, seen Object) Piece { return Piece{} }
