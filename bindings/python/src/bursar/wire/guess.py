"""A request's input in tokens, by what was learnt of its session, its model and its content; and
the calls of the library for what was guessed.

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
from ..decision import Decision, read_decision, read_grant
from ..errors import BursarError, InvalidArgumentError
from ..estimate import measured
from ..estimator import counted, tokenizer_of
from ..hot import DECISION_AT, NO_MEDIA, USAGE_SIZE, ReserveCall, SettleCall
from ..hot import tuple_as, write_request, write_settle
from ..words import Content, Status

if TYPE_CHECKING:
    from ..session import Session
    from ..usage import Usage
    from .dialect import Ask, Dialect


class _Call(C.Structure):
    _fields_ = [
        ("estimate", _abi.Estimate), ("input", C.c_int64), ("output", C.c_int64),
        ("reserve", ReserveCall), ("settle", SettleCall),
    ]  # fmt: skip


# A call, and as arguments its estimate, input, output, request, decision, reservation, usage, receipt
Frame = Tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]

_write = struct.Struct("=iqQqqiI").pack_into  # from `model` on, at byte 4
_write_model = struct.Struct("=i").pack_into
_write_bill = struct.Struct("=qq").pack_into
_read = struct.Struct("=q").unpack_from
_MODEL_AT, _MOST_AT = _abi.Estimate.model.offset, _abi.Estimate.tokens_max.offset
_BILL_AT = _Call.input.offset
_REQUEST_AT, _SETTLE_AT = _Call.reserve.offset, _Call.settle.offset
_GRANT_AT = _REQUEST_AT + DECISION_AT
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
        frame = _frame()
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


def _frame() -> Frame:
    call = _Call(
        _abi.Estimate(), 0, 0, ReserveCall(_abi.Request(), _abi.Decision()),
        SettleCall(0, _abi.Usage(), _abi.Receipt()))  # fmt: skip
    input, output, reservation = (
        C.c_int64.from_buffer(call, at) for at in (_BILL_AT, _BILL_AT + 8, _SETTLE_AT))
    usage, receipt = (
        C.byref(call, _SETTLE_AT + field.offset) for field in (SettleCall.usage, SettleCall.receipt))
    return (
        call, C.byref(call), input, output, C.byref(call, _REQUEST_AT), C.byref(call, _GRANT_AT),
        reservation, usage, receipt)  # fmt: skip


def reserve(
    session: Session, frame: Frame, flags: int, model: str, tokens: int, output_tokens: int
) -> Decision:
    """As Session.reserve, for what was guessed."""
    link, call = session._link, frame[0]
    try:
        write_request(
            call, _REQUEST_AT + 4, flags, link.models[model], 0, tokens, 0, output_tokens, 0)
    except struct.error as error:
        raise InvalidArgumentError(f"reserve: {error}") from None
    status = link.reserve(link.arg, session._arg, frame[4], frame[5])
    if not status:
        decision: Decision = tuple_as(link.decision, read_grant(call, _GRANT_AT))
    elif status == Status.E_REFUSED:
        decision = tuple_as(link.decision, read_decision(call, _GRANT_AT))
    else:
        decision = session._gone(status)
    return decision


def settle(session: Session, frame: Optional[Frame], reservation: int, usage: Usage) -> None:
    """As Session.settle, of which nobody reads the receipt."""
    if frame is not None and usage[6:] == NO_MEDIA:
        try:
            write_settle(frame[0], _SETTLE_AT, reservation, USAGE_SIZE, 0, *usage[:6])
        except struct.error:
            pass  # which Session.settle says
        else:
            link = session._link
            if not link.settle(link.arg, frame[6], frame[7], frame[8]):
                return
    session.settle(reservation, usage)


def learn(session: Session, frame: Optional[Frame], usage: Usage, model: int) -> None:
    """What was billed for it, to the model that was granted. The frame is given back."""
    if frame is None:
        return
    call, link = frame[0], session._link
    try:
        _write_model(call, _MODEL_AT, model)
        _write_bill(call, _BILL_AT, usage[0], usage[4])
        link.learn(link.arg, frame[1], frame[2], frame[3])
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
