"""Events: one Python thread takes them from the library and hands them to whoever listens.

One thread, since polling takes an event away from everybody else. It sleeps on the runtime's
descriptor, so no Python code ever runs on the runtime's own thread, and starts when somebody
first listens. Close stops it, and never waits longer than a moment for a callback that hangs.

The child of a fork has no such thread: callbacks and streams are its parent's. On a home it may
listen for itself.
"""

from __future__ import annotations

import ctypes as C
import os
import select
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Callable, Optional, Tuple

from . import _abi
from .errors import ClosedError, failure
from .views import Event, values
from .words import Status

if TYPE_CHECKING:
    import asyncio

_BATCH = 64
_STREAM_MAX = 65_536  # events that a stream keeps; beyond, a gap in `sequence` shows the loss
_RETRY_MS = 1_000  # after a poll that failed
_CLOSE_SECONDS = 2.0  # what close gives a running callback to end


class Dispatcher:
    """Takes a runtime's events and delivers them to one callback and any number of streams."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._begin()
        _dispatchers.add(self)

    def _begin(self) -> None:
        """As it is when nobody listens in this process."""
        self._lock = threading.Lock()
        self._callback: Optional[Callable[[Event], object]] = None  # guarded by _lock
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()  # guarded by _lock
        self._thread: Optional[threading.Thread] = None  # guarded by _lock
        self._pipe: Tuple[int, ...] = ()  # closing its writing end, the second, ends the thread
        self._closed = False

    def set_callback(self, callback: Optional[Callable[[Event], object]]) -> None:
        with self._lock:
            self._callback = callback
            if callback is not None:
                self._start()

    def add(self, stream: EventStream) -> None:
        with self._lock:
            self._streams.add(stream)
            self._start()

    def _start(self) -> None:
        if self._closed:
            raise ClosedError("the runtime was closed")
        if self._thread is not None:
            return
        fd = C.c_int32()
        status = _abi.library().call.bursar_events_fd(self._handle, C.byref(fd))
        if status:
            raise failure(status, "the runtime gives no events")
        self._pipe = os.pipe()
        self._thread = threading.Thread(
            target=self._run, args=(fd.value, self._pipe[0]), name="bursar-events", daemon=True)
        self._thread.start()

    def _run(self, fd: int, stop: int) -> None:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.register(stop, select.POLLIN | select.POLLHUP)
        stopped = select.poll()
        stopped.register(stop, select.POLLIN | select.POLLHUP)
        status: int = Status.OK
        while not self._closed and status != Status.E_CLOSED:
            poller.poll()
            status = self._drain()
            if status:  # the descriptor says nothing of when this is over
                stopped.poll(_RETRY_MS)
        os.close(stop)

    def _drain(self) -> int:
        """Delivers what waits; the status of the last poll."""
        batch = (_abi.Event * _BATCH)()
        for event in batch:
            event.size = C.sizeof(_abi.Event)
        count = C.c_size_t(_BATCH)
        poll = _abi.library().call.bursar_events_poll
        while count.value == _BATCH:
            status: int = poll(self._handle, batch, _BATCH, C.byref(count))
            if status:
                return status
            for index in range(count.value):
                self._deliver(values(Event, batch[index]))
        return Status.OK

    def _deliver(self, event: Event) -> None:
        with self._lock:
            callback, streams = self._callback, list(self._streams)
        for stream in streams:
            stream.send(event)
        if callback is not None:
            try:
                callback(event)
            except Exception:  # reported as a thread's would be; the next event still comes
                parts = (*sys.exc_info(), threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(parts))

    def close(self) -> None:
        """Delivers what waits, ends the thread and the streams. Safe from a callback."""
        with self._lock:
            thread, self._thread, self._closed = self._thread, None, True
            streams = list(self._streams)
        if thread is not None:
            os.close(self._pipe[1])
            if thread is not threading.current_thread():
                thread.join(_CLOSE_SECONDS)
        for stream in streams:
            stream.send(None)


_dispatchers: weakref.WeakSet[Dispatcher] = weakref.WeakSet()


def _in_child() -> None:
    for dispatcher in list(_dispatchers):
        if dispatcher._thread is not None:
            for end in dispatcher._pipe:  # else the parent's thread never sees it closed
                os.close(end)
        dispatcher._begin()


os.register_at_fork(after_in_child=_in_child)


class EventStream:
    """Events from its creation on, for `async for`; ends when the runtime closes."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        import asyncio  # here: it would be most of what importing bursar costs

        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Optional[Event]] = asyncio.Queue(_STREAM_MAX)
        dispatcher.add(self)

    def send(self, event: Optional[Event]) -> None:
        """Hands an event to the stream's loop, from any thread; None ends the stream."""
        try:
            self._loop.call_soon_threadsafe(self._put, event)
        except RuntimeError:
            pass  # that loop was closed: nobody listens

    def _put(self, event: Optional[Event]) -> None:
        if event is None and self._queue.full():
            self._queue.get_nowait()
        if not self._queue.full():
            self._queue.put_nowait(event)

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        event = await self._queue.get()
        if event is None:
            self._put(None)
            raise StopAsyncIteration
        return event

