"""Tests/wire/cases.json, every stream cut at every byte; and what no provider would send."""

import copy
import json
import os
import random
import unittest

from bursar import InvalidArgumentError, Usage, usage_of
from bursar.wire import Ask, Events, Piece, Unpriceable, Weight, dialect_of, packed, parsed
from bursar.wire import unmetered
from bursar.wire import dialects
from bursar.wire.dialect import repacked
from support import LONG, ROOT

with open(os.path.join(ROOT, "Tests", "wire", "cases.json"), encoding="utf-8") as file:
    TABLE = json.load(file)
CASES = TABLE["cases"]
PRICED = [case for case in CASES if case["dialect"]]
STREAMS = [(case, stream) for case in PRICED for stream in case.get("streams", ())]


def usage(counts):
    return None if counts is None else Usage(**counts)


def tuples(value):
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)


def ask_of(case):
    return dialect_of(case["method"], case["path"]).ask(case["body"], case["path"], case["host"])


class Cases(unittest.TestCase):
    def test_every_dialect_has_cases(self):
        rows = [row for rows in dialects._BY_NAME.values() for row in rows]
        rows += dialects._BY_VERB.values()
        self.assertEqual(
            {dialect.name for _, dialect in rows}, {case["dialect"] for case in PRICED})

    def test_who_speaks_for_a_request(self):
        for case in CASES:
            with self.subTest(case["name"]):
                found = dialect_of(case["method"], case["path"])
                self.assertEqual(case["dialect"], found and found.name)
                self.assertEqual(case.get("unmetered", ""), unmetered(
                    case["method"], case["path"], case["host"]))

    def test_a_method_in_any_case_and_a_slash_at_the_end(self):
        self.assertEqual("openai.chat", dialect_of("post", "/v1/chat/completions/?a=/b").name)
        self.assertIsNone(dialect_of("get", "/v1/chat/completions"))
        for path in ("", "/", "?", "/completions/x", "/chat/completions/x", ":", "/m:generate"):
            self.assertIsNone(dialect_of("POST", path), path)
        self.assertEqual("images", unmetered("post", "/v1/images/generations/"))

    def test_what_a_request_wants(self):
        for case in PRICED:
            with self.subTest(case["name"]):
                wanted = case["ask"]
                if wanted is not None:
                    wanted = dict(wanted, weight=Weight(**wanted["weight"]))
                    for name in ("limits", "tools"):
                        wanted[name] = tuples(wanted.get(name, ()))
                    wanted = Ask(**wanted)
                    self.assertEqual(wanted.input_tokens, wanted.weight.tokens)
                before = copy.deepcopy(case["body"])
                self.assertEqual(wanted, ask_of(case))
                self.assertEqual(before, case["body"])

    def test_what_was_granted_is_written_into_it(self):
        for case in PRICED:
            for grant in case.get("grants", ()):
                with self.subTest(case["name"], grant=grant):
                    before = copy.deepcopy(case["body"])
                    body, path = dialect_of(case["method"], case["path"]).grant(
                        case["body"], case["path"], ask_of(case), grant["model"],
                        grant["max_output_tokens"])
                    self.assertEqual(grant["body"], body)
                    self.assertEqual(grant.get("path", case["path"]), path)
                    self.assertEqual(before, case["body"])
                    self.assertEqual(body, parsed(packed(body)))
                    for text in (json.dumps(before), json.dumps(before, indent=1) + " \r\n"):
                        sent = repacked(text.encode(), case["body"], body)
                        self.assertEqual(body, parsed(sent))

    def test_the_limit_granted_is_the_limit_asked_for_next(self):
        for case in PRICED:
            ask = ask_of(case)
            if ask is None or not ask.limits:
                continue
            with self.subTest(case["name"]):
                dialect = dialect_of(case["method"], case["path"])
                body, path = dialect.grant(case["body"], case["path"], ask, "other-model", 77)
                again = dialect.ask(body, path, case["host"])
                self.assertEqual(("other-model", 77), (again.model, again.max_output_tokens))
                self.assertTrue(again.usage_asked or not again.stream)

    def test_what_an_answer_was_billed(self):
        for case in PRICED:
            dialect = dialect_of(case["method"], case["path"])
            for answer in case.get("answers", ()):
                with self.subTest(case["name"], body=answer["body"]):
                    body = answer["body"]
                    if answer["usage"] == "error":
                        self.assertRaises(InvalidArgumentError, dialect.usage, body)
                    else:
                        self.assertEqual(usage(answer["usage"]), dialect.usage(body))
                    self.assertEqual(tuples(answer.get("tools", ())), dialect.tools(body))
                    self.assertEqual(
                        tuple((m, usage(c)) for m, c in answer.get("others", ())),
                        dialect.others(body))
                    self.assertEqual(tuple(answer.get("stored", ())), dialect.stored(body))

    def test_shapes(self):
        for shape in TABLE["shapes"]:
            with self.subTest(shape["name"]):
                self.assertEqual(
                    usage(shape["usage"]), usage_of(shape["value"], shape["provider"]))

    def test_every_provider_has_an_error_of_its_own(self):
        for case in PRICED:
            dialect = dialect_of(case["method"], case["path"])
            self.assertIn("no more money", packed(dialect.error("no more money")).decode())
            self.assertIn(dialect.error_status, (402, 429))


