"""The estimator beside the methods that were weighed against it, on recorded steps.

    Tests/estimator/methods.py FILE.csv          (columns: Tests/data/README.md)

fixed           2.5 bytes to a token
ratio           quantile of tokens per byte so far, for each model
session ratio   the session's last ratio, times a quantile of how much ratios moved
growth          the session's last tokens, and a quantile of tokens per byte for what is new
learnt          the library's: docs/estimation.md

The quantiles are split-conformal: the k-th of n values with k = ceil((n + 1) x 0.995), in a
histogram of sixteenths of an octave that forgets a thousandth with each step; until there are
enough values, a token for every second byte.
"""

import math
import sys
from typing import Dict, List, Tuple

import bursar
from bursar.estimator import estimated
from estimator import Row, forms, read

MARGIN, FORGETS, FIRST = 0.995, 0.999, 0.5


class Quantile:
    def __init__(self) -> None:
        self.places = [0.0] * 256

    def add(self, value: float) -> None:
        self.places = [count * FORGETS for count in self.places]
        self.places[min(255, max(0, int((math.log2(max(value, 2**-8)) + 8) * 16)))] += 1

    def read(self, otherwise: float) -> float:
        wanted, seen = (sum(self.places) + 1) * MARGIN, 0.0
        for place, count in enumerate(self.places):
            seen += count
            if seen >= wanted:
                return float(2 ** ((place + 1) / 16 - 8))
        return otherwise


class Fixed:
    def reserve(self, row: Row) -> float:
        return row.bytes / 2.5

    def learn(self, row: Row) -> None:
        pass


class Ratio(Fixed):
    def __init__(self) -> None:
        self.ratio: Dict[str, Quantile] = {}
        self.last: Dict[Tuple[str, str], Row] = {}

    def before(self, row: Row) -> "Row | None":
        return self.last.get((row.session, row.model)) if row.session else None

    def known(self, row: Row, what: str = "") -> Quantile:
        return self.ratio.setdefault(row.model + what, Quantile())

    def reserve(self, row: Row) -> float:
        return row.bytes * self.known(row).read(FIRST)

    def learn(self, row: Row) -> None:
        self.known(row).add(row.tokens / row.bytes)
        self.last[row.session, row.model] = row


class SessionRatio(Ratio):
    def reserve(self, row: Row) -> float:
        last = self.before(row)
        if last is None:
            return super().reserve(row)
        return row.bytes * last.tokens / last.bytes * self.known(row, " moved").read(1.5)

    def learn(self, row: Row) -> None:
        last = self.before(row)
        if last is not None:
            self.known(row, " moved").add(row.tokens / row.bytes / (last.tokens / last.bytes))
        super().learn(row)


class Growth(Ratio):
    def reserve(self, row: Row) -> float:
        last = self.before(row)
        if last is None or row.bytes < last.bytes:
            return super().reserve(row)
        return last.tokens + (row.bytes - last.bytes + 256) * self.known(row, " grew").read(1)

    def learn(self, row: Row) -> None:
        last = self.before(row)
        if last is not None and row.bytes >= last.bytes:
            grown = max(row.tokens - last.tokens, 0)
            self.known(row, " grew").add(grown / (row.bytes - last.bytes + 256))
        super().learn(row)


class Learnt(Fixed):
    def __init__(self) -> None:
        self.runtime = bursar.open()
        self.sessions = {"": 0}

    def reserve(self, row: Row) -> float:
        session = self.sessions.setdefault(row.session, len(self.sessions))
        self.guess = estimated(self.runtime._link, session, row.model, row.bytes)
        return self.guess.tokens_max

    def learn(self, row: Row) -> None:
        self.guess.learn(row.tokens, row.output)

    def __del__(self) -> None:
        self.runtime.close()


METHODS = {"fixed": Fixed, "ratio": Ratio, "session ratio": SessionRatio, "growth": Growth,
           "learnt": Learnt}  # fmt: skip


def main(arguments: List[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    print("reserved below actual, and reserved tokens / billed tokens")
    print(f"{'':40}" + "".join(f"{name:>18}" for name in METHODS))
    for name, rows in forms(read(arguments[0])):
        cells = []
        for method in METHODS.values():
            one, below, reserved = method(), 0, 0
            for row in rows:
                tokens = math.ceil(one.reserve(row))
                below, reserved = below + (tokens < row.tokens), reserved + tokens
                one.learn(row)
            cells.append(f"{below / len(rows):10.2%} {reserved / sum(r.tokens for r in rows):7.3f}")
        print(f"{name:40}" + "".join(cells), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
