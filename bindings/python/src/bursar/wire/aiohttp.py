"""`aiohttp`: what stands around `ClientSession._request`, which every request goes through.

Nothing is imported until a response is there. A whole answer is read before it is handed on; a
stream's `content` is a reader that takes from the real one, so that it is counted, cut and settled.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any, Awaitable, Callable, Dict, List, Optional

from ..errors import BursarError, UnsupportedError
from .attempt import Attempt, begin
from .dialects import dialect_of
from .gate import Gate, passing
from .watch import watch

_UNREAD_MAX = 16_384  # bytes; a reader that is further behind holds up the server
_LIMIT = 1 << 30  # bytes that a reader may hold: it takes one piece at a time


async def request(
    gate: Gate, original: Callable[..., Awaitable[Any]], session: Any, method: str, url: Any,
    **options: Any,
) -> Any:  # fmt: skip
    """`original` is the session's `_request`, which takes method, URL and options."""
    whole = session._build_url(url)
    dialect = dialect_of(method.upper(), whole.path)
    if dialect is None:
        passing(gate, method.upper(), whole.path, whole.host or "")
        return await original(method, url, **options)
    try:
        content = _content(session, options)
        of = gate.session(None, content)
        if of is None or session.closed:
            return await original(method, url, **options)
        if content is None:
            kind = type(options.get("data")).__name__
            raise UnsupportedError(
                f"POST {whole.path} was not sent: its price is in a body of {kind}, which is read "
                "only while it is sent; pass bytes, text or json=")
        attempt = begin(gate, of, dialect, whole.path, whole.host or "", content)
        if attempt is None:
            return await original(method, url, **options)
        delay = attempt.admit()
        while delay:
            await asyncio.sleep(delay)
            delay = attempt.admit()
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
    above = options.get("middlewares")
    above = getattr(session, "_middlewares", ()) if above is None else above
    if above:  # which may send it again
        options["middlewares"] = (*above, _each(attempt))
    with attempt:
        response = await original(method, url, **options)
    if not attempt.ask.stream:
        await _whole(attempt, response)
    elif attempt.opened(response.status, response.headers.get("Content-Type", "")):
        streamed(attempt, response)
    return response


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


async def _whole(attempt: Attempt, response: Any) -> None:
    """Reads an answer and settles it; whoever reads it again gets the same bytes."""
    try:
        data = await response.read()
    except BaseException as error:
        attempt.failed(error)
        raise
    attempt.answered(response.status, data)
    content = _reader(response.content)
    content.feed_data(data)
    content.feed_eof()
    response.content = content


def streamed(attempt: Attempt, response: Any) -> None:
    """Puts a reader between an answer of aiohttp and whoever reads it."""
    inner = response.content
    reader = _reader(inner, _classes["Reader"] if "Reader" in _classes else _make_classes(inner))
    reader.bursar = inner, attempt, response
    response.content = reader
    response._bursar = inner, attempt
    response.__class__ = _response_class(type(response))
    loop = asyncio.get_running_loop()

    def cut() -> None:
        try:
            loop.call_soon_threadsafe(_end, inner, attempt)
        except RuntimeError:
            pass  # the loop was closed

    attempt.cut = cut
    watch(attempt)


def _end(inner: Any, attempt: Attempt) -> None:
    if attempt.refused is not None and inner.exception() is None:
        inner.set_exception(attempt.refused)


_classes: Dict[Any, Any] = {}


def _reader(inner: Any, kind: Optional[Any] = None) -> Any:
    """A reader of its own, which never asks the connection to pause."""
    streams = sys.modules["aiohttp.streams"]
    return (kind or streams.StreamReader)(_Protocol(), _LIMIT, loop=asyncio.get_running_loop())


class _Protocol:
    """As much of a connection as a reader looks at."""

    _reading_paused = False
    connected = True

    def pause_reading(self, *how: Any, **more: Any) -> None:
        pass

    def resume_reading(self, *how: Any, **more: Any) -> None:
        pass


def _make_classes(inner: Any) -> Any:
    streams: Any = sys.modules["aiohttp.streams"]

    class Reader(streams.StreamReader):  # type: ignore[misc]
        """Takes from the reader that it stands for whenever it is empty."""

        bursar: Any

        async def _wait(self, name: str) -> None:
            inner, attempt, response = self.bursar
            try:
                data = await inner.readany()
                if data:
                    out = attempt.feed(data)
                    if out:
                        self.feed_data(out)
                    elif attempt.refused is not None:
                        raise attempt.refused
                    return
                out = attempt.finish()
            except asyncio.CancelledError:
                raise  # it may be read on
            except BaseException:
                _left(inner, attempt, response)
                if attempt.refused is not None:
                    response.close()
                raise
            if out:
                self.feed_data(out)
            if attempt.refused is not None:
                raise attempt.refused
            self.feed_eof()

    _classes["Reader"] = Reader
    return Reader


def _left(inner: Any, attempt: Attempt, response: Any) -> None:
    """It is over, wherever it was. What has arrived unread is billed, too; where that is much, more
    may be held up on its way."""
    try:
        if attempt.is_unsettled:
            data = b"".join(inner._buffer)[inner._buffer_offset :]  # also after an error
            attempt.feed(data)
            if attempt.is_unsettled:
                behind = _behind(response)
                attempt.unseen(behind)
                if len(data) + behind > _UNREAD_MAX:
                    attempt.lost()
    except Exception:
        attempt.lost()
    attempt.close()


def _behind(response: Any) -> int:
    """How many bytes have arrived at its connection that the event loop has not taken. It is shut,
    so that no more come."""
    transport = getattr(response.connection, "transport", None)
    if transport is None:
        return 0
    found = socket.socket(fileno=transport.get_extra_info("socket").fileno())
    size = 0
    try:
        found.shutdown(socket.SHUT_RDWR)
        while size <= _UNREAD_MAX:
            data = found.recv(_UNREAD_MAX)
            if not data:
                break
            size += len(data)
    except (BlockingIOError, ConnectionError):
        pass
    finally:
        found.detach()
    return size


def _response_class(kind: Any) -> Any:
    made = _classes.get(kind)
    if made is None:

        class Response(kind):  # type: ignore[misc]
            """Settles what came when it is let go."""

            def close(self) -> None:
                self._bursar_end()
                super().close()

            def release(self) -> Any:
                self._bursar_end()
                return super().release()

            def __del__(self, *more: Any) -> None:
                self._bursar_end()
                super().__del__(*more)

            def _bursar_end(self) -> None:
                inner, attempt = self._bursar
                _left(inner, attempt, self)

        Response.__name__, Response.__qualname__ = kind.__name__, kind.__qualname__
        Response.__module__ = kind.__module__
        made = _classes[kind] = Response
        _classes[Response] = Response
    return made
