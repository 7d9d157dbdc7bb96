"""A request's input in tokens, by what was learnt of its session, its model and its content.

The bytes are the request's weight (weight.py); media and files stay at their fixed sizes. What the
provider bills for a whole answer is learnt, unless it ran tools or called other models: they bring
input that was not in the request. As in hot.py, arguments are written into a struct of a pool, here
until the answer is in: this stands in the way of every call.
"""

from __future__ import annotations

import ctypes as C
import struct
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from .. import _abi
from ..errors import BursarError
from ..estimate import measured
from ..estimator import counted, tokenizer_of
from ..words import Content

if TYPE_CHECKING:
    from ..session import Session
    from ..usage import Usage
    from .dialect import Ask, Dialect


class _Call(C.Structure):
    _fields_ = [("estimate", _abi.Estimate), ("input", C.c_int64), ("output", C.c_int64)]


Frame = Tuple[Any, Any, Any, Any]  # a call, and its estimate, input and output as arguments

_write = struct.Struct("=iqQqqiI").pack_into  # from `model` on, at byte 4
_write_model = struct.Struct("=i").pack_into
_write_bill = struct.Struct("=qq").pack_into
_read = struct.Struct("=q").unpack_from
_MODEL_AT, _MOST_AT = _abi.Estimate.model.offset, _abi.Estimate.tokens_max.offset
_BILL_AT = _Call.input.offset
_frames: List[Frame] = []

_WORD = (1 << 64) - 1
_TEXT, _WIDE, _JSON, _COUNTED = (
    int(kind) for kind in (Content.TEXT, Content.WIDE, Content.JSON, Content.COUNTED))
_TURNS = ("messages", "input", "contents")
_INSTRUCTIONS = ("system", "instructions", "systemInstruction", "system_instruction")
_MARK = 256  # characters that tell one text from another


def guess(
    session: Session, dialect: Dialect, ask: Ask, body: Dict[str, Any], stored: int
) -> Tuple[int, Optional[Frame]]:
    """The tokens to reserve, and for `learn` how they were come by. `stored`: tokens that the
    provider adds, and that are known."""
    link = session._link
    text, wide, shaped, fixed = ask.weight
    size, kind = text, _TEXT
    if wide or shaped:
        size += wide + shaped
        kind = _WIDE if wide * 2 > size else _JSON if shaped * 2 > size else _TEXT
    if not ask.model or not size:
        return ask.input_tokens + stored, None
    if link.tokenizers:
        count = _counted(session, dialect, ask, body)
        if count is not None:
            size, kind = count, _COUNTED
    try:
        frame = _frames.pop()
    except IndexError:
        call = _Call(_abi.Estimate())
        at = C.c_int64.from_buffer(call, _BILL_AT), C.c_int64.from_buffer(call, _BILL_AT + 8)
        frame = call, C.byref(call), *at
    try:
        model = link.models[ask.model]
    except KeyError:
        model = link.model(ask.model)
    # nothing continues an embedding
    whose, which = (0, 0) if ask.as_asked else (session.id, conversation(body))
    call = frame[0]
    _write(call, _MODEL_AT, model, whose, which, size, fixed + stored, kind, 0)
    if link.estimate(link.arg, frame[1]):
        return ask.input_tokens + stored, None  # larger than any input
    tokens: int = _read(call, _MOST_AT)[0]
    return tokens, frame


def learn(session: Session, frame: Optional[Frame], usage: Usage, model: int) -> None:
    """What was billed for it, to the model that was granted."""
    if frame is None:
        return
    call, estimate, tokens, output = frame
    link = session._link
    try:
        _write_model(call, _MODEL_AT, model)
        _write_bill(call, _BILL_AT, usage[0], usage[4])
        link.learn(link.arg, estimate, tokens, output)
    except (BursarError, struct.error):
        return  # it was closed, or no count of tokens: it was settled as it is
    _frames.append(frame)


def _counted(
    session: Session, dialect: Dialect, ask: Ask, body: Dict[str, Any]
) -> Optional[int]:
    """What the user's tokenizer for this model counts; None when there is none."""
    tokenizer = tokenizer_of(session._link, ask.model)
    if tokenizer is None:
        return None
    texts: List[str] = []
    for name in getattr(dialect, "inputs", ()):
        measured(body.get(name), texts)
    return counted(tokenizer, texts)


def conversation(body: Dict[str, Any]) -> int:
    """A number that stays the same while a conversation grows: of its instructions and its first
    message."""
    try:
        turns = body["messages"]
        first = turns[0]
        text = first["content"]
        role = first["role"]
        if role == "system" or role == "developer":
            more = turns[1]["content"]
            if type(text) is str and type(more) is str:
                return hash((len(text), text[:_MARK], len(more), more[:_MARK])) & _WORD
        elif type(text) is str and "system" not in body:
            return hash((len(text), text[:_MARK])) & _WORD
    except (LookupError, TypeError):
        pass
    return hash(_beginning(body)) & _WORD


def _beginning(body: Dict[str, Any]) -> Any:
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
        return len(value), value[:_MARK]
    if not depth:
        return None
    if kind is list:
        return _mark(value[0], depth - 1) if value else None
    if kind is dict:
        return tuple([
            (name[:32], _mark(item, depth - 1))
            for name, item in list(value.items())[:4] if name != "cache_control"])  # fmt: skip
    return value if kind in (int, bool, float) else None
