"""Answers of `aiohttp` that are read in parts: the reader between them and the caller.

Nothing is imported until a response is there. A stream's `content` is a reader that takes from the
real one, so that it is counted, cut and settled. A response is closed by a plain call, which cannot
wait for anything: then the connection is shut, and what had arrived is taken out of it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from ..errors import BursarError
from .watch import watch

if TYPE_CHECKING:
    from .attempt import Attempt

UNREAD_MAX = 16_384  # bytes; a reader that is further behind holds up the server
FEW = 4_096  # bytes; where more was unread and still more is on its way, nobody knows how much
_LIMIT = 1 << 30  # bytes that a reader may hold: it takes one piece at a time
_classes: Dict[Any, Any] = {}


def streamed(attempt: Attempt, response: Any) -> None:
    """Puts a reader between an answer and whoever reads it. In the event loop."""
    made = _classes.get("Reader") or _made_reader()
    content = response.content
    response.content = made(_Protocol(), _LIMIT, loop=asyncio.get_running_loop())
    response.content.bursar = response._bursar = _Arriving(attempt, response, content)
    response.__class__ = _response_class(type(response))
    watch(attempt)


def reader() -> Any:
    """A reader of its own, which never asks the connection to pause."""
    streams = sys.modules["aiohttp.streams"]
    return streams.StreamReader(_Protocol(), _LIMIT, loop=asyncio.get_running_loop())


class _Protocol:
    """As much of a connection as a reader looks at."""

    _reading_paused = False
    connected = True

    def pause_reading(self, *how: Any, **more: Any) -> None:
        pass

    def resume_reading(self, *how: Any, **more: Any) -> None:
        pass


class _Arriving:
    """What arrives for an attempt: its answer's own reader, and the connection it fills from."""

    def __init__(self, attempt: Attempt, response: Any, inner: Any) -> None:
        self.attempt = attempt
        self.inner = inner
        self.response = weakref.ref(response)
        connection = response.connection
        self.protocol = None if connection is None else connection.protocol  # None: it is all here
        loop, this = asyncio.get_running_loop(), weakref.ref(self)

        def cut() -> None:
            try:
                loop.call_soon_threadsafe(_cut, this)
            except RuntimeError:
                pass  # the loop was closed

        attempt.cut = cut

    def end(self, error: Optional[BaseException] = None) -> bytes:
        """Its reader leaves, or `error` ended it: what has arrived unread is billed, too. Settles.
        What whoever reads on may still have."""
        inner, attempt, out = self.inner, self.attempt, b""
        if error is not None and inner.exception() is None and not inner.is_eof():
            inner.set_exception(error)  # to whoever waits there
        if attempt.is_unsettled:
            try:
                data = self._rest()
            except Exception:  # it was broken already, or is kept elsewhere in this version
                data = None
            if data is None:
                attempt.lost()
            else:
                with contextlib.suppress(BursarError):  # the runtime was closed
                    out = attempt.feed(data)
        attempt.close()
        return out

    def dropped(self) -> None:
        """The same where nothing may be called: garbage is collected in the middle of anything."""
        inner, attempt = self.inner, self.attempt
        if attempt.is_unsettled:
            if not inner.is_eof():
                attempt.lost()
            elif hasattr(inner, "_buffer"):  # that of an empty answer has none
                attempt.feed(b"".join(inner._buffer)[inner._buffer_offset :])
        attempt.close()

    def _rest(self) -> Optional[bytes]:
        """What arrived unread. None: nobody knows, or it is so much that the server waits."""
        inner, protocol = self.inner, self.protocol
        if inner.is_eof():  # the connection may be another's by now
            return _held(inner)
        if getattr(protocol, "_reading_paused", False):
            return None
        data = _held(inner)
        if protocol is None or len(data) > UNREAD_MAX:
            return None
        transport = protocol.transport
        if transport is None:  # the server ended it in the middle, or it was broken or closed here
            ended = isinstance(inner.exception(), sys.modules["aiohttp"].ClientPayloadError)
            return data if ended and not isinstance(protocol.exception(), OSError) else None
        if transport.is_closing():
            return None
        protocol.force_close()  # it is not to be used again
        into = _into(transport, protocol)
        number = transport.get_extra_info("socket").fileno()
        other = socket.socket(fileno=number)  # of the plain socket, below TLS
        try:
            other.shutdown(socket.SHUT_RDWR)
            while not inner.is_eof():
                try:
                    piece = other.recv(65_536, socket.MSG_DONTWAIT)
                except OSError:  # reset, by what was on its way
                    if len(data) > FEW:
                        return None
                    break
                if not piece:
                    break
                if into is None:
                    return None
                into(piece)
                if protocol._reading_paused:
                    return None
                data += _held(inner)
                if len(data) > UNREAD_MAX:
                    return None
        finally:
            other.detach()
        return data


