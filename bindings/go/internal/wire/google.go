// SPDX-License-Identifier: Apache-2.0

// Google's dialects, by AI Studio and by Vertex: the model is in the path.

package wire

import (
	"fmt"
	"regexp"
	"strings"
)

const thinkingMin = 512 // no model that takes a budget refuses this one

var modelAndVerb = regexp.MustCompile(`(?s)([^/:?]+)(:[A-Za-z]+(?:\?.*)?)$`)

// modelIn is the model before the verb: "m" of ".../models/m:generateContent".
func modelIn(path string) string {
	if found := modelAndVerb.FindStringSubmatch(path); found != nil {
		return unquote(found[1])
	}
	return ""
}

// withModel is the same path with another model before the verb.
func withModel(path, model string) string {
	at := modelAndVerb.FindStringSubmatchIndex(path)
	if at == nil {
		return path
	}
	return path[:at[2]] + quote(model[strings.LastIndexByte(model, '/')+1:], "@") + path[at[3]:]
}

func googleUsage(answer Object) (*Usage, error) {
	if _, is := object(answer["usageMetadata"])["promptTokenCount"]; !is {
		return nil, nil // Vertex streams begin with a usage that has no counts yet
	}
	return reported(answer, "usageMetadata", "google")
}

// generate is generateContent and streamGenerateContent. Proto's JSON: names in camel or snake
// case.
type generate struct{ plain }

func (d *generate) Name() string { return "google.generate" }

func (d *generate) StreamsArrays() bool { return true }

func (d *generate) Ask(body Object, path, host string) *Ask {
	if _, is := body["contents"]; !is {
		return nil
	}
	ask := &Ask{Model: modelIn(path), Choices: 1, Stream: strings.Contains(path, ":streamGenerateContent"),
		Variant: "standard", UsageAsked: true,
		Previous: text(first(body["cachedContent"], body["cached_content"]))}
	ask.Weight, _ = weigh(body, "contents", "systemInstruction", "system_instruction", "tools")
	where := "generationConfig"
	if _, is := body[where]; !is {
		if _, is = body["generation_config"]; is {
			where = "generation_config"
		}
	}
	config := object(body[where])
	shapes := Object{}
	for _, name := range []string{"responseSchema", "response_schema", "responseJsonSchema",
		"response_json_schema", "_responseJsonSchema"} {
		if shape, is := config[name]; is {
			shapes[name] = shape
		}
	}
	if len(shapes) > 0 {
		s := scale{Weight: ask.Weight}
		s.add(shapes, true)
		ask.Weight = s.Weight
	}
	ask.Input = ask.Weight.Tokens()
	for _, name := range []string{"maxOutputTokens", "max_output_tokens"} {
		if config[name] == nil {
			continue
		}
		ask.Limits = append(ask.Limits, where+"."+name)
		if given, ok := count(config[name]); ok && (!ask.HasLimit || given < ask.MaxOutput) {
			ask.MaxOutput, ask.HasLimit = given, true
		}
	}
	if len(ask.Limits) == 0 {
		ask.Limits = []string{where + ".maxOutputTokens"}
	}
	for _, name := range []string{"candidateCount", "candidate_count"} {
		if choices, is := config[name]; is {
			ask.Choices = max(1, counted(choices))
			break
		}
	}
	switch tier := strings.ToLower(text(first(body["serviceTier"], body["service_tier"]))); tier {
	case "flex", "priority":
		ask.Variant = tier
	}
	for _, tool := range list(body["tools"]) {
		tool := object(tool)
		_, camel := tool["googleSearch"]
		_, snake := tool["google_search"]
		if camel || snake {
			ask.Tools = append(ask.Tools, Uses{"web_search", 0})
		}
	}
	return ask
}

func (d *generate) Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string) {
	where, _, _ := strings.Cut(ask.Limits[0], ".")
	config := object(body[where])
	for _, limit := range ask.Limits {
		_, name, _ := strings.Cut(limit, ".")
		config = with(config, name, maxOutput)
	}
	for _, names := range [][2]string{{"thinkingConfig", "thinkingBudget"}, {"thinking_config", "thinking_budget"}} {
		thinking, is := config[names[0]].(Object)
		if !is {
			continue
		}
		if budget, ok := smaller(thinking[names[1]], ask, maxOutput, thinkingMin); ok {
			if budget == 0 {
				budget = thinkingMin
			}
			config = with(config, names[0], with(thinking, names[1], budget))
		}
	}
	if model != "" && model != ask.Model {
		path = withModel(path, model)
	}
	return []Field{{Name: where, Value: config}}, path
}

