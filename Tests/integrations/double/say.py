"""What the provider says: texts, tool calls and structured answers of a known number of tokens.

Its rule, the same in every wire format: four bytes are a token, of what is read (every text in
the request's messages, instructions, tools and schemas, without roles, types and ids; a picture
or file is 258 tokens) and of what is said (a call is its name and its arguments, each rounded up).
"""

import json
from typing import NamedTuple, Optional

MEDIA_TOKENS = 258
FORM = {"role", "type", "status", "id", "call_id", "tool_call_id", "tool_use_id"}
WORDS = "the sum was ten but two did not add and one ran out too far for him now "  # fours


class Asked:
    """A request as its wire format read it."""

    def __init__(self, model, limit, stream, tools, rounds, input_bytes, **more):
        self.model = model
        self.limit = limit  # output tokens, None when the caller named none
        self.stream = stream
        self.tools = tools  # [(name, schema of the arguments)]
        self.rounds = rounds  # of tool calls since the user last spoke
        self.before = more.pop("before", 0)  # tokens that the provider kept from earlier answers
        self.input_tokens = max(1, -(-input_bytes // 4)) + self.before
        self.input_bytes = input_bytes
        self.force = more.pop("force", None)  # None, "none", "any", or a tool's name
        self.schema = more.pop("schema", None)  # of a structured answer
        self.choices = more.pop("choices", 1)
        self.more = more  # what only its own format needs


class Part(NamedTuple):
    kind: str  # "reasoning", "text" or "call"
    text: str  # of a call, its arguments
    tokens: int
    name: str = ""
    id: str = ""
    whole: bool = True  # not stopped by the limit


class Turn(NamedTuple):
    """One choice of an answer."""

    parts: list
    finish: str  # "stop", "length" or "tools"

    @property
    def tokens(self):
        return sum(part.tokens for part in self.parts)

    @property
    def reasoning(self):
        return sum(part.tokens for part in self.parts if part.kind == "reasoning")


def measure(value):
    """Bytes of all texts in a JSON value."""
    if isinstance(value, str):
        if value.startswith("data:"):
            return MEDIA_TOKENS * 4
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        if "data" in value and {"mimeType", "mime_type", "media_type"} & value.keys():
            return MEDIA_TOKENS * 4
        return sum(measure(v) for k, v in value.items() if k not in FORM or not isinstance(v, str))
    if isinstance(value, list):
        return sum(measure(v) for v in value)
    return 0


def text(tokens):
    """A text of exactly that many tokens."""
    return (WORDS * (tokens * 4 // len(WORDS) + 1))[: tokens * 4]


def tokens_of(said):
    return -(-len(said) // 4)


def pieces(part, size):
    """(piece, tokens of the part up to its end) for every `size` tokens of its text."""
    done = part.tokens - tokens_of(part.text)  # a call's name comes first
    for start in range(0, len(part.text), size * 4):
        piece = part.text[start : start + size * 4]
        done += tokens_of(piece)
        yield piece, done


def turn(scenario, asked, number, choice=0):
    """What one choice of answer `number` says, held to the request's limit."""
    wanted = []
    if scenario.reasoning:
        wanted.append(Part("reasoning", text(scenario.reasoning), scenario.reasoning))
    names = _calls(scenario, asked)
    if asked.schema is not None and not names:
        value = json.dumps(sample(asked.schema, f"{asked.rounds}.{choice}"))
        wanted.append(Part("text", value, tokens_of(value)))
    elif not names or scenario.out is not None:
        out = 16 if scenario.out is None else scenario.out
        wanted.append(Part("text", text(out), out))
    schemas = dict(asked.tools)
    for index, name in enumerate(names):
        vary = "0.0" if scenario.same else f"{asked.rounds}.{index}"
        arguments = json.dumps(sample(schemas[name] or {}, vary))
        tokens = tokens_of(name) + tokens_of(arguments)
        wanted.append(Part("call", arguments, tokens, name, f"{number:08d}{choice}{index:02d}"))
    left = asked.limit
    parts = []
    for part in wanted:
        if left is not None and part.tokens > left:
            cut = _cut(part, left)
            if cut is not None:
                parts.append(cut)
            return Turn(parts, "length")
        if left is not None:
            left -= part.tokens
        parts.append(part)
    return Turn(parts, "tools" if names else "stop")


def _cut(part, tokens) -> Optional[Part]:
    """As much of `part` as fits in `tokens`; None when nothing does."""
    head = tokens_of(part.name)
    if tokens <= head:
        return None
    return part._replace(text=part.text[: (tokens - head) * 4], tokens=tokens, whole=False)


def _calls(scenario, asked):
    """The names of the tools to call now."""
    offered = [name for name, _ in asked.tools]
    if not offered or asked.force == "none":
        return []
    if asked.force in offered:
        return [asked.force]
    ends = [name for name in offered if name.startswith("final_result")]  # ends a run of pydantic-ai
    if scenario.call:
        offered = [name for name in offered if name in scenario.call] or offered
    work = [name for name in offered if name not in ends] or offered
    going = scenario.loop or (scenario.turns is not None and asked.rounds < scenario.turns)
    if going and not scenario.text:
        count = scenario.parallel if asked.more.get("parallel", True) else 1
        return [work[(asked.rounds * count + i) % len(work)] for i in range(count)]
    if ends:
        return ends[:1]
    return work[:1] if asked.force == "any" else []


def sample(schema, vary, root=None, depth=0):
    """A value that a JSON schema allows, its texts and numbers told apart by `vary`."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > 12:
        return None
    if "$ref" in schema:
        found = root
        for step in schema["$ref"].lstrip("#/").split("/"):
            found = found.get(step, {})
        return sample(found, vary, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "any_of"):
        if schema.get(several):
            return sample(schema[several][0], vary, root, depth + 1)
    if schema.get("allOf"):
        merged = {}
        for each in schema["allOf"]:
            merged.update(each)
        return sample(merged, vary, root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = (kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "object":
        inner = schema.get("properties") or {}
        names = schema.get("required") or ([] if depth else list(inner))
        return {n: sample(inner.get(n, {}), vary, root, depth + 1) for n in names}
    if kind == "array":
        count = max(1, int(schema.get("minItems", schema.get("min_items", 1))))
        return [sample(schema.get("items", {}), vary, root, depth + 1)] * count
    if kind in ("integer", "number"):
        return _number(schema, kind, vary)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    formats = {"date": "2026-11-21", "date-time": "2026-11-21T12:00:00Z", "uri": "http://a.test/",
               "email": "a@a.test", "uuid": "0b51b4d6-9f5c-4f0e-8f0a-3d6b0c1d2e3f", "time": "12:00:00"}
    value = formats.get(schema.get("format"), f"item {vary}")
    value += "." * (int(schema.get("minLength", 0)) - len(value))
    return value[: int(schema.get("maxLength", len(value)))]


def _number(schema, kind, vary):
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    step = schema.get("multipleOf", 1)
    value = step * (int(low // step) + 1 + int(vary.partition(".")[0]) % 7)
    value = min(value, schema.get("maximum", value))
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        value = (low + schema["exclusiveMaximum"]) / 2
    return int(value) if kind == "integer" else float(value)
