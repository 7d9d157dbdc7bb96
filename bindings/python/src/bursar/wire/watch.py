"""A thread that looks after streams while no piece of them comes.

A reader notices at the next piece that its session was stopped. One that waits for it is woken by
this thread, which looks at every stream that runs a few times a second, and renews the time to
live of its reservation. It runs while there are streams.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, List, Optional

from ..errors import BursarError

if TYPE_CHECKING:
    from .attempt import Attempt

INTERVAL = 0.2  # seconds between two looks

_lock = threading.Lock()
_streams: List[weakref.ref[Attempt]] = []
_thread: Optional[threading.Thread] = None


def watch(attempt: Attempt) -> None:
    """Looks after an attempt until it is over."""
    global _thread
    with _lock:
        _streams.append(weakref.ref(attempt))
        if _thread is None:
            _thread = threading.Thread(target=_run, name="bursar-streams", daemon=True)
            _thread.start()


def _run() -> None:
    global _thread
    while True:
        time.sleep(INTERVAL)
        with _lock:
            found = list(_streams)
        over = [ref for ref in found if not _look(ref)]
        with _lock:
            for ref in over:
                _streams.remove(ref)
            if not _streams:
                _thread = None
                return


def _look(ref: weakref.ref[Attempt]) -> bool:
    attempt = ref()
    try:
        return attempt is not None and attempt.stop()
    except BursarError:  # the runtime was closed
        return False


def _in_child() -> None:
    global _lock, _thread
    _lock, _thread = threading.Lock(), None
    _streams.clear()


os.register_at_fork(after_in_child=_in_child)
