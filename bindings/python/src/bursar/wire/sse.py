"""A stream's bytes as events: split anywhere, read, and passed on as they came.

Server-sent events as the HTML standard has them (CR, LF or CRLF, comments, several `data` lines),
and the JSON array that Google streams when it is not asked for events. Bytes are held back only
until the event that they belong to is complete.
"""

from __future__ import annotations

import re
from typing import Any, List, NamedTuple, Optional, Tuple

from ..usage import Usage
from .dialect import Ask, Body, Dialect, Others, Piece, Tools, Unpriceable, parsed

_LINE = rb"(?:\r\n|\n|\r(?=[^\n]))"  # a last CR may yet be half a CRLF
_BLANK = re.compile(_LINE + _LINE)
_OUTSIDE = re.compile(rb'["{}]')
_IN_STRING = re.compile(rb'["\\]')
EVENT_BYTES_MAX = 32 << 20  # a larger event is passed on unread


class Event(NamedTuple):
    """Bytes for the caller, and what they say; `raw` is empty for an event to be hidden."""

    raw: bytes
    piece: Optional[Piece]  # None: nothing (comments, `[DONE]`)


class Events:
    """One answer's stream. Feed it bytes as they come; never raises for what they hold."""

    def __init__(self, dialect: Dialect, ask: Ask, content_type: str = "text/event-stream") -> None:
        self.usage: Optional[Usage] = None  # so far; the bill if `final`
        self.final = False
        self.answer: Optional[Body] = None  # so much as the dialect's readers need
        self.pieces = 0  # events with content
        self.content_bytes = 0
        self._dialect = dialect
        self._ask = ask
        self._seen: Body = {}
        self._held = bytearray()
        self._searched = 0  # no event ends before it
        self._is_array = "json" in content_type
        self._in_string = False
        self._depth = 0

    @property
    def tools(self) -> Tools:
        """Uses of hosted tools so far."""
        return self._dialect.tools(self.answer)

    @property
    def others(self) -> Others:
        """What further models used so far."""
        return self._dialect.others(self.answer)

    @property
    def stored(self) -> Tuple[str, ...]:
        """The names by which the provider keeps this answer."""
        return self._dialect.stored(self.answer)

    def feed(self, data: bytes) -> List[Event]:
        """The events that these bytes complete, in order. All their `raw` in a row is what the
        caller gets."""
        if not self._held and data[-2:] == b"\n\n" and not self._is_array:
            if data.find(b"\n\n") == len(data) - 2 and b"\r" not in data:  # one event, mostly
                return [self._event(bytes(data))]
        self._held += data
        return self._array() if self._is_array else self._events()

    def finish(self) -> List[Event]:
        """What is left when the stream ends, wherever it ends: an event that is complete but for
        its blank line counts as one."""
        left, self._held = bytes(self._held), bytearray()
        return [self._event(left)] if left else []

    def _events(self) -> List[Event]:
        held, found, start = self._held, [], 0
        end = _BLANK.search(held, self._searched)
        while end is not None:
            found.append(self._event(bytes(held[start : end.end()])))
            start = end.end()
            end = _BLANK.search(held, start)
        del held[:start]
        if len(held) > EVENT_BYTES_MAX:
            found.append(Event(bytes(held), None))
            held.clear()
        self._searched = max(0, len(held) - 3)
        return found

    def _event(self, raw: bytes) -> Event:
        if self._is_array:
            return Event(raw, self._read("", raw.strip(b" \t\r\n[],")))
        name, lines = "", []
        is_line = raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw
        for line in (raw[:-2],) if is_line else raw.splitlines():
            if line.startswith(b"data:"):
                lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line.startswith(b"event:"):
                name = line[6:].strip().decode("utf-8", "replace")
        data = b"\n".join(lines) if len(lines) != 1 else lines[0]
        if not data:
            return Event(raw, None)
        if data == b"[DONE]":
            self.final = self.usage is not None
            return Event(raw, None)
        piece = self._read(name, data)
        hidden = piece is not None and piece.hide and not self._ask.usage_asked
        return Event(b"" if hidden else raw, piece)

    def _array(self) -> List[Event]:
        """Elements of a JSON array: complete when their last brace closes."""
        held, found, start, at = self._held, [], 0, self._searched
        while True:
            mark = (_IN_STRING if self._in_string else _OUTSIDE).search(held, at)
            if mark is None:
                at = max(at, len(held))
                break
            at = mark.end()
            sign = held[at - 1]
            if sign == 0x22:
                self._in_string = not self._in_string
            elif sign == 0x5C:
                at += 1  # what is escaped; it may be yet to come
            elif sign == 0x7B:
                self._depth += 1
            else:
                self._depth = max(0, self._depth - 1)
                if self._depth == 0:
                    found.append(self._event(bytes(held[start:at])))
                    start = at
        if start < len(held) and (
            len(held) - start > EVENT_BYTES_MAX or not (self._depth or self._in_string)
        ):
            found.append(Event(bytes(held[start:]), None))
            start = len(held)
        del held[:start]
        self._searched = at - start
        return found

    def _read(self, event: str, data: Any) -> Optional[Piece]:
        try:
            said = parsed(data)
        except Unpriceable:
            return None
        piece = self._dialect.piece(event, said, self._seen)
        if piece.usage is not None:
            self.usage = piece.usage
            self.final = piece.final
        elif piece.content_bytes:
            self.final = False
        if piece.answer is not None:
            self.answer = piece.answer
        if piece.content_bytes:
            self.pieces += 1
            self.content_bytes += piece.content_bytes
        return piece
