"""What a run cost, on one screen: spend by workflow, agent and model."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Callable, Dict, List

from .money import dollars
from .views import Spend

if TYPE_CHECKING:
    from .runtime import Runtime

_ROWS = 6  # of each table; the rest is one line


def report(runtime: Runtime) -> str:
    """The report of a runtime, as text of at most 30 lines."""
    rows = runtime.spend()
    total = sum(row.cost_nanos for row in rows)
    asked = sum(row.asked_cost_nanos for row in rows)
    steps, calls = sum(row.steps for row in rows), sum(row.tool_calls for row in rows)
    lines = [f"bursar: {dollars(total)} for {steps} steps and {calls} tool calls"]
    if asked > total:
        lines[0] += f", {dollars(asked - total)} saved by downgrading"
    estimated = sum(row.estimated_steps for row in rows)
    if estimated:
        lines[0] += f", {estimated} steps estimated"
    lines += _table("workflow", rows, lambda row: row.path)
    lines += _table("agent", rows, lambda row: row.agent or "-")
    lines += _table("model", rows, lambda row: row.model or "(tools and charges)")
    return "\n".join(lines)


def _table(title: str, rows: List[Spend], key: Callable[[Spend], str]) -> List[str]:
    sums: Dict[str, List[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        entry = sums[key(row)]
        entry[0] += row.cost_nanos
        entry[1] += row.steps + row.tool_calls
        entry[2] += row.input_tokens + row.output_tokens
    ranked = sorted(sums.items(), key=lambda item: -item[1][0])
    if len(ranked) > _ROWS:
        rest = [sum(column) for column in zip(*(entry for _, entry in ranked[_ROWS:]))]
        ranked = [*ranked[:_ROWS], (f"({len(ranked) - _ROWS} more)", rest)]
    lines = [f"  {title:<40} {'cost':>16} {'calls':>8} {'tokens':>12}"]
    for name, (cost, count, tokens) in ranked:
        lines.append(f"  {_clean(name):<40} {dollars(cost):>16} {count:>8} {tokens:>12}")
    return lines


def _clean(name: str) -> str:
    """Names come from anywhere: no control characters, one line, one column."""
    text = "".join(c if c.isprintable() else "?" for c in name)
    return text if len(text) <= 40 else text[:39] + "…"
