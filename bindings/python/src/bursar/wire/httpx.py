"""`httpx` and `httpx2` alike: what stands around a client's `send`.

Nothing is imported: both are known by their shape. A request to a priced path is admitted, gets
what was granted written into it, and its answer is read on the way to the caller.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, AsyncIterator, Awaitable, Callable, Dict, Iterator, Optional
from typing import Tuple, Type

from ..errors import BursarError, Refused
from .attempt import Attempt, begin
from .dialect import Dialect
from .dialects import dialect_of
from .gate import Gate, passing
from .transport import follow
from .watch import watch

if TYPE_CHECKING:
    from ..session import Session


_Priced = Tuple["Dialect", "Session", str]  # what a request is, whose, and its path


def _priced(gate: Gate, client: Any, request: Any) -> Optional[_Priced]:
    """None: the request passes."""
    method, path = request.method, request.url.path
    dialect = dialect_of(method, path)
    if dialect is None:
        passing(gate, method, path, request.url.host)
        return None
    session = gate.session()
    if session is None or client.is_closed:  # which it says itself
        return None
    return dialect, session, path


def _begin(gate: Gate, priced: _Priced, request: Any, content: bytes) -> Optional[Attempt]:
    dialect, session, path = priced
    is_new = request.headers.get("x-stainless-retry-count") == "0"
    attempt = begin(gate, session, dialect, path, request.url.host, content, is_new)
    if attempt is not None and dialect.provider == "anthropic":  # by AWS, too
        attempt.signed = request.headers.get("authorization", "").startswith("AWS4-")
    return attempt


def _rewrite(attempt: Attempt, request: Any) -> None:
    """Puts what was granted into the request."""
    content = attempt.content
    if content is not None:
        request.stream = type(request.stream)(content)
        request._content = content
        headers = request.headers
        if "content-length" in headers:
            headers["Content-Length"] = str(len(content))
        if attempt.path != request.url.path:
            request.url = request.url.copy_with(path=attempt.path)
    if attempt.ask.stream and not attempt.signed:
        request.headers["Accept-Encoding"] = "identity"  # events are read on their way


def send(
    gate: Gate, original: Callable[..., Any], client: Any, request: Any, stream: bool = False,
    **more: Any,
) -> Any:  # fmt: skip
    """`original` is the client's send, which takes the request."""
    attempt = None
    try:
        priced = _priced(gate, client, request)
        if priced is not None:
            attempt = _begin(gate, priced, request, request.read())
        if attempt is None:
            return original(request, stream=stream, **more)
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
        _reading(attempt, response, "SyncByteStream", _Body)
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
        priced = _priced(gate, client, request)
        if priced is not None:
            attempt = _begin(gate, priced, request, await request.aread())
        if attempt is None:
            return await original(request, stream=stream, **more)
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
        _reading(attempt, response, "AsyncByteStream", _AsyncBody)
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
    response = _classes(type(request), "Response")
    return response(
        attempt.dialect.error_status, json=attempt.dialect.error(str(refused)), request=request,
        headers={"x-should-retry": "false", "x-bursar-refused": type(refused).__name__})


def _classes(of: type, name: str) -> Any:
    """The class of this name in the package that a class, or one of its bases, is from."""
    for base in of.__mro__:
        package = base.__module__.partition(".")[0]
        if package in ("httpx", "httpx2"):
            return getattr(sys.modules[package], name)
    raise TypeError(f"{of} is none of httpx or httpx2")


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


def _reading(attempt: Attempt, response: Any, base: str, body: Type[_Part]) -> None:
    """Puts a reader between the answer and whoever reads it."""
    headers = response.headers
    if not attempt.opened(response.status_code, headers.get("content-type", "")):
        return
    if response.is_closed:  # a hook has read it
        attempt.feed(response.content)
        attempt.finish()
        return
    decoder = None
    if "content-encoding" in headers:  # though it was asked for none
        decoder = response._get_content_decoder()
        del headers["content-encoding"], response._decoder
        headers.pop("content-length", None)
    inner = response.stream
    kind = _bodies.get((body, type(response)))
    if kind is None:
        bases = (body, _classes(type(response), base))
        kind = _bodies[body, type(response)] = type(body.__name__, bases, {})
    response.stream = kind(inner, attempt, decoder)
    network = response.extensions.get("network_stream")
    if network is not None and response.http_version != "HTTP/2":  # there others share it
        attempt.cut = _Cut(network)
    watch(attempt)


_bodies: Dict[Tuple[type, type], Any] = {}


class _Cut:
    """Wakes a thread or task that waits for bytes of a connection: to it, the server hung up."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self) -> None:
        found = self._network.get_extra_info("socket")
        try:
            number = found.fileno()
            if number >= 0:
                # of the plain socket: the one of TLS forgets its state while another reads
                other = socket.socket(fileno=number)
                try:
                    other.shutdown(socket.SHUT_RDWR)
                finally:
                    other.detach()
        except (OSError, AttributeError):
            pass  # it was closed meanwhile


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

    def _feed(self, data: bytes) -> bytes:
        if self._decoder is not None:
            data = self._decoder.decode(data)
        return self._attempt.feed(data)

    def _finish(self) -> bytes:
        left = self._decoder.flush() if self._decoder is not None else b""
        return (self._attempt.feed(left) if left else b"") + self._attempt.finish()


class _Body(_Part):
    def __iter__(self) -> Iterator[bytes]:
        attempt = self._attempt
        try:
            for data in self._inner:
                data = self._feed(data)
                if data:
                    yield data
                if attempt.refused is not None:
                    raise attempt.refused
            data = self._finish()
            if data:
                yield data
        except GeneratorExit:
            raise
        except BaseException as error:
            if attempt.refused is not None and error is not attempt.refused:
                raise attempt.refused from None  # it was cut
            raise
        finally:
            attempt.close()
        if attempt.refused is not None:
            raise attempt.refused

    def close(self) -> None:
        self._attempt.close()
        self._inner.close()


class _AsyncBody(_Part):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        attempt, inner = self._attempt, self._inner.__aiter__()
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
            raise
        except Exception as error:
            if attempt.refused is not None and error is not attempt.refused:
                raise attempt.refused from None  # it was cut
            raise
        finally:
            attempt.close()
            end = getattr(inner, "aclose", None)
            if end is not None:
                await end()
        if attempt.refused is not None:
            raise attempt.refused

    async def aclose(self) -> None:
        self._attempt.close()
        await self._inner.aclose()


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
