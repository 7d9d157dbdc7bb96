"""Requests that are redirected to a priced path from one that is not, 307 or 308: `httpx` follows
them below a client's `send`, where nobody would see them. They are followed here, one by one, so
that each is sent as if the caller had asked for it.
"""

from __future__ import annotations

import inspect
from typing import Any, Awaitable, Callable, Dict, List

from .dialects import dialect_of
from .reading import classes

_Send = Callable[..., Any]


def followed(
    send: _Send, original: _Send, client: Any, request: Any, stream: bool, more: Dict[str, Any]
) -> Any:
    """Sends what is not metered by `original`; `send` is for where it leads. `more`: what else the
    caller of send said."""
    if not _may_lead(client, request, more) or not _takes(original):
        return original(request, stream=stream, **more)
    history: List[Any] = []
    while True:
        response = original(request, stream=stream, **{**more, "follow_redirects": False})
        if response.next_request is None:
            break
        response.read()
        request, more = _step(client, response, history, more)
        if not _may_lead(client, request, more):
            response = send(request, stream, **more)
            break
    response.history = history + response.history
    return response


async def followed_async(
    send: Callable[..., Awaitable[Any]], original: Callable[..., Awaitable[Any]], client: Any,
    request: Any, stream: bool, more: Dict[str, Any],
) -> Any:  # fmt: skip
    """The same for an AsyncClient."""
    if not _may_lead(client, request, more) or not _takes(original):
        return await original(request, stream=stream, **more)
    history: List[Any] = []
    while True:
        response = await original(request, stream=stream, **{**more, "follow_redirects": False})
        if response.next_request is None:
            break
        await response.aread()
        request, more = _step(client, response, history, more)
        if not _may_lead(client, request, more):
            response = await send(request, stream, **more)
            break
    response.history = history + response.history
    return response


def _takes(original: _Send) -> bool:
    """Whether a client's send, which may be a subclass's own, can be told not to follow."""
    found = inspect.signature(original).parameters
    return "follow_redirects" in found or any(p.kind is p.VAR_KEYWORD for p in found.values())


def _may_lead(client: Any, request: Any, more: Dict[str, Any]) -> bool:
    """Whether a request may be redirected to one that is metered, and is not metered itself."""
    if request.method != "POST" or dialect_of("POST", request.url.path) is not None:
        return False
    follows = more.get("follow_redirects")
    return bool(follows if isinstance(follows, bool) else client.follow_redirects)


def _step(client: Any, response: Any, history: List[Any], more: Dict[str, Any]) -> Any:
    """The next request, and how it is sent: with what is left of the credentials in its headers,
    as its host may be another's."""
    history.extend([*response.history, response])
    request = response.next_request
    if len(history) > client.max_redirects:
        raise classes(type(request), "TooManyRedirects")(
            "Exceeded maximum allowed redirects.", request=request)
    if _origin(request.url) != _origin(response.request.url):
        more = {**more, "auth": None}
    return request, {**more, "follow_redirects": True}


def _origin(url: Any) -> Any:
    return url.scheme, url.host, url.port
