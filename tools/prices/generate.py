#!/usr/bin/env python3
"""Writes the built-in price table from LiteLLM's published price file.

    pip download litellm --no-deps -d /tmp/wheel
    tools/prices/generate.py /tmp/wheel/litellm-*.whl --as-of 2026-11-20

Writes Sources/CPrices/table.c and Tests/prices/rates.json (the entries that the
table was made from, as published). Prices are exact decimals; what is not a
whole pico-dollar is rounded up and listed. The rules by which open classes are
closed and names are resolved are those of docs/prices.md.
"""

import argparse
import collections
import datetime
import hashlib
import json
import math
import pathlib
import re
import sys
import zipfile
from decimal import Decimal

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from bytepairs import pack  # noqa: E402

SOURCE = "model_prices_and_context_window_backup.json"
CHAT = {"chat", "completion", "responses"}
MODES = CHAT | {"embedding", "realtime"}
PROVIDERS = {
    "openai", "anthropic", "gemini", "vertex_ai-language-models", "vertex_ai-anthropic_models", "mistral",
    "deepseek", "xai", "groq", "together_ai", "fireworks_ai", "cerebras", "bedrock", "bedrock_converse",
    "cohere", "cohere_chat", "dashscope", "moonshot", "zai",
}
MAKERS = {"gemini", "mistral", "xai", "deepseek", "dashscope", "moonshot", "zai", "cohere"}
BEDROCK = re.compile(r"(?:(?:global|us|eu)\.)?(?:amazon|anthropic|meta|deepseek)\.")
SKIP = re.compile("|".join([
    "-beta", "experimental", "-exp-", "-exp$", "learnlm", "-vision-",  # trials
    "llama2", "titan-", "claude-v", "claude-instant",  # of the past
    "^together-ai-", "^fireworks_ai/[^/]*$", "/routers/",  # classes of sizes, second names
    "-tts", "robotics", "deep-research", "prompt-guard", "cyber", "daybreak", "rosalind",  # for one purpose
]))
GRACE = datetime.timedelta(days=130)  # a model is still called for a while after its end was announced
KIB_MAX = 24
GROUP = 16  # names that are written as differences from one another
ROWS_MAX, TIERS_MAX, NAME_MAX = 16, 16, 255

CLASSES = ["input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "audio_input",
           "cache_read_audio_input", "audio_output", "image_input", "image_output", "request"]
FIELDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "cache_read_input_audio_token_cost": "cache_read_audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_image_token": "image_output",
    "input_cost_per_request": "request",
}
VARIANTS = {"": 0, "batches": 1, "flex": 2, "priority": 3}
FIELD = re.compile(
    r"(%s)(_above_1hr)?(?:_above_(\d+)k_tokens)?(?:_(batches|flex|priority))?$" % "|".join(FIELDS))
OPEN = -1
CAP = 10**15

rounded = []


def picos(name, field, value, scale=12):
    exact = Decimal(value).scaleb(scale)
    whole = math.ceil(exact)
    if whole != exact:
        rounded.append(f"{name}: {field} {value} is {exact.normalize():f}, taken as {whole}")
    if not 0 <= whole <= CAP:
        raise SystemExit(f"{name}: {field} {value} is out of range")
    return whole


def classify(field):
    """(class, variant, tier) of a field, or None."""
    if field == "input_cost_per_token_cache_hit":
        return "cache_hit", 0, 0
    match = FIELD.match(field)
    if not match:
        return None
    base, hour, tier, variant = match.groups()
    kind = FIELDS[base]
    if hour:
        if kind != "cache_write":
            return None
        kind = "cache_write_1h"
    return kind, VARIANTS[variant or ""], int(tier or 0) * 1000


def is_price(field):
    return "cost" in field or "pric" in field


def draft(name, entry):
    """{(variant, above): {class: rate}} as named, and the number of prices that no class expresses."""
    rows, others = {}, 0

    def put(field, value, above):
        nonlocal others
        found = classify(field)
        if found is None:
            others += bool(value)
            return
        kind, variant, tier = found
        rows.setdefault((variant, max(tier, above)), {})[kind] = picos(
            name, field, value, 9 if kind == "request" else 12)

    for field, value in entry.items():
        if field == "tiered_pricing":
            for tier in value:
                if "range" not in tier:
                    others += 1
                    continue
                above = tier["range"][0]
                for inner, rate in tier.items():
                    if is_price(inner):
                        put(inner, rate, int(above))
        elif is_price(field) and value is not None:
            if isinstance(value, (int, Decimal)):
                put(field, value, 0)
            else:
                others += 1
    base = rows.setdefault((0, 0), {})
    hit = base.pop("cache_hit", None)
    if hit is not None:
        base.setdefault("cache_read", hit)
    # A write price of 0 beside a price of input means that writing is not charged extra.
    for key, row in rows.items():
        for kind in ("cache_write", "cache_write_1h"):
            if row.get(kind) == 0 and base.get("input"):
                del row[kind]
    if "output" not in base:
        if "image_output" in base or "audio_output" in base:
            base["output"] = max(base.get("image_output", 0), base.get("audio_output", 0))
        elif entry.get("mode") in ("embedding", "rerank", "moderation"):
            base["output"] = 0
    return rows, others