def _cut(of: Callable[[], Optional[_Arriving]]) -> None:
    """The session was stopped: nothing more is to be sent."""
    arriving = of()
    if arriving is not None and arriving.attempt.refused is not None:
        arriving.end(arriving.attempt.refused)


def _held(inner: Any) -> bytes:
    """All that a reader holds, whatever ended it."""
    parts = []
    while getattr(inner, "_buffer", None):  # that of an empty answer has none
        parts.append(inner._read_nowait_chunk(-1))
    return b"".join(parts)


def _into(transport: Any, protocol: Any) -> Optional[Callable[[bytes], None]]:
    """What takes bytes that were read from the socket of a connection; None: nobody knows."""
    if transport.get_extra_info("sslcontext") is None:
        return protocol.data_received  # type: ignore[no-any-return]
    tls: Any = getattr(transport, "_ssl_protocol", None)  # asyncio's
    if not hasattr(tls, "get_buffer"):
        return getattr(tls, "data_received", None)

    def into(data: bytes) -> None:
        while data:
            buffer = tls.get_buffer(len(data))
            taken = min(len(data), len(buffer))
            buffer[:taken] = data[:taken]
            tls.buffer_updated(taken)
            data = data[taken:]

    return into


def _made_reader() -> Any:
    streams: Any = sys.modules["aiohttp.streams"]

    class Reader(streams.StreamReader):  # type: ignore[misc]
        """Takes from the reader that it stands for whenever it is empty."""

        bursar: _Arriving

        async def _wait(self, name: str) -> None:
            arriving = self.bursar
            attempt = arriving.attempt
            if attempt.refused is None:
                try:
                    data = await arriving.inner.readany()
                except asyncio.CancelledError:
                    raise  # whoever asks again gets what comes then
                except BaseException as error:
                    out = arriving.end()
                    if attempt.refused is None:
                        self.set_exception(error)
                        self.feed_data(out)
                        raise
                else:
                    out = attempt.feed(data) if data else attempt.finish()
                    if out:
                        self.feed_data(out)
                    if attempt.refused is None:
                        if not data:
                            self.feed_eof()
                        return
                    if out:
                        return  # what was granted; the refusal is for who asks for more
            arriving.end(attempt.refused)
            response = arriving.response()
            if response is not None:
                response.close()
            raise attempt.refused

    _classes["Reader"] = Reader
    return Reader


def _response_class(kind: Any) -> Any:
    made = _classes.get(kind)
    if made is None:

        class Response(kind):  # type: ignore[misc]
            """Settles what came when it is let go."""

            _bursar: _Arriving

            def close(self) -> None:
                self._bursar.end(_closed())
                super().close()

            def release(self) -> Any:
                self._bursar.end(_closed())
                return super().release()

            def __del__(self, *more: Any) -> None:
                self._bursar.dropped()
                super().__del__(*more)

        Response.__name__, Response.__qualname__ = kind.__name__, kind.__qualname__
        Response.__module__ = kind.__module__
        made = _classes[kind] = Response
        _classes[Response] = Response
    return made


def _closed() -> Exception:
    error: Exception = sys.modules["aiohttp"].ClientConnectionError("Connection closed")
    return error
