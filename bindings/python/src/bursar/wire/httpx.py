"""`httpx` and `httpx2` alike: what stands around a client's `send`.

Nothing is imported: both are known by their shape. A request to a priced path is admitted, gets
what was granted written into it, and its answer is read on the way to the caller.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from operator import itemgetter
from typing import Any, Awaitable, Callable, Dict, Optional, Tuple

from ..errors import BursarError, Refused, UnsupportedError
from .attempt import Attempt, begin
from .dialects import dialect_of
from .gate import Gate, passing
from .reading import AsyncBody, Body, classes, reading
from .redirect import followed, followed_async
from .transport import follow

_UNREAD: Any = object()
_name = itemgetter(1)  # of a header as httpx keeps it: as written, in small letters, its value


def _attempt(gate: Gate, client: Any, request: Any, content: Optional[bytes]) -> Optional[Attempt]:
    """None: the request passes. _UNREAD: ask again, with its content."""
    url = request.url
    path = url.path
    dialect = dialect_of(request.method, path)
    if dialect is None:
        passing(gate, request.method, path, url.host)
        return None
    session = gate.session(request, content)
    if session is None or client.is_closed:  # which it says itself
        return None
    if content is None:
        return _UNREAD  # type: ignore[no-any-return]
    attempt = begin(gate, session, dialect, path, url.host, content)
    if attempt is not None:
        attempt.request = request
        if b"x-amz-date" in map(_name, request.headers._list) and _signed(request.headers):
            attempt.signed = True
            if attempt.ask.max_output_tokens is None and attempt.ask.limits:
                raise UnsupportedError(
                    f"POST {path} was not sent: it is signed, so that no output limit can be "
                    f"written into it, and names none; pass {attempt.ask.limits[0]}")
    return attempt


def _rewrite(attempt: Attempt, request: Any) -> None:
    """Puts what was granted into the request."""
    content = attempt.content
    if content is not None:
        request.stream = type(request.stream)(content)
        request._content = content
        _put(request.headers, b"Content-Length", b"%d" % len(content))
        if attempt.path != request.url.path:
            request.url = request.url.copy_with(path=attempt.path)
    if attempt.ask.stream and not attempt.signed:
        headers = request.headers
        if not _put(headers, b"Accept-Encoding", b"identity"):  # events are read on their way
            headers["Accept-Encoding"] = "identity"


def _put(headers: Any, name: bytes, value: bytes) -> bool:
    """Sets a header where it is there. By httpx's own means all are decoded, twice, before."""
    key, kept, found = name.lower(), headers._list, False
    for at, (_, other, _) in enumerate(kept):
        if other == key:
            kept[at], found = (name, key, value), True
    return found


def _signed(headers: Any) -> bool:
    """Whether AWS signed it, body and all."""
    return any(
        name == b"authorization" and value.startswith(b"AWS4-") for _, name, value in headers._list)


def send(
    gate: Gate, original: Callable[..., Any], client: Any, request: Any, stream: bool = False,
    **more: Any,
) -> Any:  # fmt: skip
    """`original` is the client's send, which takes the request."""
    attempt = None
    try:
        attempt = _attempt(gate, client, request, getattr(request, "_content", None))
        if attempt is _UNREAD:
            attempt = _attempt(gate, client, request, request.read())
        if attempt is None:
            again = functools.partial(send, gate, original, client)
            return followed(again, original, client, request, stream, more)
        delay = attempt.admit()
        while delay:
            time.sleep(delay)
            delay = attempt.admit()
        if attempt.content is not None or attempt.ask.stream:
            _rewrite(attempt, request)
        follow(attempt, client, request, None)
    except BursarError as error:
        if attempt is not None and gate.refuse == "error" and isinstance(error, Refused):
            gate.refused = error.decision
            return _refusal(attempt, request, error)
        raise gate.raised(error) from None
    in_parts = stream or attempt.ask.stream
    with attempt:
        response = original(request, stream=in_parts, **more)
    if in_parts:
        reading(attempt, response, "SyncByteStream", Body)
        if not stream:
            response.read()
    else:
        _answered(attempt, response)
    return response