def close(rows):
    """Rows with every class, by the three rules of docs/prices.md."""
    standard = sorted(above for variant, above in rows if variant == 0)
    table = []
    done = {}
    for variant in sorted({variant for variant, _ in rows}):
        tiers = sorted({above for v, above in rows if v == variant} | set(standard))
        below = None
        for above in tiers:
            row = rows.get((variant, above), {})
            beside = None
            if variant:
                beside = done[(0, max(a for a in standard if a <= above))]
            named = {}
            for kind in CLASSES:
                named[kind] = row.get(kind, OPEN)
                if named[kind] == OPEN:
                    named[kind] = max((below or {}).get(kind, OPEN), (beside or {}).get(kind, OPEN))
            done[(variant, above)] = below = named
            full = dict(named)

            def fill(kind, rate):
                if full[kind] == OPEN:
                    full[kind] = rate

            fill("cache_read", full["input"])
            fill("cache_write", full["input"])
            fill("cache_write_1h", full["cache_write"])
            fill("reasoning", full["output"])
            fill("cache_read_audio_input",
                 full["cache_read"] if full["audio_input"] == OPEN else full["audio_input"])
            fill("audio_input", full["input"])
            fill("image_input", full["input"])
            fill("audio_output", full["output"])
            fill("image_output", full["output"])
            fill("request", 0)
            table.append((variant, above, tuple(full[kind] for kind in CLASSES)))
    return table


def price(name, entry):
    """The closed rows of an entry, or None when its tokens have no price."""
    rows, others = draft(name, entry)
    base = rows[(0, 0)]
    if "input" not in base or "output" not in base:
        return None
    table = close(rows)
    if others and not any(any(row[2]) for row in table):
        return None
    return table


PREFIXES = ["openai/", "azure/", "anthropic/", "gemini/", "google/", "models/", "vertex_ai/", "bedrock/",
            "converse/", "mistral/", "deepseek/", "xai/", "cohere/", "cohere_chat/", "dashscope/",
            "litellm_proxy/", "global.", "us.", "eu."]
DATE = r"20\d\d%s(?:0[1-9]|1[0-2])%s(?:0[1-9]|[12]\d|3[01])$"
VERSIONS = [re.compile(r"(?:-latest|@latest|@default)$"), re.compile(r"(?:-v\d)?:\d$"),
            re.compile("-" + DATE % ("-", "-")), re.compile("[-@]" + DATE % ("", ""))]


def forms(name):
    """The name and its shorter forms, in the order in which they are tried."""
    while True:
        form = name
        while form:
            yield form
            prefix = next((p for p in PREFIXES if form.startswith(p)), None)
            if prefix is None:
                break
            form = form[len(prefix):]
        shorter = name
        if name.startswith("ft:") and ":" in name[3:]:
            shorter = name[:name.index(":", 3)]
        else:
            for version in VERSIONS:
                if version.search(name):
                    shorter = version.sub("", name)
                    break
        if shorter == name or not shorter:
            return
        name = shorter


def resolve(name, known):
    return next((form for form in forms(name) if form in known), None)


def wanted(name, entry, as_of):
    provider, mode, ends = (entry.get(k) for k in ("litellm_provider", "mode", "deprecation_date"))
    if provider not in PROVIDERS or mode not in MODES or SKIP.search(name):
        return False
    if provider.startswith("bedrock") and not BEDROCK.match(name):
        return False
    # Fireworks lists every small model it can host; those served to all have a cache price.
    if provider == "fireworks_ai" and "cache_read_input_token_cost" not in entry:
        return False
    return not ends or datetime.date.fromisoformat(ends) + GRACE >= as_of


