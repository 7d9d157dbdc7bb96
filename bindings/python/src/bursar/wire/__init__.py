"""What providers' HTTP says: which requests are priced, what they ask for, what they were billed.

Pure functions over parsed JSON and bytes; no I/O, no session. `dialect_of` knows a priced request
by the end of its path, on any host; the dialect says what it asks for (`Ask`), writes what was
granted into it, and reads the usage in its answer, whole or streamed (`Events`).
"""

from .dialect import Ask, Dialect, Piece, Unpriceable, packed, parsed
from .dialects import dialect_of, unmetered
from .sse import Event, Events
from .weight import Weight

__all__ = [
    "Ask", "Dialect", "Event", "Events", "Piece", "Unpriceable", "Weight", "dialect_of", "packed",
    "parsed", "unmetered",
]  # fmt: skip
