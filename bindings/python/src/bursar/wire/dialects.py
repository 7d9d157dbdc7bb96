"""The table: which requests are priced, by the end of their path, and what speaks for each."""

from __future__ import annotations

from typing import Dict, Optional

from .dialect import Dialect
from .dialects_openai import Chat

_CHAT = Chat()
_BY_END: Dict[str, Dialect] = {
    "/chat/completions": _CHAT,
}


def dialect_of(method: str, path: str) -> Optional[Dialect]:
    """The dialect of a priced request, or None. `path` may have a query; any host, any prefix."""
    if method not in ("POST", "post"):
        return None
    path = path.partition("?")[0]
    for end, dialect in _BY_END.items():
        if path.endswith(end):
            return dialect
    return None


def unmetered(method: str, path: str) -> str:
    """What a request costs money for although no dialect can meter it ("images", "audio", …),
    or ""."""
    return ""