class Streams(unittest.TestCase):
    def through(self, case, stream, cuts, ask=None):
        """The events when the bytes come in so many parts."""
        dialect = dialect_of(case["method"], case["path"])
        kind = stream.get("content_type", "text/event-stream")
        events = Events(dialect, ask or ask_of(case), kind)
        data, found, start = stream["bytes"].encode(), [], 0
        for cut in (*cuts, len(data)):
            found += events.feed(data[start:cut])
            start = cut
        return events, found, found + events.finish()

    def same(self, case, stream, cuts, ask=None):
        events, _, found = self.through(case, stream, cuts, ask)
        pieces = [piece._replace(answer=None) for _, piece in found if piece is not None]
        wanted = [Piece(**dict(p, usage=usage(p.get("usage")))) for p in stream["pieces"]]
        self.assertEqual(wanted, pieces)
        passed_on = b"".join(raw for raw, _ in found)
        self.assertEqual(stream.get("passed_on", stream["bytes"]).encode(), passed_on)
        self.assertEqual((usage(stream["usage"]), stream["final"]), (events.usage, events.final))
        self.assertEqual(sum(p.content_bytes for p in wanted), events.content_bytes)
        self.assertEqual(sum(p.content_bytes > 0 for p in wanted), events.pieces)
        self.assertEqual(tuples(stream.get("tools", ())), events.tools)
        self.assertEqual(tuple(stream.get("stored", ())), events.stored)

    def test_whole(self):
        for case, stream in STREAMS:
            with self.subTest(case["name"], bytes=stream["bytes"]):
                self.same(case, stream, ())

    def test_cut_at_every_byte(self):
        for case, stream in STREAMS:
            with self.subTest(case["name"], bytes=stream["bytes"]):
                size, ask = len(stream["bytes"].encode()), ask_of(case)
                for cut in range(size + 1):
                    self.same(case, stream, (cut,), ask)
                self.same(case, stream, range(size))

    def test_cut_anywhere_many_times(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        for case, stream in STREAMS:
            size = len(stream["bytes"].encode())
            for _ in range(10 * LONG):
                cuts = sorted(chance.randrange(size + 1) for _ in range(chance.randrange(8)))
                with self.subTest(case["name"], seed=seed, cuts=cuts):
                    self.same(case, stream, cuts)

    def test_one_that_breaks_off_anywhere_is_passed_on_as_far_as_it_came(self):
        for case, stream in STREAMS:
            data = stream["bytes"].encode()
            whole = stream.get("passed_on", stream["bytes"]).encode()
            for end in range(len(data)):
                broken = dict(stream, bytes=data[:end].decode("utf-8", "ignore"))
                events, fed, found = self.through(case, broken, ())
                passed_on = b"".join(raw for raw, _ in fed)
                self.assertTrue(whole.startswith(passed_on), (case["name"], end))
                if whole == data:
                    self.assertEqual(
                        broken["bytes"].encode(), b"".join(raw for raw, _ in found))
                if not stream["final"]:
                    self.assertFalse(events.final, (case["name"], end))

    def test_bytes_are_held_no_longer_than_their_event_is_incomplete(self):
        for case, stream in STREAMS:
            events, fed, _ = self.through(case, stream, range(len(stream["bytes"].encode())))
            held = len(stream["bytes"].encode()) - sum(len(raw) for raw, _ in fed)
            if "passed_on" not in stream and stream["bytes"].endswith("\n\n"):
                self.assertEqual(0, held, case["name"])

    def test_an_event_without_end_is_passed_on_unread(self):
        from bursar.wire import sse
        case, _ = STREAMS[0]
        most, sse.EVENT_BYTES_MAX = sse.EVENT_BYTES_MAX, 1_000
        self.addCleanup(setattr, sse, "EVENT_BYTES_MAX", most)
        for kind in ("text/event-stream", "application/json"):
            events = Events(dialect_of(case["method"], case["path"]), ask_of(case), kind)
            found = [event for _ in range(300) for event in events.feed(b'data: {"choices": "xx')]
            self.assertGreater(sum(len(raw) for raw, _ in found), 300 * 21 - 1_100)
            self.assertLess(max(len(raw) for raw, _ in found), 1_100)


class Hostile(unittest.TestCase):
    """Whatever a body holds, nothing but the documented errors."""

    VALUES = (
        None, True, 0, -1, 10**40, 1.5, float("inf"), float("nan"), "", "x", "\ud800", "1" * 50, [],
        [1], [[]], [None], [True], {}, {"type": 5}, {"type": "text"}, {"text": 7}, {"": ""},
        {"url": 5, "type": "url"}, {"data": "x" * 300}, {"usage": {"a": []}}, {"id": "x"},
        {"total_tokens": 5}, {"input_tokens": 5, "iterations": [{"type": "message"}]},
    )

    def check(self, dialect, path, value):
        ask = dialect.ask(value, path, "host")
        if ask is not None:
            self.assertIsInstance(ask.model, str)
            self.assertGreaterEqual(ask.input_tokens, 0)
            self.assertGreaterEqual(ask.choices, 1)
            body, new = dialect.grant(value, path, ask, "m", 5)
            self.assertIsInstance(new, str)
            dialect.ask(body, new)
        try:
            dialect.usage(value)
        except InvalidArgumentError:
            pass
        dialect.tools(value), dialect.others(value), dialect.stored(value)
        for event in ("", "message_delta"):
            self.assertIsInstance(dialect.piece(event, value, {}), Piece)

    def changed(self, value, chance):
        """The same with one thing in it replaced, dropped or moved into something else."""
        if isinstance(value, dict) and value and chance.random() < 0.9:
            name = chance.choice(list(value))
            if chance.random() < 0.05:
                return {key: item for key, item in value.items() if key != name}
            return {**value, name: self.changed(value[name], chance)}
        if isinstance(value, list) and value and chance.random() < 0.9:
            at = chance.randrange(len(value))
            return value[:at] + [self.changed(value[at], chance)] + value[at + 1:]
        other = chance.choice(self.VALUES)
        return chance.choice((other, [value, other], {"type": "text", "x": value}))

    def test_any_value_anywhere(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        for case in PRICED:
            dialect, path = dialect_of(case["method"], case["path"]), case["path"]
            values = [case["body"]] + [answer["body"] for answer in case.get("answers", ())]
            for stream in case.get("streams", ()):
                for line in stream["bytes"].splitlines():
                    if line.startswith("data: {") and line.endswith("}"):
                        values.append(json.loads(line[6:]))
            for value in (*self.VALUES, *values):
                for _ in range(30 * LONG):
                    changed = value
                    for _ in range(chance.randrange(4)):
                        changed = self.changed(changed, chance)
                    with self.subTest(case["name"], seed=seed, value=changed):
                        self.check(dialect, path, changed)

    def test_depth(self):
        for case in PRICED:
            if case["ask"] is None:
                continue
            deep = []
            for _ in range(5_000):
                deep = [deep]
            maps = {}
            for _ in range(5_000):
                maps = {"content": maps, "role": "x"}
            for value in (deep, maps):
                body = dict(case["body"], **{name: value for name in (
                    "messages", "input", "contents", "tools", "system", "prompt", "content")})
                self.check(dialect_of(case["method"], case["path"]), case["path"], body)
            while deep:
                deep = deep.pop()
            while maps:
                maps = maps.pop("content")
        for _ in range(200_000):
            deep = [deep]
        self.assertRaises(Unpriceable, packed, {"messages": deep})
        while deep:
            deep = deep.pop()

    def test_what_cannot_be_read_says_so(self):
        for content in (b"", b"model=x", b'{"model":"\xff"}', b"\xff\xfe{", b"[" * 200_000,
                        b'{"a":' * 200_000, b'{"n":' + b"9" * 5_000 + b"}", b"\x1f\x8b\x08\x00"):
            try:
                value = parsed(content)
            except Unpriceable as error:
                self.assertTrue(str(error))
            else:  # Pythons of before 3.11 read numbers of any length
                self.assertIn("n", value)
        self.assertEqual({"a": "é"}, parsed("\ufeff{\"a\":\"é\"}".encode()))

    def test_what_is_written_is_what_was_read(self):
        for text in ('{"a":"é日本","b":[1,2.5,null,true],"c":{"d":""}}', '{"a":"\\ud800"}'):
            self.assertEqual(parsed(text), parsed(packed(parsed(text))))
        self.assertEqual('{"a":"é"}'.encode(), packed({"a": "é"}))
        for text in (' {"a":1}', '{"a":1} \r\n\t', '\n{"a": 1}\n'):
            self.assertEqual({"a": 1}, parsed(text.encode()))
        for text in ('{"a":1}}', '{"a":1}\xa0', '{"a":1} x', '\v{"a":1}', " "):
            self.assertRaises(Unpriceable, parsed, text)

    def test_what_is_only_added_leaves_the_rest_as_it_was(self):
        body = {"a": [1.50, None], "b": None}
        text = b'{"a" : [1.50, null], "b": null}'
        for more in ({"c": 5}, {"c": 5, "d": -1}, {"c": True}, {"c": 1.5}, {"c": {"d": True}},
                     {'c"': 5}):  # fmt: skip
            sent = repacked(text, body, {**body, **more})
            self.assertTrue(sent.startswith(text[:-1] + b","), sent)
            self.assertEqual({**body, **more}, parsed(sent))
        self.assertEqual(text, repacked(text, body, dict(body)))
        for other in ({"a": body["a"]}, {"a": 2, "b": None}, {"c": 1}, {}):
            self.assertEqual(other, parsed(repacked(text, body, other)))
        self.assertEqual({"c": 1}, parsed(repacked(b"{}", {}, {"c": 1})))

    def test_large_usage_is_no_usage(self):
        for provider, value in (("openai", {"prompt_tokens": 1 << 60, "completion_tokens": 1}),
                                ("anthropic", {"input_tokens": 1, "output_tokens": 10**400}),
                                ("google", {"promptTokenCount": 1, "candidatesTokenCount": 1e300})):
            with self.assertRaisesRegex(InvalidArgumentError, "not a whole number of tokens"):
                usage_of(value, provider)

    def test_words_beside_media_count_as_words(self):
        text = "word " * 10_000
        dialect = dialect_of("POST", "/v1/messages")
        for part in ({"type": "image", "image_url": "x", "text": text},
                     {"type": "image", "source": {"type": "base64", "media_type": "text/plain",
                                                  "data": text}},
                     {"type": "image_url", "image_url": {"url": text}},
                     {"type": "x", "image_url": "http" + text},
                     {"type": "document", "source": {"type": "url", "url": text}},
                     {"type": "tool_use", "input": {"image_url": "data:" + text}},
                     {"type": "tool_use", "input": {"data": text, "format": "mp3"}},
                     {"type": "text", "file_id": "x", "content": text},
                     {"type": "input_file", "file_id": text},
                     {"type": "audio", "audio": {"id": "x"}, "text": text},
                     {"type": "text", "cache_control": {"type": "ephemeral"}, "text": text}):
            ask = dialect.ask({"messages": [{"role": "user", "content": [part]}]})
            self.assertGreaterEqual(ask.input_tokens, 20_000, part)


if __name__ == "__main__":
    unittest.main()
