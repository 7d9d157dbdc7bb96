"""Answers of `httpx` and `httpx2` that are read in parts: the reader between them and the caller.

However a reader ends, the attempt is settled no lower than what the provider may have billed:
what arrived counts, read or not.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import weakref
from typing import TYPE_CHECKING, Any, AsyncIterator, Dict, Iterator, Optional, Tuple, Type

from .aiohttp_reading import FEW, UNREAD_MAX as _UNREAD_MAX, streamed
from .watch import watch

if TYPE_CHECKING:
    from .attempt import Attempt


def classes(of: type, name: str) -> Any:
    """The class of this name in the package that a class, or one of its bases, is from."""
    for base in of.__mro__:
        package = base.__module__.partition(".")[0]
        if package in ("httpx", "httpx2"):
            return getattr(sys.modules[package], name)
    raise TypeError(f"{of} is none of httpx or httpx2")


def reading(attempt: Attempt, response: Any, base: str, body: Type[_Part]) -> None:
    """Puts a reader between the answer and whoever reads it."""
    headers = response.headers
    if not attempt.opened(response.status_code, headers.get("content-type", "")):
        return
    if response.is_closed:  # a hook has read it
        attempt.feed(response.content)
        attempt.finish()
        return
    below = getattr(response.stream, "_stream", response.stream)
    answer = getattr(below, "_aiohttp_response", None)
    if answer is not None and "content-encoding" not in headers:
        streamed(attempt, answer)  # a transport over aiohttp: LiteLLM's, OpenAI's
        return
    decoder = None
    if "content-encoding" in headers:  # though it was asked for none
        decoder = response._get_content_decoder()
        del headers["content-encoding"], response._decoder
        headers.pop("content-length", None)
    inner = response.stream
    kind = _bodies.get((body, type(response)))
    if kind is None:
        bases = (body, classes(type(response), base))
        kind = _bodies[body, type(response)] = type(body.__name__, bases, {})
    response.stream = kind(inner, attempt, decoder)
    network = response.extensions.get("network_stream")
    if network is not None and response.http_version != "HTTP/2":  # there others share it
        attempt.cut = _Cut(network)
        response.stream._closes_with(network)
    watch(attempt)


_RESETS = ("ConnectionResetError", "BrokenPipeError", "BrokenResourceError")
_bodies: Dict[Tuple[type, type], Any] = {}


class _Cut:
    """Wakes a thread or task that waits for bytes of a connection: to it, the server hung up."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.is_shut = False  # by this, while it was open

    def __call__(self) -> None:
        found = self._network.get_extra_info("socket")
        try:
            number = found.fileno()
            if number >= 0:
                # of the plain socket: the one of TLS forgets its state while another reads
                other = socket.socket(fileno=number)
                try:
                    other.shutdown(socket.SHUT_RDWR)
                    self.is_shut = True
                finally:
                    other.detach()
        except (OSError, AttributeError):
            pass  # it was closed meanwhile


def _is_reset(error: Optional[BaseException]) -> bool:
    """Whether more came when a connection was shut: what had arrived before was read before."""
    for _ in range(16):
        if error is None or type(error).__name__ in _RESETS:
            return error is not None
        error = error.__cause__
    return False


