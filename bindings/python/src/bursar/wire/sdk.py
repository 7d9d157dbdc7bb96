"""SDKs that catch every exception of their HTTP client and try again.

Clients that Stainless generates (OpenAI, Anthropic and others) have one method that all calls go
through, `request`. Around it a refusal travels as a BaseException that their loops let pass, and
is the refusal again where it leaves.
"""

from __future__ import annotations

import functools
import types
from typing import Any, Callable, Dict

from .gate import Carrier, carrying
from .httpx import metered

_guarded: Dict[type, Any] = {}


def guarded(client: Any) -> Any:
    """The client, seen through a class whose `request` lets refusals out."""
    kind: Any = type(client)
    if "_bursar_view" in kind.__dict__:
        return client
    view = _guarded.get(kind)
    if view is None:
        copied = _copy(kind.copy)
        view = _guarded[kind] = type(kind.__name__, (kind,), {
            "__module__": kind.__module__, "__qualname__": kind.__qualname__,
            "request": around(kind.request, hasattr(kind, "__aenter__")), "__doc__": kind.__doc__,
            "_bursar_view": True, "copy": copied, "with_options": copied,
        })  # fmt: skip
    made = object.__new__(view)
    made.__dict__ = client.__dict__
    return made


def _copy(copy: Callable[..., Any]) -> Callable[..., Any]:
    """An SDK's `copy`, which meters another HTTP client as it does the one that it replaces."""

    @functools.wraps(copy)
    def copied(self: Any, *arguments: Any, **options: Any) -> Any:
        gate = getattr(self._client, "_bursar_gate", None)
        other = options.get("http_client")
        if gate is not None and other is not None and not hasattr(other, "_bursar_gate"):
            options["http_client"] = metered(other, gate)
        return copy(self, *arguments, **options)

    return copied


def around(request: Callable[..., Any], is_async: bool) -> Callable[..., Any]:
    """An SDK's `request`, out of which refusals come as what they are."""

    @functools.wraps(request)
    async def request_async(self: Any, *arguments: Any, **options: Any) -> Any:
        if carrying.get():  # somebody above takes it off
            return _loose(await request(self, *arguments, **options))
        token = carrying.set(True)
        try:
            return _loose(await request(self, *arguments, **options))
        except Carrier as carrier:
            raise carrier.error from None
        finally:
            carrying.reset(token)

    @functools.wraps(request)
    def request_sync(self: Any, *arguments: Any, **options: Any) -> Any:
        if carrying.get():
            return _loose(request(self, *arguments, **options))
        token = carrying.set(True)
        try:
            return _loose(request(self, *arguments, **options))
        except Carrier as carrier:
            raise carrier.error from None
        finally:
            carrying.reset(token)

    return request_async if is_async else request_sync


def _loose(result: Any) -> Any:
    """A stream of OpenAI's refers to itself, so that one that is dropped stays open until garbage
    is collected: this one ends, and is settled, when it is dropped."""
    stream: Any = result
    iterator = getattr(result, "__dict__", {}).get("_iterator")
    if isinstance(iterator, types.GeneratorType):
        frame = iterator.gi_frame
    elif isinstance(iterator, types.AsyncGeneratorType):
        frame = iterator.ag_frame
    else:
        return result
    is_own = frame is not None and frame.f_locals.get("self") is result
    if is_own and hasattr(stream, "__stream__"):
        twin = object.__new__(type(stream))
        twin.__dict__.update(stream.__dict__)
        del twin.__dict__["_iterator"]
        stream._iterator = twin.__stream__()
    return stream
