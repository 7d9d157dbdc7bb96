"""Gemini's generateContent, streamGenerateContent (server-sent events and JSON array) and
embedContent on the wire.

Source: ai.google.dev/api/generate-content and /api/embeddings; parsed by `google-genai` 3.4.
"""

import json

from .say import Asked, measure, pieces, tokens_of
from .wire import Bad, encode, fault_gemini as fault  # noqa: F401

FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tools": "STOP"}
READ = ("contents", "systemInstruction", "system_instruction", "tools")


def model_of(path):
    return path.rpartition("/")[2].partition(":")[0]


def get(value, camel):
    """A field by either of its names: the API takes both."""
    snake = "".join("_" + c.lower() if c.isupper() else c for c in camel)
    return value.get(camel, value.get(snake))


def read(body, path, query):
    config = get(body, "generationConfig") or {}
    limit = get(config, "maxOutputTokens")
    if limit is not None and limit < 1:
        raise Bad("Unable to submit request because it has a maxOutputTokens value that is not positive.")
    rounds = 0
    for content in body["contents"]:
        parts = content.get("parts") or []
        if any(get(p, "functionCall") for p in parts):
            rounds += 1
        elif content.get("role") != "model" and not any(get(p, "functionResponse") for p in parts):
            rounds = 0
    tools = [
        (f["name"], get(f, "parametersJsonSchema") or f.get("parameters"))
        for tool in body.get("tools") or [] for f in get(tool, "functionDeclarations") or []
    ]
    calling = get(get(body, "toolConfig") or {}, "functionCallingConfig") or {}
    force = {"NONE": "none", "ANY": "any"}.get(calling.get("mode"))
    allowed = get(calling, "allowedFunctionNames") or []
    if force == "any" and len(allowed) == 1:
        force = allowed[0]
    schema = get(config, "responseJsonSchema") or get(config, "responseSchema")
    if schema is None and get(config, "responseMimeType") == "application/json":
        schema = {"type": "object"}
    size = sum(measure(body.get(k)) for k in READ) + measure(schema)
    thinking = get(config, "thinkingConfig") or {}
    return Asked(model_of(path), limit, ":stream" in path, tools, rounds, size, force=force, schema=schema,
                 choices=get(config, "candidateCount") or 1, parallel=True,
                 shown=bool(get(thinking, "includeThoughts")), array="alt=sse" not in query)


def usage_json(usage):
    if not isinstance(usage.input, int):
        return {"promptTokenCount": usage.input, "candidatesTokenCount": usage.output,
                "totalTokenCount": usage.input}
    value = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
    }
    if usage.cached:
        value["cachedContentTokenCount"] = usage.cached
        value["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.cached}]
    if usage.reasoning:
        value["thoughtsTokenCount"] = usage.reasoning
    return value


def _parts(turn, shown):
    for part in turn.parts:
        if part.kind == "text":
            yield {"text": part.text}
        elif part.kind == "reasoning" and shown:
            yield {"text": part.text, "thought": True}
        elif part.kind == "call" and part.whole:
            yield _call(part)


def _call(part):
    return {"functionCall": {"id": part.id, "name": part.name, "args": json.loads(part.text)}}


def _frame(asked, number, usage, candidates):
    value = {"candidates": candidates, "modelVersion": asked.model, "responseId": f"resp{number:08d}"}
    if usage is not None:
        value["usageMetadata"] = usage_json(usage)
    return value


def answer(asked, turns, usage, number):
    candidates = [
        {"content": {"role": "model", "parts": list(_parts(turn, asked.more["shown"]))},
         "finishReason": FINISH[turn.finish], "index": index}
        for index, turn in enumerate(turns)
    ]
    return _frame(asked, number, usage, candidates)


def events(asked, turns, usage, number, piece):
    array = asked.more["array"]
    first = True
    thought = 0

    def frame(index, parts, done, finish=None):
        nonlocal first
        upto = usage
        if usage is not None and finish is None and isinstance(usage.input, int):
            upto = usage._replace(output=done, reasoning=min(thought, done))
        candidate = {"content": {"role": "model", "parts": parts}, "index": index}
        if finish:
            candidate["finishReason"] = finish
        data = encode(_frame(asked, number, upto, [candidate]))
        start = b"data: " if not array else b"[" if first else b",\r\n"
        first = False
        return start + data + (b"\n" if array else b"\r\n\r\n")

    done = 0
    for index, turn in enumerate(turns):
        for part in turn.parts:
            if part.kind == "call":
                if part.whole:
                    yield frame(index, [_call(part)], done + part.tokens), done + part.tokens
            else:
                for said, upto in pieces(part, piece):
                    if part.kind == "text":
                        yield frame(index, [{"text": said}], done + upto), done + upto
                        continue
                    thought += tokens_of(said)
                    shown = [{"text": said, "thought": True}]
                    data = frame(index, shown, done + upto) if asked.more["shown"] else b""
                    yield data, done + upto
            done += part.tokens
        yield frame(index, [{"text": ""}], done, FINISH[turn.finish]), done
    if array:
        yield b"]", done


def broken(number):
    """A stream's last event when the provider fails in its middle."""
    return b"data: " + encode(fault(500, "An internal error has occurred.", None, 0)) + b"\r\n\r\n"


class counting:
    """…:countTokens, which costs nothing"""

    fault = staticmethod(fault)

    @staticmethod
    def read(body, path, query):
        asked = read(get(body, "generateContentRequest") or body, path, query)
        asked.more.update(silent=True, free=True)
        return asked

    @staticmethod
    def answer(asked, turns, usage, number):
        return {"totalTokens": asked.input_tokens}


class embeddings:
    """…:embedContent and …:batchEmbedContents"""

    fault = staticmethod(fault)

    @staticmethod
    def read(body, path, query):
        batch = path.endswith(":batchEmbedContents")
        each = body["requests"] if batch else [body]
        return Asked(model_of(path), None, False, [], 0, sum(measure(r.get("content")) for r in each),
                     count=len(each), batch=batch, silent=True)

    @staticmethod
    def answer(asked, turns, usage, number):
        vector = {"values": [0.5] * 8}
        value = {"embeddings": [vector] * asked.more["count"]} if asked.more["batch"] else {"embedding": vector}
        if usage is not None:
            value["usageMetadata"] = {"promptTokenCount": usage.input}
        return value
