"""OpenAI's responses on the wire.

Source: platform.openai.com/docs/api-reference/responses and /responses-streaming; parsed by
`openai` 3.54. An answer's id carries what `previous_response_id` needs: rounds and tokens.
"""

from .say import Asked, measure, pieces, tokens_of
from .wire import Bad, fault_openai as fault, padded, sse  # noqa: F401

READ = ("input", "instructions", "tools", "text")
LEAST = 16  # output tokens that a request may be limited to


def read(body, path, query):
    items = body.get("input") or []
    items = [{"role": "user"}] if isinstance(items, str) else items
    limit = body.get("max_output_tokens")
    if limit is not None and limit < LEAST:
        raise Bad(f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {LEAST}, "
                  f"but got {limit} instead.", "integer_below_min_value")
    before, rounds = 0, 0
    previous = body.get("previous_response_id")
    if previous:
        try:
            rounds, before = int(previous[13:17], 16), int(previous[17:], 16)
        except ValueError:
            raise Bad(f"Previous response with id '{previous}' not found.",
                      "previous_response_not_found") from None
    outputs = {i.get("call_id") for i in items if i.get("type") == "function_call_output"}
    last = "function_call" if previous else ""
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call" and item["call_id"] not in outputs:
            raise Bad(f"No tool output found for function call {item['call_id']}.")
        if kind == "message" and item.get("role") == "user":
            rounds = 0
        elif kind == "function_call_output" and last == "function_call" and not previous:
            rounds += 1
        last = kind
    choice = body.get("tool_choice")
    force = {"none": "none", "required": "any"}.get(choice) if isinstance(choice, str) else None
    if isinstance(choice, dict):
        force = choice.get("name")
    form = (body.get("text") or {}).get("format") or {}
    schema = {"type": "object"} if form.get("type") == "json_object" else form.get("schema")
    tools = [(t["name"], t.get("parameters")) for t in body.get("tools") or [] if t["type"] == "function"]
    shown = bool((body.get("reasoning") or {}).get("summary"))
    return Asked(body["model"], limit, bool(body.get("stream")), tools, rounds,
                 sum(measure(body.get(k)) for k in READ), force=force, schema=schema, before=before,
                 parallel=body.get("parallel_tool_calls") is not False, body=body, shown=shown,
                 padded=(body.get("stream_options") or {}).get("include_obfuscation") is not False)


def usage_json(usage):
    if usage is None:
        return None
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output if isinstance(usage.input, int) else usage.input,
    }


def response(asked, turn, usage, number, output, status):
    body = asked.more["body"]
    kept = asked.input_tokens + turn.tokens
    rounds = asked.rounds + (turn.finish == "tools")
    cut = status == "incomplete"
    return {
        "id": f"resp_{number:08x}{rounds:04x}{kept:08x}", "object": "response", "created_at": 1763700000,
        "status": status, "background": False, "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"), "max_output_tokens": asked.limit,
        "model": asked.model, "output": output,
        "parallel_tool_calls": asked.more["parallel"],
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None}, "service_tier": "default", "store": True,
        "temperature": 1.0, "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto", "tools": body.get("tools") or [],
        "top_p": 1.0, "truncation": "disabled", "usage": usage, "user": None, "metadata": {},
    }


def _item(part, number, status, empty=False):
    said = "" if empty else part.text
    if part.kind == "reasoning":
        return {"id": f"rs_{number:08d}", "type": "reasoning", "summary": []}
    if part.kind == "text":
        content = [{"type": "output_text", "annotations": [], "logprobs": [], "text": said}]
        return {"id": f"msg_{number:08d}", "type": "message", "role": "assistant", "status": status,
                "content": [] if empty else content}
    return {"id": f"fc_{part.id}", "type": "function_call", "status": status, "name": part.name,
            "arguments": said, "call_id": f"call_{part.id}"}


def _finished(part, number, shown):
    item = _item(part, number, "completed" if part.whole else "incomplete")
    if part.kind == "reasoning" and shown:
        item["summary"] = [{"type": "summary_text", "text": part.text}]
    return item


def answer(asked, turns, usage, number):
    turn = turns[0]
    status = "incomplete" if turn.finish == "length" else "completed"
    output = [_finished(part, number, asked.more["shown"]) for part in turn.parts]
    return response(asked, turn, usage_json(usage), number, output, status)


def events(asked, turns, usage, number, piece):
    turn = turns[0]
    sequence = -1

    def event(name, **fields):
        nonlocal sequence
        sequence += 1
        if name.endswith(".delta") and asked.more["padded"]:
            fields.update(padded(sequence))
        return sse({"type": f"response.{name}", "sequence_number": sequence, **fields}, f"response.{name}")

    begun = response(asked, turn, None, number, [], "in_progress")
    yield event("created", response=begun), 0
    yield event("in_progress", response=begun), 0
    done = 0
    for index, part in enumerate(turn.parts):
        item = _item(part, number, "in_progress", empty=True)
        at = {"item_id": item["id"], "output_index": index}
        added = done + (tokens_of(part.name) if part.kind == "call" else 0)
        yield event("output_item.added", output_index=index, item=item), added
        for data, upto in _inside(part, at, event, piece, asked.more["shown"]):
            yield data, done + upto
        done += part.tokens
        yield event("output_item.done", output_index=index,
                    item=_finished(part, number, asked.more["shown"])), done
    last = answer(asked, turns, usage, number)
    yield event(last["status"], response=last), done


def _inside(part, at, event, piece, shown):
    """The events between an item's start and its end."""
    if part.kind == "call":
        for said, upto in pieces(part, piece):
            yield event("function_call_arguments.delta", delta=said, **at), upto
        yield event("function_call_arguments.done", arguments=part.text, **at), part.tokens
        return
    if part.kind == "reasoning":
        place = {**at, "summary_index": 0}
        if shown:
            summary = {"type": "summary_text", "text": ""}
            yield event("reasoning_summary_part.added", part=summary, **place), 0
        for said, upto in pieces(part, piece):
            data = event("reasoning_summary_text.delta", delta=said, **place) if shown else b""
            yield data, upto
        if shown:
            summary = {"type": "summary_text", "text": part.text}
            yield event("reasoning_summary_text.done", text=part.text, **place), part.tokens
            yield event("reasoning_summary_part.done", part=summary, **place), part.tokens
        return
    place = {**at, "content_index": 0}
    content = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    yield event("content_part.added", part=content, **place), 0
    for said, upto in pieces(part, piece):
        yield event("output_text.delta", delta=said, logprobs=[], **place), upto
    yield event("output_text.done", text=part.text, logprobs=[], **place), part.tokens
    yield event("content_part.done", part={**content, "text": part.text}, **place), part.tokens


def broken(number):
    """A stream's last event when the provider fails in its middle."""
    error = {"type": "error", "code": "server_error", "message": "The server had an error", "param": None}
    return sse({**error, "sequence_number": 1 << 20}, "error")