async def send_async(
    gate: Gate, original: Callable[..., Awaitable[Any]], client: Any, request: Any,
    stream: bool = False, **more: Any,
) -> Any:  # fmt: skip
    """The same for an AsyncClient."""
    attempt = None
    try:
        attempt = _attempt(gate, client, request, getattr(request, "_content", None))
        if attempt is _UNREAD:
            attempt = _attempt(gate, client, request, await request.aread())
        if attempt is None:
            again = functools.partial(send_async, gate, original, client)
            return await followed_async(again, original, client, request, stream, more)
        delay = attempt.admit()
        while delay:
            await _sleep(delay)
            delay = attempt.admit()
        if attempt.content is not None or attempt.ask.stream:
            _rewrite(attempt, request)
        follow(attempt, client, request, _sleep)
    except BursarError as error:
        if attempt is not None and gate.refuse == "error" and isinstance(error, Refused):
            gate.refused = error.decision
            return _refusal(attempt, request, error)
        raise gate.raised(error) from None
    in_parts = stream or attempt.ask.stream
    with attempt:
        response = await original(request, stream=in_parts, **more)
    if in_parts:
        reading(attempt, response, "AsyncByteStream", AsyncBody)
        if not stream:
            await response.aread()
    else:
        _answered(attempt, response)
    return response


async def _sleep(seconds: float) -> None:
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        await trio.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)


def _refusal(attempt: Attempt, request: Any, refused: Refused) -> Any:
    """The provider's own answer to one who has no money left."""
    response = classes(type(request), "Response")
    return response(
        attempt.dialect.error_status, json=attempt.dialect.error(str(refused)), request=request,
        headers={"x-should-retry": "false", "x-bursar-refused": type(refused).__name__})


# ---- Answers ----


def _answered(attempt: Attempt, response: Any) -> None:
    content = response.content
    answer = attempt.answered(response.status_code, content)
    if answer is not None:
        response.json = _Read(answer, content)


class _Read:
    """An answer's JSON, for the first who asks: it need not be read twice."""

    __slots__ = ("_answer", "_content")

    def __init__(self, answer: Any, content: bytes) -> None:
        self._answer = answer
        self._content = content

    def __call__(self, **options: Any) -> Any:
        answer, self._answer = self._answer, None
        return json.loads(self._content, **options) if options or answer is None else answer

    def __reduce__(self) -> Tuple[Any, ...]:
        return _Read, (None, self._content)


# ---- Clients ----


def metered(client: Any, gate: Gate) -> Any:
    """The same client, seen through a class whose `send` is metered: it shares everything with
    the one given, connections and settings, and keeps it alive."""
    client = getattr(client, "_bursar_client", client)
    kind: Any = type(client)
    view = _views.get(kind)
    if view is None:
        base = _AsyncView if hasattr(kind, "aclose") else _View
        view = _views[kind] = type(kind.__name__, (base, kind), {
            "__module__": kind.__module__, "__qualname__": kind.__qualname__, "__init__": _no_init,
            "__slots__": ("_bursar_client", "_bursar_gate"),
        })  # fmt: skip
    made = object.__new__(view)
    made.__dict__ = client.__dict__
    made._bursar_client, made._bursar_gate = client, gate
    return made


_views: Dict[Any, Any] = {}


def _no_init(self: Any) -> None:
    raise TypeError("made by Session.wrap")


class _View:
    _bursar_client: Any
    _bursar_gate: Gate
    __slots__ = ()

    def send(self, request: Any, *, stream: bool = False, **more: Any) -> Any:
        plain: Any = super().send  # type: ignore[misc]
        return send(self._bursar_gate, plain, self, request, stream, **more)

    def __del__(self) -> None:  # the client's own closes it, when nobody has it any more
        pass


class _AsyncView:
    _bursar_client: Any
    _bursar_gate: Gate
    __slots__ = ()

    async def send(self, request: Any, *, stream: bool = False, **more: Any) -> Any:
        plain: Any = super().send  # type: ignore[misc]
        return await send_async(self._bursar_gate, plain, self, request, stream, **more)

    def __del__(self) -> None:
        pass
