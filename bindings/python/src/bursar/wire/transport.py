"""Attempts that a transport makes by itself, below a client's `send`: retrying transports.

A plain transport sends a request once. Of any other nobody knows, so each time that it begins to
send is watched through httpcore's `trace` extension: the second and later ones are attempts of
their own, reserved before they go out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Optional, Set

if TYPE_CHECKING:
    from .attempt import Attempt

_plain: Set[type] = set()  # transports that were met, and send a request once


def follow(
    attempt: Attempt, client: Any, request: Any, sleep: Optional[Callable[[float], Awaitable[None]]]
) -> None:
    """Watches a request where its transport may send it again. `sleep`: of an async client."""
    if not client._mounts and type(client._transport) in _plain:
        return
    transport = client._transport_for_url(request.url)
    if type(transport).__module__.partition(".")[0] in ("httpx", "httpx2"):
        _plain.add(type(transport))
        return
    before = request.extensions.get("trace")
    before = getattr(before, "bursar_before", before)  # not ours, of when it was sent before
    seen = _Seen(attempt)

    def trace(name: str, info: Any) -> None:
        delay = seen.look(name, info)
        while delay:
            time.sleep(delay)
            delay = attempt.again()
        if before is not None:
            before(name, info)

    async def trace_async(name: str, info: Any) -> None:
        delay = seen.look(name, info)
        while delay and sleep is not None:
            await sleep(delay)
            delay = attempt.again()
        if before is not None:
            await before(name, info)

    ours: Any = trace if sleep is None else trace_async
    ours.bursar_before = before
    request.extensions = {**request.extensions, "trace": ours}


class _Seen:
    """How often a request began to go out, and what the last answer's status was."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._times = 0
        self._status: Optional[int] = None

    def look(self, name: str, info: Any) -> float:
        """Seconds to sleep before the next attempt may go out. Raises its refusal."""
        if name.endswith(".receive_response_headers.complete"):
            found = info.get("return_value") if isinstance(info, dict) else None
            self._status = next((n for n in found or () if type(n) is int), None)
        elif name.endswith(".send_request_headers.started"):
            self._times += 1
            if self._times > 1:
                self._attempt.over(self._status)
                self._status = None
                return self._attempt.again()
        return 0.0