class _Part:
    """The body of an answer, read on its way."""

    def __init__(self, inner: Any, attempt: Attempt, decoder: Any) -> None:
        self._inner = inner
        self._attempt = attempt
        self._decoder = decoder

    def __getattr__(self, name: str) -> Any:
        if name in ("_inner", "_attempt", "_decoder"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def _closes_with(self, network: Any) -> None:
        """It is read from this connection, and no other reads there."""

    def _left(self) -> bool:
        """Whether a reader leaves before the usage came: what has arrived unread is billed, too.
        It is read once the connection is shut, so that nobody waits for more. Of a connection that
        others share, or that is no socket, nobody knows."""
        attempt = self._attempt
        if not attempt.is_unsettled:
            return False
        if attempt.cut is None:
            attempt.lost()
            return False
        attempt.cut()
        return True

    def _ended(self, error: Optional[BaseException], unread: int) -> None:
        """What had arrived was read, until the connection ended. Where that was much, more may be
        held up on its way; where it failed, some is lost: then nobody knows what is billed."""
        is_end = error is None or type(error).__name__ == "RemoteProtocolError"
        cut: Any = self._attempt.cut
        if not is_end and unread > _UNREAD_MAX - FEW and cut.is_shut:
            is_end = _is_reset(error)
        if self._attempt.is_unsettled and (unread < 0 or not is_end):
            self._attempt.lost()
        if error is not None and not isinstance(error, Exception):
            raise error

    def _failed(self, error: BaseException) -> None:
        """A read failed on this side, as when the client was closed: what had arrived is lost."""
        if type(error).__name__ in ("ReadError", "ClosedResourceError"):
            self._attempt.lost()

    def _feed(self, data: bytes) -> bytes:
        if self._decoder is not None:
            data = self._decoder.decode(data)
        return self._attempt.feed(data)

    def _finish(self) -> bytes:
        left = self._decoder.flush() if self._decoder is not None else b""
        return (self._attempt.feed(left) if left else b"") + self._attempt.finish()


class Body(_Part):
    _source: Any = None

    def __iter__(self) -> Iterator[bytes]:
        attempt = self._attempt
        self._source = iter(self._inner)
        try:
            for data in self._source:
                data = self._feed(data)
                if data:
                    yield data
                if attempt.refused is not None:
                    raise attempt.refused
            data = self._finish()
            if data:
                yield data
        except GeneratorExit:
            self._rest()
            raise
        except BaseException as error:
            if attempt.refused is not None:
                self._rest()
                raise attempt.refused from None  # it was cut
            self._failed(error)
            raise
        finally:
            attempt.close()
        if attempt.refused is not None:
            raise attempt.refused

    def _rest(self) -> None:
        if self._left():
            unread = _UNREAD_MAX
            try:
                for data in self._source or self._inner:
                    self._feed(data)
                    unread -= len(data)
            except BaseException as error:
                self._ended(error, unread)
            else:
                self._ended(None, unread)

    def close(self) -> None:
        self._rest()
        self._attempt.close()
        self._inner.close()


class AsyncBody(_Part):
    _source: Any = None
    _network: Any = None
    _rests = False  # a task reads what is left

    def _closes_with(self, network: Any) -> None:
        """A task that is cancelled while it waits closes the connection before it gets here, with
        all that has arrived meanwhile: so that is read when the connection is closed."""
        body, close = weakref.ref(self), network.aclose

        async def aclose() -> None:
            this = body()
            try:
                if this is not None:
                    await this._rest(this._inner)
            finally:
                await close()

        with contextlib.suppress(AttributeError):  # slots: then nobody knows what had arrived
            network.aclose = aclose
            self._network = network

    def _let_go(self) -> None:
        """Nothing more is to be done when the connection is closed."""
        network, self._network = self._network, None
        if network is not None:
            network.__dict__.pop("aclose", None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        attempt, inner = self._attempt, self._inner.__aiter__()
        self._source = inner
        try:
            async for data in inner:
                data = self._feed(data)
                if data:
                    yield data
                if attempt.refused is not None:
                    raise attempt.refused
            data = self._finish()
            if data:
                yield data
        except GeneratorExit:
            await self._rest(inner)
            raise
        except Exception as error:
            if attempt.refused is not None:
                await self._rest(inner)
                raise attempt.refused from None  # it was cut
            self._failed(error)
            raise
        except BaseException:  # cancelled: what had arrived was read before, where it could be
            if attempt.is_unsettled:
                attempt.lost()
            raise
        finally:
            if not self._rests:
                attempt.close()
            self._let_go()
            end = getattr(inner, "aclose", None)
            if end is not None:
                with contextlib.suppress(RuntimeError):  # garbage is closed in any order
                    await end()
        if attempt.refused is not None:
            raise attempt.refused

    async def _rest(self, source: Any) -> None:
        """Settles. A generator that is dropped is closed by a task of its own, while another may
        close the answer: the second waits for the first."""
        self._let_go()
        while self._rests:
            await _moment()
        if self._left():
            unread, self._rests = _UNREAD_MAX, True
            try:
                async for data in source:
                    self._feed(data)
                    unread -= len(data)
            except BaseException as error:
                self._ended(error, unread)
            else:
                self._ended(None, unread)
            finally:
                self._rests = False
        self._attempt.close()

    async def aclose(self) -> None:
        await self._rest(self._source or self._inner)
        await self._inner.aclose()


async def _moment() -> None:
    from .httpx import _sleep

    await _sleep(0.001)