def choose(prices, book, as_of):
    """The names to carry, and the aliases beside them: what is wanted, without what resolves to the same price,
    and with whatever would otherwise resolve to another price than its own."""
    names = {n for n in prices if wanted(n, book[n], as_of)}
    for name in sorted(names, key=len, reverse=True):
        shorter = resolve(name, names - {name})
        if shorter and prices[shorter] == prices[name]:
            names.discard(name)
    while True:
        aliases = bare(names, book)
        known = names | aliases.keys()
        wrong = [n for n in prices if n not in names and (found := resolve(n, known))
                 and prices[aliases.get(found, found)] != prices[n]]
        if not wrong:
            return sorted(names), aliases
        names.update(wrong)


def bare(names, book):
    """Names that mean a model without being in the file: without the maker's prefix,
    and without the date of the newest version."""
    known, aliases = set(names), {}

    def add(alias, name):
        # Never a name that the file, or a shorter form of it, prices already.
        if alias not in book and alias not in known and resolve(alias, known) is None:
            aliases[alias] = name

    for name in sorted(names):
        maker, slash, rest = name.partition("/")
        if slash and "/" not in rest and maker in MAKERS:
            add(rest, name)
    for name in [*sorted(names), *sorted(aliases)]:
        for version in VERSIONS[2:]:
            if version.search(name):
                add(version.sub("", name), aliases.get(name, name))  # sorted: the newest is the last
    return aliases


# What a class costs where a row does not say: as its whole, by number in CLASSES; None = nothing.
WHOLE = [None, None, 0, 0, 3, 1, 0, 2, 1, 0, 1, None]


def differences(rates):
    """The numbers of the classes whose rate is another than that of their whole."""
    return [i for i, (rate, whole) in enumerate(zip(rates, WHOLE)) if rate != (0 if whole is None else rates[whole])]


def encode(table, chat, rate_numbers, tiers):
    """A set's rows as bytes: see Sources/CPrices/table.h."""
    code = []
    for i, (variant, above, rates) in enumerate(table):
        last = i + 1 == len(table)
        named = differences(rates)
        mask = sum(1 << k for k in named)
        code += [variant | chat << 2 | last << 3 | tiers.index(above) << 4, mask & 255, mask >> 8]
        for k in named:
            number = rate_numbers[rates[k]]
            code += [number] if number < 128 else [number & 127 | 128, number >> 7]
    return code


def front_coded(names):
    """Of each name, how many bytes it shares with the one before it in its group, and the rest."""
    kept, rests, before = [], [], ""
    for i, name in enumerate(names):
        if i % GROUP == 0:
            before = ""
        same = 0
        while same < min(len(before), len(name)) and before[same] == name[same]:
            same += 1
        kept.append(same)
        rests.append(name[same:])
        before = name
    return kept, rests


def packed_names(models, aliases):
    """The bytes of price_text a name each, where each group begins, and price_pairs."""
    (kept, rests), (more_kept, more) = front_coded(models), front_coded(aliases)
    kept, rests = kept + more_kept, rests + more
    packed, pairs = pack([rest.encode() + b"\0" for rest in rests])
    names = [[same, *rest] for same, rest in zip(kept, packed)]
    groups, size = [], 0
    for i, name in enumerate(names):
        if (i if i < len(models) else i - len(models)) % GROUP == 0:
            groups.append(size)
        size += len(name)
    return names, groups, size, [half for s in range(256) for half in pairs.get(s, (0, s))]


