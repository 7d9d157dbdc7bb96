"""The learnt estimator on recorded steps: how far off it was, learning as it goes.

    Tests/estimator/estimator.py [--check] FILE.csv

FILE has a line for each call of a model, in order, with the columns session, model, input_bytes,
input_tokens and, if there, output_tokens: Tests/data/README.md. Every line is estimated before
its tokens are learnt. --check: fails unless what was reserved fell below what was billed in at
most 1 % of the steps of every form, and the library's report of itself agrees.

Each form starts with nothing known. The baseline is a fixed 2.5 bytes to a token.
"""

import csv
import random
import sys
from typing import Iterator, List, NamedTuple, Tuple

import bursar
from bursar.estimate import text_tokens
from bursar.estimator import estimated


class Row(NamedTuple):
    session: str
    model: str
    bytes: int
    tokens: int
    output: int


class Figures(NamedTuple):
    steps: int
    median: float
    p99: float
    below: int
    reserved: float
    report: bursar.EstimateError


def read(path: str) -> List[Row]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        wanted = {"session", "model", "input_bytes", "input_tokens"}
        missing = wanted - set(rows.fieldnames or ())
        if missing:
            raise SystemExit(f"{path}: no column {', '.join(sorted(missing))}")
        steps = [
            Row(r["session"], r["model"], int(r["input_bytes"]), int(r["input_tokens"]),
                int(r.get("output_tokens") or 0))
            for r in rows]
    steps = [row for row in steps if row.tokens > 0]
    if not steps:
        raise SystemExit(f"{path}: no steps")
    return steps


def rank(values: List[float], share: float) -> float:
    """The least value that so large a share does not pass."""
    return sorted(values)[max(0, -int(-len(values) * share // 1) - 1)]


def learnt(rows: List[Row]) -> Figures:
    errors, below, reserved = [], 0, 0
    numbers: dict = {"": 0}
    with bursar.open() as runtime:
        link = runtime._link
        for row in rows:
            session = numbers.setdefault(row.session, len(numbers))
            guess = estimated(link, session, row.model, row.bytes)
            errors.append(abs(guess.tokens - row.tokens) / row.tokens)
            below += guess.tokens_max < row.tokens
            reserved += guess.tokens_max
            guess.learn(row.tokens, row.output)
        report = runtime.estimate_error()
    total = sum(row.tokens for row in rows)
    return Figures(len(rows), rank(errors, 0.5), rank(errors, 0.99), below, reserved / total, report)


def fixed(rows: List[Row]) -> Figures:
    guesses = [(text_tokens(row.bytes), row.tokens) for row in rows]
    errors = [abs(guess - tokens) / tokens for guess, tokens in guesses]
    below = sum(guess < tokens for guess, tokens in guesses)
    reserved = sum(g for g, _ in guesses) / sum(t for _, t in guesses)
    none = bursar.EstimateError(0, 0, 0, 0, 0, 0)
    return Figures(len(rows), rank(errors, 0.5), rank(errors, 0.99), below, reserved, none)


def forms(rows: List[Row]) -> Iterator[Tuple[str, List[Row]]]:
    """The steps as they are, in parts, in other orders, and with other content from the middle on."""
    yield "as recorded", rows
    by_session: dict = {}
    for row in rows:
        by_session.setdefault(row.session, []).append(row)
    runs = list(by_session.values())
    half = len(runs) // 2
    models = sorted({row.model for row in rows})
    if len(models) > 1:
        for model in models:
            yield f"only {model}", [row for row in rows if row.model == model]
    if half:
        yield "first half of the sessions", [row for run in runs[:half] for row in run]
        yield "second half", [row for run in runs[half:] for row in run]
    dice = random.Random(1)
    shuffled = list(runs)
    dice.shuffle(shuffled)
    yield "sessions shuffled", [row for run in shuffled for row in run]
    waiting, live, mixed = [list(run) for run in runs], [], []
    while waiting or live:
        while waiting and len(live) < 20:
            live.append(waiting.pop(0))
        run = dice.choice(live)
        mixed.append(run.pop(0))
        if not run:
            live.remove(run)
    yield "20 sessions at once", mixed
    yield "no session known", [row._replace(session="") for row in rows]
    yield "first 5 steps of each", [row for run in runs for row in run[:5]]
    middle = len(rows) // 2
    yield "twice the tokens from the middle on", [
        row if n < middle else row._replace(tokens=row.tokens * 2) for n, row in enumerate(rows)]
    turned = []
    for run in runs:
        base = run[len(run) // 2].tokens
        for n, row in enumerate(run):
            late = n > len(run) // 2
            turned.append(row._replace(tokens=max(1, base + (row.tokens - base) * 2)) if late else row)
    yield "what is added halfway is twice as dense", turned


def main(arguments: List[str]) -> int:
    check = "--check" in arguments
    paths = [a for a in arguments if a != "--check"]
    if len(paths) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    rows = read(paths[0])
    bad = 0
    print(f"{'':40} {'steps':>6} {'median':>8} {'p99':>8} {'reserved below actual':>22} {'reserved':>9}")
    for name, steps in [("fixed 2.5 bytes (baseline)", rows)] + list(forms(rows)):
        seen = learnt(steps) if not name.startswith("fixed") else fixed(steps)
        share = seen.below / seen.steps
        # less than a step in 100 is none
        wrong = check and seen.report.steps and seen.below > max(seen.steps / 100, 1)
        report = seen.report
        if check and report.steps:
            wrong |= (report.steps, report.below) != (seen.steps, seen.below)
            wrong |= not seen.median <= report.median <= seen.median * 1.125 + 0.000123
            wrong |= not min(seen.p99, 7.9) <= report.p99 <= seen.p99 * 1.125 + 0.000123
        print(f"{name:40} {seen.steps:6} {seen.median:8.2%} {seen.p99:8.2%} "
              f"{seen.below:11} = {share:6.2%}  {seen.reserved:9.3f}{'  WRONG' if wrong else ''}")
        bad += bool(wrong)
    print("median, p99: |likely - billed| / billed; reserved: reserved tokens / billed tokens")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
