"""Agents that run in circles: the same tool with the same arguments and the same answer.

An action is a tool and its arguments in a canonical form, so that the order in which a model names
them does not matter. It repeats when it has the answer that it had the last time, whatever else was
called in between: two tools in turns are a circle, too. Only hashes are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import warnings
from typing import Any, Dict, Mapping, Tuple

from .errors import BursarWarning

REPEATS_MAX = 8  # the same answer so often in a row is a circle
_ACTIONS_MAX = 1_024  # of a session
_key = os.urandom(16)  # what is kept tells nothing of the arguments


def action_of(tool: str, arguments: Any) -> str:
    """A hash of a tool's name and its arguments: JSON, or a text that is JSON."""
    if isinstance(arguments, (str, bytes)):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            pass  # it is a plain text
    return _hash(f"{tool}\0{canonical(arguments)}")


def canonical(value: Any) -> str:
    """The same text for values that mean the same: keys sorted, 1.0 as 1."""
    try:
        return json.dumps(_plain(value, 0), sort_keys=True, separators=(",", ":"), default=str)
    except ValueError:  # a number of thousands of digits
        return type(value).__name__


def _plain(value: Any, depth: int) -> Any:
    if depth > 32:
        return type(value).__name__
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(canonical(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    try:
        dump = getattr(value, "model_dump", None)
        return _plain(dump(), depth + 1) if callable(dump) else str(value)
    except Exception:  # what an agent is given must not fail for what it is
        return type(value).__name__


def _hash(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16, key=_key).hexdigest()


class Loops:
    """The actions of a session, and how often each had the same answer in a row. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Dict[str, Tuple[str, int]] = {}  # action: its answer, how often; by the lock

    def note(self, action: str, tool: str, result: Any) -> int:
        """Notes an answer; how often in a row the action had it, this one included."""
        answer = _hash(result if isinstance(result, str) else canonical(result))
        with self._lock:
            before, times = self._seen.pop(action, ("", 0))
            times = times + 1 if before == answer else 1
            while len(self._seen) >= _ACTIONS_MAX:
                self._seen.pop(next(iter(self._seen)))
            self._seen[action] = answer, times
        if times == REPEATS_MAX:
            warnings.warn(
                f"the tool {tool!r} was called {times} times with the same arguments and had the "
                "same answer: the agent may run in circles", BursarWarning, stacklevel=4)
        return times
