"""OpenAI's chat completions, completions and embeddings on the wire.

Source: platform.openai.com/docs/api-reference/chat, /completions and /embeddings; parsed by `openai` 3.54.
"""

import base64
import struct

from .say import Asked, measure, pieces, tokens_of
from .wire import Bad, fault_openai as fault, padded, sse  # noqa: F401

FINISH = {"stop": "stop", "length": "length", "tools": "tool_calls"}
READ = ("messages", "tools", "functions", "response_format")


def read(body, path, query):
    messages = body["messages"]
    limits = [body[k] for k in ("max_completion_tokens", "max_tokens") if body.get(k) is not None]
    if len(limits) == 2:
        raise Bad("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
                  "invalid_parameter_combination")
    if body.get("max_tokens") is not None and body["model"].startswith("gpt-5"):
        raise Bad("Unsupported parameter: 'max_tokens' is not supported with this model. "
                  "Use 'max_completion_tokens' instead.", "unsupported_parameter")
    if body.get("stream_options") and not body.get("stream"):
        raise Bad("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    if limits and limits[0] < 1:
        raise Bad(f"Invalid 'max_tokens': expected a value >= 1, but got {limits[0]} instead.")
    answered = {m.get("tool_call_id") for m in messages if m["role"] == "tool"}
    rounds = 0
    for message in messages:
        calls = message.get("tool_calls") or []
        if any(call["id"] not in answered for call in calls):
            raise Bad("An assistant message with 'tool_calls' must be followed by tool messages "
                      "responding to each 'tool_call_id'.")
        rounds = 0 if message["role"] == "user" else rounds + bool(calls)
    choice = body.get("tool_choice")
    force = {"none": "none", "required": "any"}.get(choice) if isinstance(choice, str) else None
    if isinstance(choice, dict):
        force = (choice.get("function") or {}).get("name")
    form = body.get("response_format") or {}
    schema = (form.get("json_schema") or {}).get("schema")
    if form.get("type") == "json_object":
        schema = {"type": "object"}
    tools = [(t["function"]["name"], t["function"].get("parameters"))
             for t in body.get("tools") or [] if t["type"] == "function"]
    parallel = body.get("parallel_tool_calls") is not False
    return Asked(body["model"], limits[0] if limits else None, bool(body.get("stream")), tools, rounds,
                 sum(measure(body.get(k)) for k in READ), force=force, schema=schema,
                 choices=body.get("n") or 1, parallel=parallel,
                 with_usage=bool((body.get("stream_options") or {}).get("include_usage")),
                 padded=(body.get("stream_options") or {}).get("include_obfuscation") is not False)


def usage_json(usage):
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output if isinstance(usage.input, int) else usage.input,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0,
                                  "cache_write_tokens": usage.write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0,
                                      "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    }


def answer(asked, turns, usage, number):
    choices = []
    for index, turn in enumerate(turns):
        said = "".join(part.text for part in turn.parts if part.kind == "text")
        message = {"role": "assistant", "content": said or None, "refusal": None, "annotations": []}
        calls = [{"id": f"call_{p.id}", "type": "function", "function": {"name": p.name, "arguments": p.text}}
                 for p in turn.parts if p.kind == "call"]
        if calls:
            message["tool_calls"] = calls
        choices.append({"index": index, "message": message, "logprobs": None,
                        "finish_reason": FINISH[turn.finish]})
    value = {"id": f"chatcmpl-{number:08d}", "object": "chat.completion", "created": 1763700000,
             "model": asked.model, "choices": choices, "service_tier": "default",
             "system_fingerprint": "fp_double"}
    if usage is not None:
        value["usage"] = usage_json(usage)
    return value


def events(asked, turns, usage, number, piece):
    with_usage = asked.more["with_usage"] and usage is not None
    frame = {"id": f"chatcmpl-{number:08d}", "object": "chat.completion.chunk", "created": 1763700000,
             "model": asked.model, "service_tier": "default", "system_fingerprint": "fp_double"}
    if with_usage:
        frame["usage"] = None

    def chunk(index, delta, finish=None):
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        padding = padded(index + len(str(delta))) if asked.more["padded"] else {}
        return sse({**frame, "choices": [choice], **padding})

    done = 0
    for index, turn in enumerate(turns):
        yield chunk(index, {"role": "assistant", "content": "", "refusal": None}), done
        calls = 0
        for part in turn.parts:
            if part.kind == "call":
                function = {"name": part.name, "arguments": ""}
                call = {"index": calls, "id": f"call_{part.id}", "type": "function", "function": function}
                yield chunk(index, {"tool_calls": [call]}), done + tokens_of(part.name)
            for said, upto in pieces(part, piece):
                if part.kind == "reasoning":
                    yield b"", done + upto  # is not shown
                elif part.kind == "text":
                    yield chunk(index, {"content": said}), done + upto
                else:
                    call = {"index": calls, "function": {"arguments": said}}
                    yield chunk(index, {"tool_calls": [call]}), done + upto
            calls += part.kind == "call"
            done += part.tokens
        yield chunk(index, {}, FINISH[turn.finish]), done
    if with_usage:
        yield sse({**frame, "choices": [], "usage": usage_json(usage)}), done
    yield b"data: [DONE]\n\n", done


def broken(number):
    """A stream's last event when the provider fails in its middle."""
    return sse(fault(500, "The server had an error while processing your request", None, 0))


class completions:
    """POST /v1/completions, whole and streamed"""

    fault = staticmethod(fault)
    broken = staticmethod(broken)

    @staticmethod
    def read(body, path, query):
        limit = body.get("max_tokens")
        prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        options = body.get("stream_options") or {}
        return Asked(body["model"], 16 if limit is None else limit, bool(body.get("stream")), [], 0,
                     sum(measure(p) for p in prompts), choices=len(prompts) * (body.get("n") or 1),
                     with_usage=bool(options.get("include_usage")))

    @staticmethod
    def frame(asked, number, choices, usage):
        value = {"id": f"cmpl-{number:08d}", "object": "text_completion", "created": 1763700000,
                 "model": asked.model, "choices": choices}
        return value if usage is None else {**value, "usage": usage_json(usage)}

    @staticmethod
    def answer(asked, turns, usage, number):
        choices = [
            {"index": i, "text": "".join(p.text for p in t.parts if p.kind == "text"), "logprobs": None,
             "finish_reason": FINISH[t.finish]} for i, t in enumerate(turns)
        ]
        return completions.frame(asked, number, choices, usage)

    @staticmethod
    def events(asked, turns, usage, number, piece):
        done = 0
        for index, turn in enumerate(turns):
            for part in turn.parts:
                for said, upto in pieces(part, piece):
                    shown = {"index": index, "text": said, "logprobs": None, "finish_reason": None}
                    data = sse(completions.frame(asked, number, [shown], None))
                    yield data if part.kind == "text" else b"", done + upto
                done += part.tokens
            end = {"index": index, "text": "", "logprobs": None, "finish_reason": FINISH[turn.finish]}
            yield sse(completions.frame(asked, number, [end], None)), done
        if asked.more["with_usage"] and usage is not None:
            yield sse(completions.frame(asked, number, [], usage)), done
        yield b"data: [DONE]\n\n", done


class embeddings:
    """POST /v1/embeddings"""

    fault = staticmethod(fault)

    @staticmethod
    def read(body, path, query):
        given = body["input"]
        given = [given] if isinstance(given, str) or given and isinstance(given[0], int) else given
        size = sum(len(g) * 4 if isinstance(g, list) else measure(g) for g in given)
        return Asked(body["model"], None, False, [], 0, size, count=len(given), silent=True,
                     dimensions=body.get("dimensions") or 8, packed=body.get("encoding_format") == "base64")

    @staticmethod
    def answer(asked, turns, usage, number):
        values = [0.5] * asked.more["dimensions"]
        if asked.more["packed"]:
            values = base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
        data = [{"object": "embedding", "index": i, "embedding": values} for i in range(asked.more["count"])]
        value = {"object": "list", "data": data, "model": asked.model}
        if usage is not None:
            value["usage"] = {"prompt_tokens": usage.input, "total_tokens": usage.input}
        return value
