"""Asking the ledger: rows of a SELECT, by column name."""

from __future__ import annotations

import ctypes as C
import datetime
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Union

from . import _abi
from .errors import QueryError, failure
from .money import span_ns
from .words import QueryFlag, ValueType

if TYPE_CHECKING:
    from .link import Link

Column = Union[None, int, float, str, bytes]


def rows(
    link: Link,
    sql: str,
    parameters: Sequence[Column],
    timeout: Optional[datetime.timedelta],
    as_written: bool,
) -> List[Dict[str, Column]]:
    values = (_abi.Value * len(parameters))(*map(_value, parameters))
    data, query, columns = sql.encode(), C.c_void_p(), C.c_size_t()
    call = link.call  # the query outlives the runtime
    link.ask(
        "bursar_query", QueryFlag.AS_WRITTEN if as_written else 0, data, len(data), values,
        len(parameters), 0 if timeout is None else span_ns(timeout), C.byref(query),
        C.byref(columns))  # fmt: skip
    try:
        names = [_abi.read_text(call.bursar_query_column, query, k)[1]
                 for k in range(columns.value)]  # fmt: skip
        for name in names:
            if names.count(name) > 1:
                raise QueryError(f"two columns are called {name!r}: rename one with AS")
        found: List[Dict[str, Column]] = []
        row, error = C.POINTER(_abi.Value)(), _abi.Error()
        while True:
            status = call.bursar_query_next(query, C.byref(row), C.byref(error))
            if status:
                raise failure(status, "query", error)
            if not row:
                return found
            found.append({name: _column(row[k]) for k, name in enumerate(names)})
    finally:
        call.bursar_query_close(query)


def _value(given: Column) -> _abi.Value:
    value = _abi.Value()
    if isinstance(given, int):
        if not -(1 << 63) <= given < 1 << 63:
            raise OverflowError(f"{given} does not fit into 64 bits")
        value.type, value.integer = ValueType.INTEGER, given
    elif isinstance(given, float):
        value.type, value.real = ValueType.REAL, given
    elif isinstance(given, (str, bytes)):
        value.type = ValueType.TEXT if isinstance(given, str) else ValueType.BLOB
        value.text = _abi.text(given)
    elif given is not None:
        raise TypeError(f"a parameter is None, int, float, str or bytes, not {given!r}")
    return value


def _column(value: Any) -> Column:
    kind = value.type
    if kind == ValueType.INTEGER:
        return int(value.integer)
    if kind == ValueType.REAL:
        return float(value.real)
    if kind == ValueType.NULL:
        return None
    # The pointer itself: the field reads up to a NUL only.
    where = C.c_void_p.from_buffer(value.text).value if value.text.len else None
    data = C.string_at(where, value.text.len) if where else b""
    return data if kind == ValueType.BLOB else data.decode("utf-8", "replace")
