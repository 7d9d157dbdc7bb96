"""What models and tools cost: the part of a runtime that sets and reads prices."""

from __future__ import annotations

import ctypes as C
import os
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Tuple, Union

from . import _abi
from .link import Link
from .money import Money, nanos, picos
from .options import filled, usage_struct, word
from .views import Rates, values
from .words import Status, Variant

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import UsageOptions


class PriceReport(NamedTuple):
    """What loading a price book brought."""

    models: int
    unsupported: Tuple[str, ...]
    """What the file has and a step's price cannot express, a line each."""


class Prices:
    """The base of Runtime."""

    _link: Link

    def price(
        self,
        model: str,
        *,
        input: Money,
        output: Money,
        cache_read: Optional[Money] = None,
        cache_write: Optional[Money] = None,
        cache_write_1h: Optional[Money] = None,
        reasoning: Optional[Money] = None,
        request: Money = 0,
    ) -> None:
        """Sets one model's prices from now on: "$0.28/M", Decimal dollars a token, int picos.

        A class left out costs what its whole does. `request`: money per request.
        """
        parts = {"cache_read": cache_read, "cache_write": cache_write,
                 "cache_write_1h": cache_write_1h, "reasoning": reasoning}  # fmt: skip
        rates = filled(_abi.Rates, {
            "input_picos": picos(input), "output_picos": picos(output),
            "request_nanos": nanos(request),
            **{f"{n}_picos": -1 if r is None else picos(r) for n, r in parts.items()},
        })  # fmt: skip
        data = model.encode()
        self._link.ask("bursar_price_set", data, len(data), C.byref(rates))

    def rates(self, model: str) -> Rates:
        """The rates in force for a model; PriceError when unknown."""
        link, out = self._link, _abi.Rates()
        status = link.call.bursar_price_get(link.handle, link.model(model), C.byref(out))
        if status:
            link.failed(status, f"price of {model!r}")
        return values(Rates, out)

    def quote(
        self,
        model: str,
        usage: Any,
        *,
        variant: Union[Variant, str] = Variant.STANDARD,
        **more: Unpack[UsageOptions],
    ) -> int:
        """What a usage costs on a model, in nano-dollars."""
        link, value, out = self._link, usage_struct(usage, more), C.c_int64()
        status = link.call.bursar_price_quote(
            link.handle, link.model(model), word(Variant, variant), C.byref(value), C.byref(out))
        if status:
            link.failed(status, f"quote for {model!r}")
        return out.value

    def prices_load(self, book: Union[str, "os.PathLike[str]", bytes]) -> PriceReport:
        """Loads a price book, from a path or as bytes: LiteLLM's file or Bursar's own format."""
        if not isinstance(book, bytes):
            with open(book, "rb") as file:
                book = file.read()
        models, length, error = C.c_int32(), C.c_size_t(), _abi.Error()
        report = C.create_string_buffer(1 << 20)
        status = self._link.call.bursar_prices_load(
            self._link.handle, book, len(book), report, len(report), C.byref(length),
            C.byref(models), C.byref(error))  # fmt: skip
        if status and status != Status.E_BUFFER:  # E_BUFFER: loaded, the report was cut
            self._link.failed(status, "prices", error)
        lines = report.raw[: min(length.value, len(report))].decode("utf-8", "replace")
        return PriceReport(models.value, tuple(line for line in lines.split("\n") if line))

    def tool_price(self, name: str, price: Money) -> None:
        """What one call of a tool costs."""
        self._link.do("bursar_tool_price_set", self._link.tool(name), nanos(price))
