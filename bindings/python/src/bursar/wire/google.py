"""google-genai's client, which has HTTP clients of three kinds inside: a metered copy.

Its parts (`models`, `chats`, …) refer to one API client, those of the copy to a copy of that, whose
httpx clients and aiohttp sessions are the original's, metered.
"""

from __future__ import annotations

import copy
from typing import Any, Dict, Tuple

from ..errors import UnsupportedError
from .aiohttp import request
from .gate import Gate, connecting
from .httpx import metered


def wrapped(client: Any, gate: Gate) -> Any:
    """The copy of a `google.genai.Client`, or of its `aio`."""
    inner = client._api_client
    for name in ("_use_google_auth_sync", "_use_google_auth_async"):
        if getattr(inner, name, bool)():
            raise UnsupportedError(
                "this google.genai.Client sends by google.auth, for client certificates, which is "
                "not metered; pass http_options with an httpx_client and an httpx_async_client")
    twin = _twin(client, _api(inner, gate), {})
    twin.__class__ = _kind(_Kept, type(client))
    twin._bursar = client  # it closes what it has when nobody has it any more
    return twin


class _Kept:
    """What closes nothing by being dropped."""

    def __del__(self) -> None:
        pass


class _Api(_Kept):
    """What the API client's copy does in another way."""

    _bursar: Any

    async def _get_aiohttp_session(self) -> Any:
        inner, gate = self._bursar
        return _Session(await inner._get_aiohttp_session(), gate)

    def _websocket_base_url(self, *arguments: Any, **options: Any) -> Any:
        connecting(self._bursar[1], "BidiGenerateContent")
        plain: Any = super()._websocket_base_url  # type: ignore[misc]
        return plain(*arguments, **options)


_kinds: Dict[Tuple[type, type], Any] = {}


def _kind(base: type, kind: type) -> Any:
    made = _kinds.get((base, kind))
    if made is None:
        made = _kinds[base, kind] = type(
            kind.__name__, (base, kind), {"__module__": kind.__module__})
    return made


def _api(inner: Any, gate: Gate) -> Any:
    kind = _kind(_Api, type(inner))
    made = kind.__new__(kind)
    made.__dict__.update(inner.__dict__)
    made._bursar = inner, gate
    for name in ("_httpx_client", "_async_httpx_client"):
        if getattr(inner, name, None) is not None:
            setattr(made, name, metered(getattr(inner, name), gate))
    return made


class _Session:
    """An aiohttp session whose requests are metered; all else is the session's own."""

    def __init__(self, session: Any, gate: Gate) -> None:
        self._session = session
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def request(self, method: str, url: Any, **options: Any) -> Any:
        session = self._session
        return await request(self._gate, session._request, session, method, url, **options)


def _twin(part: Any, api: Any, made: Dict[int, Any]) -> Any:
    """A part of the client, and the parts in it, on another API client."""
    if id(part) in made:
        return made[id(part)]
    twin = made[id(part)] = copy.copy(part)
    for name, value in vars(part).items():
        if name == "_api_client":
            setattr(twin, name, api)
        elif name == "_nextgen_client_instance":
            setattr(twin, name, None)  # made when it is wanted
        elif hasattr(value, "_api_client"):
            setattr(twin, name, _twin(value, api, made))
    return twin