def columns(values, per_line):
    lines = []
    for i in range(0, len(values), per_line):
        lines.append("    " + ", ".join(str(v) for v in values[i:i + per_line]) + ",")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=pathlib.Path)
    parser.add_argument("--as-of", required=True, type=datetime.date.fromisoformat,
                        help="the day on which the wheel was the published one")
    options = parser.parse_args()

    with zipfile.ZipFile(options.wheel) as wheel:
        raw = wheel.read("litellm/" + SOURCE)
    version = options.wheel.name.split("-")[1]
    digest = hashlib.sha256(raw).hexdigest()
    book = json.loads(raw, parse_float=Decimal)
    book.pop("sample_spec", None)
    prices = {}
    for name, entry in book.items():
        if table := price(name, entry):
            prices[name] = table
    names, aliases = choose(prices, book, options.as_of)

    sets = {}  # (chat, rows): what models with the same price share
    for name in names:
        sets.setdefault((int(book[name].get("mode") in CHAT), *prices[name]), len(sets))
    dearest = [max(column) for column in zip(*(
        rates for chat, *table in sets for variant, _, rates in table if chat and variant == 0))]
    tiers = sorted({above for _, *table in sets for _, above, _ in table})
    uses = collections.Counter(
        rates[i] for _, *table in sets for _, _, rates in table for i in differences(rates))
    rates = sorted(uses, key=lambda rate: (-uses[rate], rate))
    rate_numbers = {rate: number for number, rate in enumerate(rates)}
    codes, begins, encoded = [], [], []
    for chat, *table in sets:
        codes.append(encode(table, chat, rate_numbers, tiers))
        begins.append(len(encoded))
        encoded += codes[-1]
    first = [begins[sets[(int(book[n].get("mode") in CHAT), *prices[n])]] for n in names]
    rows = sum(len(key) - 1 for key in sets)

    others = sorted(aliases)
    packed, groups, name_bytes, pairs = packed_names(names, others)
    for what, value, most in [
        ("rows in a set", max(len(key) - 1 for key in sets), ROWS_MAX), ("tiers", len(tiers), TIERS_MAX),
        ("bytes in a name", max(map(len, names + others)), NAME_MAX), ("rates", len(rates), 1 << 14),
        ("the highest rate", max(rates), 2**32 - 1),
        ("bytes of sets", len(encoded), 2**16), ("bytes of names", name_bytes, 2**16),
    ]:
        if value > most:
            sys.exit(f"{what}: {value}, the format has {most} at most")
    mine = [line for line in rounded if line.split(": ")[0] in set(names)]
    as_of = int(datetime.datetime.combine(options.as_of, datetime.time(), datetime.timezone.utc).timestamp())
    notes = "".join(f"\n *     {line}" for line in mine) or " none."

    text = f"""/* The built-in price table. Generated by tools/prices/generate.py: do not edit.
 *
 * As of {options.as_of}. {len(names)} models, {len(aliases)} aliases, {rows} rows in {len(sets)} sets.
 * Source: litellm/{SOURCE}
 *     of the wheel litellm {version} on PyPI, sha256 of the file
 *     {digest}
 * Licence: MIT, Copyright (c) 2023 Berri AI.
 * Rounded up to whole pico-dollars:{notes}
 */
#include "table.h"

const int64_t price_as_of = {as_of};
const uint32_t price_models = {len(names)};
const uint32_t price_aliases = {len(others)};

const struct bursar__price_row price_dearest = {{
    {", ".join(str(v) for v in dearest)}, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0}};

const uint32_t price_rates[] = {{
{columns(rates, 12)}
}};

const uint32_t price_tiers[] = {{
{columns(tiers, 12)}
}};

const uint8_t price_sets[] = {{
{chr(10).join("    " + ", ".join(map(str, code)) + "," for code in codes)}
}};

const uint16_t price_first[] = {{
{columns(first, 16)}
}};

const uint16_t price_target[] = {{
{columns([names.index(aliases[a]) + 1 for a in others] or [0], 16)}
}};

const uint16_t price_groups[] = {{
{columns(groups, 16)}
}};

const uint8_t price_pairs[512] = {{
{columns(pairs, 24)}
}};

const uint8_t price_text[] = {{
{chr(10).join("    " + ", ".join(map(str, name)) + "," for name in packed)}
}};
"""
    (ROOT / "Sources/CPrices/table.c").write_text(text)

    def plain(entry):
        return {k: v for k, v in entry.items() if k in ("litellm_provider", "mode") or is_price(k)}


    # Decimals are written as they were published: through a placeholder, as json knows floats only.
    marks = []

    def mark(value):
        if isinstance(value, Decimal):
            marks.append(str(value))
            return f"@{len(marks) - 1}@"
        if isinstance(value, dict):
            return {k: mark(v) for k, v in value.items()}
        if isinstance(value, list):
            return [mark(v) for v in value]
        return value

    lines = [json.dumps(name) + ": " + json.dumps(mark(plain(book[name]))) for name in names]
    body = re.sub(r'"@(\d+)@"', lambda m: marks[int(m.group(1))], ",\n".join(lines))
    (ROOT / "Tests/prices/rates.json").write_text("{\n" + body + "\n}\n")

    size = (128 + 4 * (len(rates) + len(tiers)) + len(encoded) + 2 * (len(first) + len(others) + len(groups))
            + name_bytes + 512)
    print(f"{len(names)} models, {len(aliases)} aliases, {rows} rows in {len(sets)} sets, {size} bytes")
    for provider in sorted({book[n]["litellm_provider"] for n in names}):
        print(f"  {provider}: {sum(book[n]['litellm_provider'] == provider for n in names)}")
    print(f"rounded up: {len(mine)}")
    for line in mine:
        print("  " + line)
    if size > KIB_MAX * 1024:
        sys.exit(f"more than {KIB_MAX} KiB: narrow the choice")


if __name__ == "__main__":
    main()
