"""What workers write down: record.h in Python. Read by the judge, written by worker.py."""

import struct
from typing import Iterator, NamedTuple

ENTRY = struct.Struct("=IHcBqqqqq16x")


class Entry(NamedTuple):
    pid: int
    thread: int
    kind: bytes
    flags: int
    handle: int
    amount: int
    session: int
    detail: int
    time: int


HELD, STREAM = 1, 2  # flags of G
FORCED = 1  # flags of c and C
OVERRUN, ESTIMATED, REPLAY, LATE = 1, 2, 4, 8  # flags of T: the receipt's


def read(path: str) -> Iterator[Entry]:
    with open(path, "rb") as file:
        data = file.read()
    if len(data) % ENTRY.size:
        raise AssertionError(f"{path} has {len(data)} bytes: an entry was cut")
    return map(Entry._make, ENTRY.iter_unpack(data))
