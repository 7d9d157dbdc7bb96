#!/usr/bin/env python3
"""Prices random steps with Python's decimal and compares Bursar's price to the nano.

    Tests/prices/oracle.py PATH-TO-price-eval

Reads Tests/prices/rates.json, the published prices that the built-in table was
generated from, and shares no code with the generator or the library. 100,000
steps over all models, tiers and variants; 5,000 with QUICK=1. SEED=n for others.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal

HERE = pathlib.Path(__file__).resolve().parent
EXACT = Context(prec=80)
NANO = Decimal("1e-9")
SUFFIX = {"standard": "", "batch": "_batches", "flex": "_flex", "priority": "_priority"}
INT64_MAX = 2**63 - 1


def whole_picos(value):
    return EXACT.multiply(value, Decimal(10**12)).to_integral_value(ROUND_CEILING) / Decimal(10**12)


class Model:
    """One entry of the file; a rate is looked up by what the file calls it."""

    def __init__(self, entry):
        self.fields = {}  # name without tier -> {threshold: rate}
        for name, value in entry.items():
            if name == "tiered_pricing":
                for tier in value:
                    for inner, rate in tier.items():
                        if inner != "range":
                            self.put(inner, int(tier["range"][0]), rate)
            elif isinstance(value, Decimal) or type(value) is int:
                self.put(name, 0, value)
        self.thresholds = {s: {0} for s in SUFFIX}
        for name, tiers in self.fields.items():
            for variant in ("batch", "flex", "priority"):
                if name.endswith(SUFFIX[variant]) and self.known(name[:-len(SUFFIX[variant])]):
                    self.thresholds[variant] |= set(tiers)
                    break
            else:
                if self.known(name):
                    self.thresholds["standard"] |= set(tiers)
        self.variants = [v for v in SUFFIX if v == "standard" or any(
            n.endswith(SUFFIX[v]) and self.known(n[:-len(SUFFIX[v])]) for n in self.fields)]
        self.measures = entry.get("mode") == "embedding"

    def put(self, name, threshold, rate):
        head, mark, tail = name.partition("_tokens")
        if mark and "_above_" in head:
            head, _, count = head.rpartition("_above_")
            if count.endswith("k") and count[:-1].isdigit():
                name, threshold = head + tail, int(count[:-1]) * 1000
        self.fields.setdefault(name, {})[threshold] = Decimal(rate)

    @staticmethod
    def known(name):
        return name in NAMES.values()

    def tiers(self, variant):
        if variant not in self.variants:
            variant = "standard"
        own = set() if variant == "standard" else self.thresholds["standard"]
        return sorted(self.thresholds[variant] | own)

    def named(self, kind, variant, tokens):
        """The rate that the file gives a class, taken over from tier below and standard; or None."""
        name = NAMES[kind] + SUFFIX[variant]
        tiers = [t for t in self.tiers(variant) if t == 0 or t < tokens]
        found = None
        for tier in tiers:
            rate = self.fields.get(name, {}).get(tier)
            if rate == 0 and kind.startswith("write") and self.fields.get(NAMES["input"], {}).get(0):
                rate = None
            if kind == "read" and variant == "standard" and tier == 0 and rate is None:
                rate = self.fields.get("input_cost_per_token_cache_hit", {}).get(0)
            if rate is None:
                beside = None if variant == "standard" else self.named(kind, "standard", tier + 1)
                rates = [r for r in (found, beside) if r is not None]
                rate = max(rates) if rates else None
            found = rate
        if found is None and kind == "output" and variant == "standard":
            made = [self.named(k, variant, 0) for k in ("image_out", "audio_out")]
            found = max((r for r in made if r is not None), default=Decimal(0) if self.measures else None)
        return found

    def rate(self, kind, variant, tokens):
        if variant not in self.variants:
            variant = "standard"
        while True:
            rate = self.named(kind, variant, tokens)
            if rate is not None:
                return whole_picos(rate)
            if kind == "request":
                return Decimal(0)
            kind = {"read_audio": "audio_in" if self.named("audio_in", variant, tokens) is not None else "read",
                    "read": "input", "write": "input", "write_1h": "write", "audio_in": "input",
                    "image_in": "input", "reasoning": "output", "audio_out": "output",
                    "image_out": "output"}[kind]

    def cost(self, variant, u):
        """Nano-dollars of a step, from what was read and written and what remains fresh."""
        rate = {k: self.rate(k, variant, u["input"]) for k in NAMES}
        rest = u["input"] - u["read"] - u["write"]
        audio = min(u["audio_in"] - u["read_audio"], rest)
        image = min(u["image_in"], rest - audio)
        parts = {
            "input": rest - audio - image, "read": u["read"] - u["read_audio"], "read_audio": u["read_audio"],
            "write": u["write"] - u["write_1h"], "write_1h": u["write_1h"], "audio_in": audio, "image_in": image,
            "output": u["output"] - u["reasoning"] - u["audio_out"] - u["image_out"],
            "reasoning": u["reasoning"], "audio_out": u["audio_out"], "image_out": u["image_out"], "request": 1,
        }
        total = Decimal(u["extra"]) * NANO
        for kind, tokens in parts.items():
            total = EXACT.add(total, EXACT.multiply(Decimal(tokens), rate[kind]))
        return int(EXACT.divide(total, NANO).to_integral_value(ROUND_HALF_EVEN))


NAMES = {
    "input": "input_cost_per_token", "output": "output_cost_per_token", "read": "cache_read_input_token_cost",
    "write": "cache_creation_input_token_cost", "write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token", "audio_in": "input_cost_per_audio_token",
    "read_audio": "cache_read_input_audio_token_cost", "audio_out": "output_cost_per_audio_token",
    "image_in": "input_cost_per_image_token", "image_out": "output_cost_per_image_token",
    "request": "input_cost_per_request",
}
ORDER = ["input", "read", "write", "write_1h", "output", "reasoning", "audio_in", "read_audio", "audio_out",
         "image_in", "image_out", "extra"]


def step(rng, model, variant):
    """Random usage: small, usual, at a tier's edge, or huge; parts within their wholes."""
    edges = [t for t in model.tiers(variant) if t]
    shape = rng.random()
    if edges and shape < 0.3:
        total = max(0, rng.choice(edges) + rng.choice([-1, 0, 1, rng.randrange(100_000)]))
    elif shape < 0.5:
        total = rng.randrange(200)
    elif shape < 0.97:
        total = rng.randrange(1_000_000)
    else:
        total = rng.randrange(10**rng.randrange(7, 19))
    u = dict.fromkeys(ORDER, 0)
    u["input"] = total
    u["output"] = rng.randrange(10**rng.randrange(1, 6))

    def part(whole, chance):
        return rng.randint(0, max(whole, 0)) if rng.random() < chance else 0

    u["read"] = part(total, 0.6)
    u["write"] = part(total - u["read"], 0.3)
    u["write_1h"] = part(u["write"], 0.5)
    u["audio_in"] = part(total, 0.2)
    u["read_audio"] = part(min(u["audio_in"], u["read"]), 0.5)
    u["image_in"] = part(total - u["audio_in"], 0.2)
    u["reasoning"] = part(u["output"], 0.4)
    u["audio_out"] = part(u["output"] - u["reasoning"], 0.1)
    u["image_out"] = part(u["output"] - u["reasoning"] - u["audio_out"], 0.1)
    u["extra"] = rng.randrange(10**9) if rng.random() < 0.1 else 0
    return u


