"""`aiohttp`: what stands around `ClientSession._request`, which every request goes through.

A whole answer is read before it is handed on; a stream is read on its way (aiohttp_reading.py).
"""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Callable, Dict, List, Optional

from ..errors import BursarError, UnsupportedError
from .aiohttp_reading import reader, streamed
from .attempt import Attempt, begin
from .dialects import dialect_of
from .gate import Gate, passing


async def request(
    gate: Gate, original: Callable[..., Awaitable[Any]], session: Any, method: str, url: Any,
    **options: Any,
) -> Any:  # fmt: skip
    """`original` is the session's `_request`, which takes method, URL and options."""
    whole = session._build_url(url)
    dialect = dialect_of(method.upper(), whole.path)
    if dialect is None:
        passing(gate, method.upper(), whole.path, whole.host or "")
        if method.upper() == "POST" and options.get("allow_redirects", True):
            _inside(session, options, _leading(gate))
        return await original(method, url, **options)
    try:
        content = _content(session, options)
        of = gate.session(None, content)
        if of is None or session.closed:
            return await original(method, url, **options)
        if content is None:
            raise _unread(whole.path, options.get("data"))
        attempt = begin(gate, of, dialect, whole.path, whole.host or "", content)
        if attempt is None:
            return await original(method, url, **options)
        await _admitted(attempt)
    except BursarError as error:
        raise gate.raised(error) from None
    if attempt.content is not None:
        options.pop("json", None)
        options["data"] = attempt.content
        headers = {**(options.get("headers") or {})}
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        options["headers"] = {
            name: value for name, value in headers.items() if name.lower() != "content-length"}
        if attempt.path != whole.path:
            url = whole.with_path(attempt.path, keep_query=True, keep_fragment=True)
    if options.get("middlewares") or getattr(session, "_middlewares", ()):  # may send it again
        _inside(session, options, _each(attempt))
    with attempt:
        response = await original(method, url, **options)
    await _answered(attempt, response)
    return response


async def _admitted(attempt: Attempt) -> None:
    delay = attempt.admit()
    while delay:
        await asyncio.sleep(delay)
        delay = attempt.admit()


def _unread(path: str, data: Any) -> UnsupportedError:
    return UnsupportedError(
        f"POST {path} was not sent: its price is in a body of {type(data).__name__}, which is read "
        "only while it is sent; pass bytes, text or json=")


def _inside(session: Any, options: Dict[str, Any], innermost: Any) -> None:
    """Adds a middleware below all others, in versions that have them (3.12)."""
    of_session = getattr(session, "_middlewares", None)
    if of_session is not None:
        above = options.get("middlewares")
        options["middlewares"] = (*(of_session if above is None else above), innermost)


def _leading(gate: Gate) -> Any:
    """The innermost middleware of what is not priced: it may be redirected to what is."""

    async def leading(request: Any, handler: Any) -> Any:
        path = request.url.path
        dialect = dialect_of(request.method, path)
        if dialect is None:
            return await handler(request)
        try:
            content = _content(None, {"data": request.body})
            of = gate.session(None, content)
            if of is None:
                return await handler(request)
            if content is None:
                raise _unread(path, request.body)
            attempt = begin(gate, of, dialect, path, request.url.host or "", content)
            if attempt is None:
                return await handler(request)
            await _admitted(attempt)
        except BursarError as error:
            raise gate.raised(error) from None
        if attempt.content is not None:
            await request.update_body(attempt.content)
            if attempt.path != path:
                request.url = request.url.with_path(attempt.path, keep_query=True)
        with attempt:
            response = await handler(request)
        await _answered(attempt, response)
        return response

    return leading


def _each(attempt: Attempt) -> Any:
    """The innermost middleware: every time but the first is an attempt of its own."""
    statuses: List[Optional[int]] = []

    async def each(request: Any, handler: Any) -> Any:
        if statuses:
            attempt.over(statuses[-1])
            delay = attempt.again()
            while delay:
                await asyncio.sleep(delay)
                delay = attempt.again()
        statuses.append(None)
        response = await handler(request)
        statuses[-1] = response.status
        return response

    return each


def _content(session: Any, options: Dict[str, Any]) -> Optional[bytes]:
    """The body of a request as bytes; None for one that is read only while it is sent."""
    data, json = options.get("data"), options.get("json")
    if json is not None:
        text = session._json_serialize(json)
        return text.encode() if isinstance(text, str) else bytes(text)
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    held = getattr(data, "_value", None)  # a payload of aiohttp's
    if isinstance(held, (bytes, bytearray, memoryview)):
        return bytes(held)
    return None


async def _answered(attempt: Attempt, response: Any) -> None:
    if not attempt.ask.stream:
        await _whole(attempt, response)
    elif attempt.opened(response.status, response.headers.get("Content-Type", "")):
        streamed(attempt, response)


async def _whole(attempt: Attempt, response: Any) -> None:
    """Reads an answer and settles it; whoever reads it again gets the same bytes."""
    try:
        data = await response.read()
    except BaseException as error:
        attempt.failed(error)
        raise
    attempt.answered(response.status, data)
    content = reader()
    content.feed_data(data)
    content.feed_eof()
    response.content = content
