"""Usage objects of every provider, by shape and by type; and what an input weighs."""

import types
import unittest

from bursar import AmbiguousUsage, InvalidArgumentError, Usage, estimate_tokens, usage_of


def typed(module, **fields):
    """An object of a class that says it comes from `module`."""
    kind = type("Usage", (), {"__module__": module})
    value = kind()
    vars(value).update(fields)
    return value


def part(**fields):
    return types.SimpleNamespace(**fields)


class Shapes(unittest.TestCase):
    def same(self, wanted, value, provider=None):
        self.assertEqual(wanted, usage_of(value, provider))

    def test_openai_chat(self):
        wanted = Usage(1_000, 800, output_tokens=300, reasoning_output_tokens=200)
        shape = {"prompt_tokens": 1_000, "completion_tokens": 300, "total_tokens": 1_300,
                 "prompt_tokens_details": {"cached_tokens": 800, "audio_tokens": 0},
                 "completion_tokens_details": {"reasoning_tokens": 200}}
        self.same(wanted, shape)
        self.same(wanted, {"id": "x", "usage": shape})
        self.same(wanted, typed(
            "openai.types.completion_usage", prompt_tokens=1_000, completion_tokens=300,
            prompt_tokens_details=part(cached_tokens=800, audio_tokens=None),
            completion_tokens_details=part(reasoning_tokens=200)))
        self.same(Usage(5, output_tokens=0), {"prompt_tokens": 5, "total_tokens": 5})  # embeddings
        self.same(Usage(9, 0, 0, 0, 4, audio_input_tokens=3, audio_output_tokens=2), {
            "prompt_tokens": 9, "completion_tokens": 4,
            "prompt_tokens_details": {"audio_tokens": 3},
            "completion_tokens_details": {"audio_tokens": 2}})

    def test_openai_responses(self):
        shape = {"input_tokens": 1_000, "output_tokens": 300,
                 "input_tokens_details": {"cached_tokens": 800},
                 "output_tokens_details": {"reasoning_tokens": 200}}
        self.same(Usage(1_000, 800, output_tokens=300, reasoning_output_tokens=200), shape)

    def test_anthropic_counts_the_cache_beside_the_input(self):
        wanted = Usage(1_000, 700, 200, 50, 300)
        fields = dict(input_tokens=100, output_tokens=300, cache_read_input_tokens=700,
                      cache_creation_input_tokens=200)
        hours = dict(ephemeral_5m_input_tokens=150, ephemeral_1h_input_tokens=50)
        self.same(wanted, typed("anthropic.types.usage", **fields, cache_creation=part(**hours)))
        self.same(wanted, {**fields, "cache_creation": hours})
        self.same(wanted._replace(cache_write_1h_input_tokens=0), fields, "anthropic")
        self.same(Usage(100, output_tokens=300), typed(
            "anthropic.types.usage", input_tokens=100, output_tokens=300,
            cache_read_input_tokens=None, cache_creation_input_tokens=None))

    def test_gemini_thinks_beside_its_answer(self):
        wanted = Usage(1_010, 800, output_tokens=300, reasoning_output_tokens=200)
        self.same(wanted, typed(
            "google.genai.types", prompt_token_count=1_000, candidates_token_count=100,
            cached_content_token_count=800, thoughts_token_count=200,
            tool_use_prompt_token_count=10, total_token_count=1_310))
        self.same(wanted, {"usageMetadata": {
            "promptTokenCount": 1_000, "candidatesTokenCount": 100, "thoughtsTokenCount": 200,
            "cachedContentTokenCount": 800, "toolUsePromptTokenCount": 10}})
        self.same(Usage(9, output_tokens=1, audio_input_tokens=4), {
            "promptTokenCount": 9, "candidatesTokenCount": 1, "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 5}, {"modality": "AUDIO", "tokenCount": 4}]})

    def test_bedrock_counts_the_cache_beside_the_input(self):
        self.same(Usage(1_000, 700, 200, 40, 300), {
            "inputTokens": 100, "outputTokens": 300, "totalTokens": 1_300,
            "cacheReadInputTokens": 700, "cacheWriteInputTokens": 200,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 40}, {"ttl": "5m", "inputTokens": 160}]})

    def test_cohere_bills_its_billed_units(self):
        self.same(Usage(5, output_tokens=7), {
            "usage": {"billed_units": {"input_tokens": 5.0, "output_tokens": 7.0},
                      "tokens": {"input_tokens": 71.0, "output_tokens": 8.0}}})

    def test_mistral_and_deepseek_speak_openai(self):
        self.same(Usage(10, output_tokens=4), typed(
            "mistralai.models.usageinfo", prompt_tokens=10, completion_tokens=4, total_tokens=14))
        self.same(Usage(10, 6, output_tokens=4), {
            "prompt_tokens": 10, "completion_tokens": 4, "prompt_cache_hit_tokens": 6,
            "prompt_cache_miss_tokens": 4})

    def test_litellm_counts_the_cache_inside(self):
        fields = dict(prompt_tokens=1_000, completion_tokens=300, cache_read_input_tokens=700,
                      cache_creation_input_tokens=200)
        wanted = Usage(1_000, 700, 200, output_tokens=300)
        self.same(wanted, typed("litellm.types.utils", **fields))
        self.same(wanted, fields, "litellm")
        details = {"cached_tokens": 700, "cache_creation_tokens": 200}
        self.same(wanted, {**fields, "prompt_tokens_details": details})
        with self.assertRaises(AmbiguousUsage):
            usage_of(fields)

    def test_pydantic_ai_and_langchain_count_it_inside(self):
        wanted = Usage(1_000, 700, 200, output_tokens=300)
        self.same(wanted, typed(
            "pydantic_ai.usage", input_tokens=1_000, output_tokens=300, cache_read_tokens=700,
            cache_write_tokens=200, details={}))
        self.same(wanted, {"input_tokens": 1_000, "output_tokens": 300, "input_token_details": {
            "cache_read": 700, "cache_creation": 200}})

    def test_a_bare_mapping_that_could_mean_two_things_is_refused(self):
        usage = {"input_tokens": 1_000, "output_tokens": 1, "cache_read_input_tokens": 700}
        with self.assertRaisesRegex(AmbiguousUsage, "provider"):
            usage_of(usage)
        self.same(Usage(1_700, 700, output_tokens=1), usage, "anthropic")
        self.same(Usage(1_000, 700, output_tokens=1), usage, "otel")
        with self.assertRaises(AmbiguousUsage):  # a class of somebody's own tells nothing either
            usage_of(part(**usage))
        self.same(Usage(1_000, output_tokens=1), {"input_tokens": 1_000, "output_tokens": 1,
                                                  "cache_read_input_tokens": 0})

    def test_cached_above_the_input_is_always_an_error(self):
        for usage, provider in (
            ({"prompt_tokens": 10, "completion_tokens": 1,
              "prompt_tokens_details": {"cached_tokens": 11}}, None),
            ({"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 11}, "otel"),
            ({"input_tokens": 10, "output_tokens": 1, "cache_read_tokens": 6,
              "cache_write_tokens": 6}, None),
            (Usage(10, 11), None),
        ):
            with self.assertRaises(InvalidArgumentError):
                usage_of(usage, provider)

    def test_what_is_no_usage_is_an_error(self):
        for value in ({}, {"tokens": 5}, object(), "text", 5, {"prompt_tokens": "many"},
                      {"prompt_tokens": 1.5}, {"prompt_tokens": True}, {"prompt_tokens": -1}):
            with self.assertRaises(InvalidArgumentError, msg=value):
                usage_of(value)
        with self.assertRaisesRegex(InvalidArgumentError, "anthropic"):
            usage_of({"input_tokens": 1}, "nobody")

    def test_a_whole_answer_carries_its_usage(self):
        answer = part(id="x", usage=typed("openai.types", prompt_tokens=3, completion_tokens=4))
        self.same(Usage(3, output_tokens=4), answer)


class Weight(unittest.TestCase):
    def test_text_is_a_token_for_every_two_and_a_half_bytes_rounded_up(self):
        for text, tokens in (
                ("", 0), ("a", 1), ("abcde", 2), ("é" * 5, 4), ("日本", 3), (b"12345", 2)):
            self.assertEqual(tokens, estimate_tokens(text), text)

    def test_a_number_is_taken_as_it_is_and_a_float_is_not(self):
        self.assertEqual(1_200, estimate_tokens(1_200))
        for value in (1.5, True):
            with self.assertRaises(TypeError):
                estimate_tokens(value)

    def test_messages_count_their_words_and_their_frame(self):
        one = [{"role": "user", "content": "x" * 1_000}]
        self.assertTrue(400 < estimate_tokens(one) < 420)
        self.assertTrue(800 < estimate_tokens(one * 2) < 840)
        dumped = types.SimpleNamespace(model_dump=lambda: one[0])
        self.assertEqual(estimate_tokens(one), estimate_tokens([dumped]))

    def test_pictures_sound_and_files_count_by_what_they_cost_not_by_their_bytes(self):
        data = "data:image/png;base64," + "A" * 4_000_000
        picture = [{"role": "user", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": data}}]}]
        self.assertTrue(5_000 < estimate_tokens(picture) < 5_100)
        sound = [{"type": "input_audio", "input_audio": {"data": "A" * 40_000, "format": "mp3"}}]
        self.assertTrue(1_000 <= estimate_tokens(sound) < 1_100)
        file = [{"type": "file", "file": {"file_id": "f"}}]
        self.assertGreaterEqual(estimate_tokens(file), 50_000)

    def test_real_steps_weigh_less_than_estimated(self):
        import csv
        import os
        from support import ROOT
        with open(os.path.join(ROOT, "Tests", "data", "agent-steps-sample.csv")) as file:
            rows = [(int(r["input_bytes"]), int(r["input_tokens"])) for r in csv.DictReader(file)]
        short = sum(1 for size, tokens in rows if estimate_tokens(b"x" * size) < tokens)
        self.assertGreater(len(rows), 300)
        self.assertLess(short, len(rows) / 100)


if __name__ == "__main__":
    unittest.main()