def tie(rng, model, variant):
    """Usage whose price ends in exactly half a nano-dollar, if one is found."""
    for _ in range(20):
        u = step(rng, model, variant)
        u["input"] = u["input"] % 5000
        for kind in ORDER[1:]:
            u[kind] = 0
        u["output"] = rng.randrange(1000)
        picos = (model.rate("input", variant, u["input"]) * u["input"]
                 + model.rate("output", variant, u["input"]) * u["output"]) * 10**12
        if picos % 1000 == 500:
            return u
    return None


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    count = 5_000 if os.environ.get("QUICK") == "1" else 100_000
    rng = random.Random(int(os.environ.get("SEED", "1")))
    book = json.loads((HERE / "rates.json").read_text(), parse_float=Decimal)
    models = {name: Model(entry) for name, entry in book.items()}
    names = sorted(models)

    # Only prices that are not whole nano-dollars per token can end in half of one.
    uneven = [(n, v) for n in names for v in models[n].variants
              if any(models[n].rate(k, v, 0) * 10**12 % 1000 for k in ("input", "output"))]
    cases, ties, seen = [], 0, set()
    while len(cases) < count:
        name = names[len(cases) % len(names)]
        variant = rng.choice(models[name].variants + ["standard"] + rng.sample(list(SUFFIX), 1))
        usage = None
        if rng.random() < 0.2:
            uneven_name, uneven_variant = rng.choice(uneven)
            if usage := tie(rng, models[uneven_name], uneven_variant):
                name, variant = uneven_name, uneven_variant
                ties += 1
        usage = usage or step(rng, models[name], variant)
        seen.add((name, variant, max(t for t in models[name].tiers(variant) if t == 0 or t < usage["input"])))
        cases.append((name, variant, usage))

    number = {v: i for i, v in enumerate(SUFFIX)}
    lines = ["\t".join(map(str, [name, number[variant], *(usage[k] for k in ORDER)]))
             for name, variant, usage in cases]
    answer = subprocess.run([sys.argv[1]], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    got = answer.stdout.splitlines()
    if len(got) != len(cases):
        sys.exit(f"{len(got)} answers to {len(cases)} steps")

    wrong = overflows = 0
    for (name, variant, usage), text in zip(cases, got):
        nanos = models[name].cost(variant, usage)
        want = str(nanos) if nanos <= INT64_MAX else "overflow"
        overflows += want == "overflow"
        if text != want:
            wrong += 1
            if wrong <= 10:
                print(f"{name} {variant} {usage}: Bursar {text}, decimal {want}")
    print(f"{len(cases)} steps, {len(names)} models, {len(seen)} of (model, variant, tier), "
          f"{ties} half-nano ties, {overflows} above Int64: {wrong} mismatches")
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