func (d *generate) Usage(answer Object) (*Usage, error) { return googleUsage(answer) }

// Tools are searches: Gemini 3 is billed by the query, those before it by the answer.
func (d *generate) Tools(answer Object) []Uses {
	queries := int64(0)
	for _, candidate := range list(answer["candidates"]) {
		grounding := object(object(candidate)["groundingMetadata"])
		queries += int64(len(list(grounding["webSearchQueries"])))
	}
	model := text(answer["modelVersion"])
	if queries > 0 && (strings.HasPrefix(model, "gemini-1") || strings.HasPrefix(model, "gemini-2")) {
		queries = 1
	}
	return used(Uses{"web_search", queries})
}

func (d *generate) Piece(event string, data, seen Object) (p Piece) {
	if _, is := data["promptFeedback"]; is {
		seen["ended"] = true
	}
	for _, candidate := range list(data["candidates"]) {
		candidate := object(candidate)
		if candidate["finishReason"] != nil {
			seen["ended"] = true
		}
		for _, part := range list(object(candidate["content"])["parts"]) {
			p.Content += partSize(object(part))
		}
		if _, is := candidate["groundingMetadata"]; is {
			seen["grounded"] = data
		}
	}
	p.Usage, _ = d.Usage(data)
	p.Final = p.Usage != nil && seen["ended"] == true // the usage may come later
	p.Answer = object(seen["grounded"])
	return p
}

func partSize(part Object) int64 {
	size := textSize(part["text"])
	if call, is := part["functionCall"].(Object); is {
		weight, _ := weigh(Object{"args": call}, "args")
		size += weight.Bytes()
	}
	if code, is := part["executableCode"].(Object); is {
		size += textSize(code["code"])
	}
	if size == 0 && truthy(part["inlineData"]) {
		size = 1
	}
	return size
}

// embed is embedContent, batchEmbedContents, and Vertex' predict of an embedding model.
type embed struct{ plain }

func (d *embed) Name() string { return "google.embed" }

func (d *embed) Ask(body Object, path, host string) *Ask {
	inputs := []string{"content", "requests", "instances"}
	if !anyOf(body, inputs) {
		return nil
	}
	weight, _ := weigh(body, inputs...)
	return &Ask{Model: modelIn(path), Input: weight.Tokens(), HasLimit: true, Choices: 1, Variant: "standard",
		UsageAsked: true, Weight: weight, AsAsked: true}
}

func anyOf(body Object, names []string) bool {
	for _, name := range names {
		if _, is := body[name]; is {
			return true
		}
	}
	return false
}

func (d *embed) Grant(body Object, path string, ask *Ask, model string, maxOutput int64) ([]Field, string) {
	if model == "" || model == ask.Model {
		return nil, path
	}
	var fields []Field
	name := "models/" + model[strings.LastIndexByte(model, '/')+1:]
	if _, is := body["model"]; is {
		fields = append(fields, Field{Name: "model", Value: name})
	}
	if requests, is := body["requests"].([]any); is {
		changed := make([]any, len(requests))
		for i, request := range requests {
			changed[i] = request
			if o := object(request); o["model"] != nil {
				changed[i] = with(o, "model", name)
			}
		}
		fields = append(fields, Field{Name: "requests", Value: changed})
	}
	return fields, withModel(path, model)
}

func (d *embed) Usage(answer Object) (*Usage, error) {
	if usage, err := googleUsage(answer); usage != nil || err != nil {
		return usage, err
	}
	predictions := list(answer["predictions"])
	total, counts, some := int64(0), 0, false
	for _, one := range predictions {
		told := object(object(object(one)["embeddings"])["statistics"])["token_count"]
		some = some || told != nil
		if n, ok := count(told); ok {
			total, counts = total+n, counts+1
		}
	}
	switch {
	case len(predictions) == 0 || !some && counts == 0:
		return nil, nil
	case counts < len(predictions):
		return nil, fmt.Errorf("token_count is not a number of tokens in %d of %d predictions",
			len(predictions)-counts, len(predictions))
	}
	return &Usage{Input: min(total, tokensMax)}, nil
}

func (d *embed) Piece(event string, data, seen Object) Piece { return Piece{} }
