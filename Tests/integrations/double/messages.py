"""Anthropic's messages on the wire.

Source: platform.claude.com/docs/en/api/messages and /build-with-claude/streaming; parsed by
`anthropic` 2.12.
"""

import json

from .say import Asked, measure, pieces, tokens_of
from .wire import Bad, fault_anthropic as fault, sse  # noqa: F401

FINISH = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use"}
READ = ("messages", "system", "tools", "output_config", "output_format")
SIGNATURE = "ZG91YmxlIG9mIGEgc2lnbmF0dXJl"


def read(body, path, query):
    limit = body.get("max_tokens")
    if limit is None:
        raise Bad("max_tokens: Field required")
    if limit < 1:
        raise Bad("max_tokens: Input should be greater than or equal to 1")
    budget = (body.get("thinking") or {}).get("budget_tokens")
    if budget is not None and budget < 1024:
        raise Bad("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget is not None and budget >= limit:
        raise Bad("`max_tokens` must be greater than `thinking.budget_tokens`.")
    thread = body.get("thread") or {}
    before, rounds, tools = 0, 0, []
    if thread.get("type") == "continue":
        try:
            before, rounds, tools = _threads[thread["previous_message_id"]]
        except KeyError:
            raise Bad("thread not found", "thread_not_found", 404) from None
    waiting = set()
    for message in body["messages"]:
        blocks = message["content"] if isinstance(message["content"], list) else [{"type": "text"}]
        kinds = {block["type"] for block in blocks}
        if message["role"] == "assistant":
            waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
            rounds += bool(waiting)
            continue
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if waiting - results:
            raise Bad("messages: `tool_use` ids were found without `tool_result` blocks immediately after: "
                      + ", ".join(sorted(waiting - results)))
        waiting = set()
        if kinds - {"tool_result"} and not results:
            rounds = 0
    choice = body.get("tool_choice") or {}
    force = {"any": "any", "none": "none", "tool": choice.get("name")}.get(choice.get("type"))
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    tools = tools or [
        (t["name"], t["input_schema"]) for t in body.get("tools") or [] if "input_schema" in t]
    return Asked(body["model"], limit, bool(body.get("stream")), tools, rounds,
                 sum(measure(body.get(k)) for k in READ), force=force, schema=form.get("schema"),
                 parallel=not choice.get("disable_parallel_tool_use"), before=before,
                 thread=bool(thread))


def usage_json(usage):
    return {
        "input_tokens": usage.fresh() if isinstance(usage.input, int) else usage.input,
        "cache_creation_input_tokens": usage.write + usage.write_1h,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.write,
                           "ephemeral_1h_input_tokens": usage.write_1h},
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "service_tier": "standard",
    }


_threads = {}  # by an answer's id: its tokens, all that came before among them; rounds; tools


def _keep(asked, turn, number):
    """The name of an answer, which a thread may be continued from."""
    name = f"msg_{number:08d}"
    if asked.more.get("thread"):
        calls = any(part.kind == "call" for part in turn.parts)
        _threads[name] = asked.input_tokens + turn.tokens, asked.rounds + calls, asked.tools
    return name


def _block(part):
    if part.kind == "reasoning":
        return {"type": "thinking", "thinking": part.text, "signature": SIGNATURE}
    if part.kind == "text":
        return {"type": "text", "text": part.text}
    return {"type": "tool_use", "id": f"toolu_{part.id}", "name": part.name, "input": json.loads(part.text)}


def answer(asked, turns, usage, number):
    turn = turns[0]
    # A call that the limit stopped has no input that could be shown.
    content = [_block(p) for p in turn.parts if p.kind != "call" or p.whole]
    value = {"id": _keep(asked, turn, number), "type": "message", "role": "assistant", "model": asked.model,
             "content": content, "stop_reason": FINISH[turn.finish], "stop_sequence": None}
    if usage is not None:
        value["usage"] = usage_json(usage)
    return value


def events(asked, turns, usage, number, piece):
    turn = turns[0]

    def event(name, **fields):
        return sse({"type": name, **fields}, name)

    message = {"id": _keep(asked, turn, number), "type": "message", "role": "assistant", "model": asked.model,
               "content": [], "stop_reason": None, "stop_sequence": None}
    if usage is None:  # The SDK's stream helper wants the objects, so they are there and say nothing.
        message["usage"] = nothing = {"input_tokens": None, "output_tokens": None}
    else:
        message["usage"] = {**usage_json(usage), "output_tokens": 1, "output_tokens_details": None}
    yield event("message_start", message=message), 0
    yield event("ping"), 0
    done = 0
    for index, part in enumerate(turn.parts):
        empty = {"reasoning": {"type": "thinking", "thinking": "", "signature": ""},
                 "text": {"type": "text", "text": ""},
                 "call": {"type": "tool_use", "id": f"toolu_{part.id}", "name": part.name, "input": {}}}
        begun = done + (tokens_of(part.name) if part.kind == "call" else 0)
        yield event("content_block_start", index=index, content_block=empty[part.kind]), begun
        for said, upto in pieces(part, piece):
            delta = {"reasoning": {"type": "thinking_delta", "thinking": said},
                     "text": {"type": "text_delta", "text": said},
                     "call": {"type": "input_json_delta", "partial_json": said}}[part.kind]
            yield event("content_block_delta", index=index, delta=delta), done + upto
        done += part.tokens
        if part.kind == "reasoning":
            delta = {"type": "signature_delta", "signature": SIGNATURE}
            yield event("content_block_delta", index=index, delta=delta), done
        yield event("content_block_stop", index=index), done
    total = nothing if usage is None else usage_json(usage)
    total = {k: n for k, n in total.items() if k not in ("cache_creation", "service_tier")}
    delta = {"stop_reason": FINISH[turn.finish], "stop_sequence": None}
    yield event("message_delta", delta=delta, usage=total), done
    yield event("message_stop"), done


def broken(number):
    """A stream's last event when the provider fails in its middle."""
    return sse(fault(529, "Overloaded", None, 0), "error")


class counting:
    """POST /v1/messages/count_tokens, which costs nothing"""

    fault = staticmethod(fault)

    @staticmethod
    def read(body, path, query):
        asked = read({**body, "max_tokens": 1 << 20, "stream": False}, path, query)
        asked.more.update(silent=True, free=True)
        return asked

    @staticmethod
    def answer(asked, turns, usage, number):
        return {"input_tokens": asked.input_tokens}
