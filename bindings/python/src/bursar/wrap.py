"""`session.wrap(client)`: a client of the same type, whose HTTP requests are steps of the session.

Every attempt is a step of its own, also the SDK's own retries, raw responses, streams and helpers:
all end in a request of the client's HTTP client, and that is where they are metered (wire/).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from .errors import UnsupportedError
from .session import current
from .wire.gate import Gate
from .wire.httpx import metered
from .wire.sdk import guarded

if TYPE_CHECKING:
    from .session import Session

KNOWN = "OpenAI, AsyncOpenAI, Anthropic, AsyncAnthropic, google.genai.Client, httpx and httpx2"


def wrap(session: Session, client: Any, *, wait: float, max_output_tokens: int) -> Any:
    """The wrapped client. `wait`: seconds a throttled request may wait altogether before Throttled
    is raised. `max_output_tokens`: wanted where a call names no limit."""
    gate = Gate(functools.partial(_whose, session), wait, max_output_tokens)
    packages = {base.__module__.partition(".")[0] for base in type(client).__mro__}
    if packages & {"httpx", "httpx2"} and hasattr(client, "send"):
        return metered(client, gate)
    inner = getattr(client, "_client", None)
    if hasattr(client, "_api_client") and "google" in packages:
        from .wire.google import wrapped

        return wrapped(client, gate)
    if type(client).__name__ in ("AnthropicBedrock", "AsyncAnthropicBedrock"):
        raise UnsupportedError(
            f"{type(client).__name__} cannot be wrapped: Bedrock's requests are not metered. Hold "
            "each call by hand, with session.step()")
    if callable(getattr(client, "copy", None)) and hasattr(inner, "send"):
        return _sdk(client, inner, gate)
    raise UnsupportedError(
        f"{type(client).__module__}.{type(client).__name__} cannot be wrapped; known are {KNOWN}. "
        "bursar.instrument() meters whatever uses httpx, httpx2 or aiohttp")


def _whose(session: Session) -> Session:
    """The session; inside `with` of a session below it, that one."""
    inner = below = current()
    while below is not None:
        if below is session:
            return inner or session
        below = below._parent
    return session


def _sdk(client: Any, inner: Any, gate: Gate) -> Any:
    """A copy of a client that Stainless made (OpenAI, Anthropic and others), by its own means."""
    view = metered(inner, gate)
    try:
        made = guarded(client).copy(http_client=view)
    except TypeError:  # of a class of the user's, which is made with other arguments
        made = None
    if getattr(made, "_client", None) is not view:
        raise UnsupportedError(
            f"{type(client).__name__}.copy(http_client=...) does not take its HTTP client; pass "
            "http_client=session.wrap(httpx.Client()) where you make it")
    return made
