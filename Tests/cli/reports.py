"""The reports once more, in Python over the ledger's tables: what the command must say.

Nothing here is shared with the command: tables rather than views, fractions rather than integers.
"""

import sqlite3
from collections import defaultdict
from datetime import datetime, timezone
from fractions import Fraction

from company import PRICES

CLASSES = ("input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "cache_read_audio_input",
           "image_input", "output", "reasoning", "audio_output", "image_output")  # fmt: skip
INPUTS = CLASSES[:7]


def rows(db, sql, *parameters):
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql, parameters)]


def steps(db):
    """Every step with what its session, budget and labels say."""
    labels = defaultdict(dict)
    for row in rows(db, "SELECT * FROM labels"):
        labels[row["label_set"]][row["key"]] = row["value"]
    names = {row["id"]: row["name"] for row in rows(db, "SELECT * FROM names")}
    budgets = {row["id"]: row for row in rows(db, "SELECT * FROM budgets")}
    sessions = {row["id"]: row for row in rows(db, "SELECT * FROM sessions")}
    found = []
    for row in rows(db, "SELECT * FROM steps ORDER BY id"):
        session = sessions[row["session"]]
        budget = budgets[session["budget"]]
        path = budget["path"].split("/")
        complexity = row["complexity"] or session["complexity"] or budget["complexity"]
        found.append({
            **row, "labels": labels.get(session["label_set"], {}), "workflow": budget["path"],
            "organisation": path[0], "team": path[1] if len(path) > 1 else None, "agent": session["agent"],
            "owner": session["owner"] or "(unowned)", "cost_center": session["cost_center"] or "(unowned)",
            "model": names.get(row["granted"]), "model_asked": names.get(row["asked"]),
            "tool": names.get(row["tool"]), "price": names.get(row["price"]), "parent_session": session["parent"],
            "complexity": {1: "routine", 2: "standard", 3: "complex"}.get(complexity),
            "customer": labels.get(session["label_set"], {}).get("customer"),
            "feature": labels.get(session["label_set"], {}).get("feature"),
            "day": datetime.fromtimestamp(row["id"] // 10**9, timezone.utc).strftime("%Y-%m-%d"),
            "variant": {1: "batch", 2: "flex", 3: "priority"}.get(row["variant"], "standard"),
        })  # fmt: skip
    return found


def key(step, dimensions):
    return tuple(step["labels"].get(d[6:]) if d.startswith("label:") else step[d] for d in dimensions)


def by(found, dimensions, amount="cost_nanos"):
    sums = defaultdict(int)
    for step in found:
        sums[key(step, dimensions)] += step[amount]
    return dict(sums)


def half_even(number):
    return round(Fraction(number))


def apportion(total, weights):
    """The method of the largest remainder."""
    whole, sign = sum(weights), -1 if total < 0 else 1
    exact = [Fraction(abs(total) * weight, whole) for weight in weights]
    parts = [int(part) for part in exact]
    order = sorted(range(len(weights)), key=lambda k: (parts[k] - exact[k], k))
    for k in order[: abs(total) - sum(parts)]:
        parts[k] += 1
    return [sign * part for part in parts]


# ---- Prices ----


def picos(text):
    return int(Fraction(text.strip("$").removesuffix("/M")) * 10**6)


def rates(model, variant, input_tokens):
    """Pico-dollars a token by class, and nano-dollars a request."""
    book = PRICES["models"].get(model)
    if book is None:
        return None
    says = {**book, **book.get(variant, {})}
    if variant == "standard":
        for tier in book.get("tiers", ()):
            if input_tokens > tier["above"]:
                says.update({k: v for k, v in tier.items() if k != "above"})
    whole = {"input": picos(says["input"]), "output": picos(says["output"])}
    found = {k: picos(says[k]) if k in says else whole["input" if k in INPUTS else "output"] for k in CLASSES}
    if "cache_write_1h" not in says:
        found["cache_write_1h"] = found["cache_write"]
    if "audio_input" not in says:
        found["cache_read_audio_input"] = found["cache_read"]
    return found, int(Fraction(book.get("request", "$0").strip("$")) * 10**9)


def tokens(step):
    """By class; the tests use no audio and no images."""
    found = dict.fromkeys(CLASSES, 0)
    found["cache_read"] = step["cache_read_input_tokens"]
    found["cache_write"] = step["cache_write_input_tokens"] - step["cache_write_1h_input_tokens"]
    found["cache_write_1h"] = step["cache_write_1h_input_tokens"]
    found["input"] = step["input_tokens"] - step["cache_read_input_tokens"] - step["cache_write_input_tokens"]
    found["reasoning"] = step["reasoning_output_tokens"]
    found["output"] = step["output_tokens"] - step["reasoning_output_tokens"]
    return found


def split(found):
    """Spend by class: groups of steps with one price, each apportioned. (key of group) -> items."""
    groups = {}
    for step in found:
        used, basis = tokens(step), None
        if step["model"]:
            for size in (0, step["input_tokens"]):
                price = rates(step["model"], step["variant"], size)
                if price is None:
                    basis = "unknown"
                    break
                cost = half_even(Fraction(sum(price[0][k] * used[k] for k in CLASSES), 1000)) + price[1] * step["steps"]
                if cost == step["cost_nanos"] - step["extra_nanos"]:
                    basis = ("priced", size > 100_000, tuple(price[0].values()), price[1])
                    break
            if basis is None:
                price = rates(step["model"], step["variant"], 0)
                basis = ("billed", False, tuple(price[0].values()), price[1])
        identity = (step["model"], step["tool"], step["price"], step["variant"], basis)
        group = groups.setdefault(identity, {"tokens": dict.fromkeys(CLASSES, 0), "cost": 0, "steps": 0, "extra": 0})
        for name in CLASSES:
            group["tokens"][name] += used[name]
        group["cost"] += step["cost_nanos"]
        group["extra"] += step["extra_nanos"]
        group["steps"] += step["steps"] if step["model"] else step["tool_calls"] or step["count"]
    return groups


def items(found):
    """By model or tool: steps, cost, fixed cost, tokens and costs by class."""
    sums = {}
    for (model, tool, _, _, basis), group in split(found).items():
        item = sums.setdefault((model, tool), {
            "steps": 0, "cost": 0, "fixed": 0, "tokens": defaultdict(int), "costs": defaultdict(int)})  # fmt: skip
        item["steps"] += group["steps"]
        item["cost"] += group["cost"]
        if basis == "unknown" or not model:
            if sum(group["tokens"].values()):
                item["tokens"]["whole"] += sum(group["tokens"].values())
                item["costs"]["whole"] += group["cost"]
            else:
                item["fixed"] += group["cost"]
            continue
        fixed = min(group["cost"], group["extra"] + basis[3] * group["steps"])
        item["fixed"] += fixed
        weights = [price * group["tokens"][name] for price, name in zip(basis[2], CLASSES)]
        for name, cost in zip(CLASSES, apportion(group["cost"] - fixed, weights)):
            item["tokens"][name] += group["tokens"][name]
            item["costs"][name] += cost
    return sums


def explained(before, after):
    """The six totals of report --explain, as its comment says."""
    a_items, b_items = items(before), items(after)
    none = {"steps": 0, "cost": 0, "fixed": 0, "tokens": defaultdict(int), "costs": defaultdict(int)}
    all_a = sum(i["steps"] for (model, _), i in a_items.items() if model)
    all_b = sum(i["steps"] for (model, _), i in b_items.items() if model)
    totals = [0] * 6
    for name in a_items.keys() | b_items.keys():
        a, b = a_items.get(name, none), b_items.get(name, none)
        t = [a["cost"], 0, 0, 0, 0, b["cost"]]
        if not name[0]:
            t[1:5] = [half_even(Fraction(a["cost"] * b["steps"], a["steps"])) if a["steps"] else b["cost"]] * 4
        else:
            t[1] = half_even(Fraction(a["cost"] * all_b, all_a)) if all_a else b["cost"]
            if not a["steps"]:
                t[2:5] = [b["cost"]] * 3
            else:
                t[2] = half_even(Fraction(a["cost"] * b["steps"], a["steps"]))
                fixed = half_even(Fraction(a["fixed"] * b["steps"], a["steps"]))

                def classes(names):
                    return sum(
                        half_even(Fraction(a["costs"][n] * b["tokens"][n], a["tokens"][n])) if a["tokens"][n]
                        else b["costs"][n] for n in names)  # fmt: skip

                rest = classes([n for n in (*CLASSES, "whole") if n not in INPUTS])
                used = sum(a["tokens"][n] for n in INPUTS)
                cost = sum(a["costs"][n] for n in INPUTS)
                t[3] = fixed + rest + (
                    half_even(Fraction(cost * sum(b["tokens"][n] for n in INPUTS), used)) if used
                    else sum(b["costs"][n] for n in INPUTS))  # fmt: skip
                t[4] = fixed + rest + classes(INPUTS)
        totals = [x + y for x, y in zip(totals, t)]
    return totals
