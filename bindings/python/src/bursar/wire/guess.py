"""A request's input in tokens, by what was learnt of its session, its model and its content.

The bytes are the request's weight (weight.py), media and files stay at their fixed sizes. What
the provider bills for a whole answer is learnt, unless it ran tools or called other models: they
bring input that was not in the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ..errors import BursarError
from ..estimate import measured
from ..estimator import Estimate, counted, estimated, tokenizer_of
from ..words import Content

if TYPE_CHECKING:
    from ..session import Session
    from ..usage import Usage
    from .dialect import Ask, Dialect

_MOST = (1 << 31) - 1  # bytes, and tokens, that an estimate takes
_TEXT, _WIDE, _JSON = int(Content.TEXT), int(Content.WIDE), int(Content.JSON)
_TURNS = ("messages", "input", "contents")
_INSTRUCTIONS = ("system", "instructions", "systemInstruction", "system_instruction")


def guess(
    session: Session, dialect: Dialect, ask: Ask, body: Dict[str, Any], stored: int
) -> Optional[Estimate]:
    """The estimate of an input; `stored`: tokens that the provider adds to it, which are known.
    None: there is nothing to go by."""
    weight, link = ask.weight, session._link
    size = weight.bytes
    fixed = weight.fixed_tokens + max(0, ask.input_tokens - weight.tokens) + stored
    if not ask.model or size > _MOST or fixed > _MOST:
        return None
    kind = _TEXT
    if 2 * weight.wide_bytes > size:
        kind = _WIDE
    elif 2 * weight.json_bytes > size:
        kind = _JSON
    if link.tokenizers:
        tokenizer = tokenizer_of(link, ask.model)
        if tokenizer is not None:
            texts: List[str] = []
            for name in getattr(dialect, "inputs", ()):
                measured(body.get(name), texts)
            count = counted(tokenizer, texts)
            if count is not None:
                size, kind = count, int(Content.COUNTED)
    if ask.as_asked:  # embeddings: nothing continues them
        return estimated(link, 0, ask.model, size, fixed, kind)
    return estimated(link, session.id, ask.model, size, fixed, kind, hash(beginning(body)))


def learn(estimate: Optional[Estimate], usage: Usage, model: int) -> None:
    """What was billed for it, to the model that was granted."""
    if estimate is not None:
        try:
            estimate.learn(usage.input_tokens, usage.output_tokens, model)
        except BursarError:
            pass  # a count that is none: it was settled as it is


def beginning(body: Dict[str, Any]) -> Any:
    """What stays the same while a conversation grows: its instructions and first message."""
    found: List[Any] = [_mark(body[name], 4) for name in _INSTRUCTIONS if name in body]
    for name in _TURNS:
        turns = body.get(name)
        if type(turns) is list and turns:
            first = turns[0]
            found.append(_mark(first, 4))
            role = first.get("role") if type(first) is dict else None
            if len(turns) > 1 and role in ("system", "developer"):
                found.append(_mark(turns[1], 4))
            break
    return tuple(found)


def _mark(value: Any, depth: int) -> Any:
    """Enough of a value to tell it from others, and no more."""
    kind = type(value)
    if kind is str:
        return len(value), value[:256]
    if not depth:
        return None
    if kind is list:
        return _mark(value[0], depth - 1) if value else None
    if kind is dict:
        return tuple([
            (name[:32], _mark(item, depth - 1))
            for name, item in list(value.items())[:4] if name != "cache_control"])  # fmt: skip
    return value if kind in (int, bool, float) else None
