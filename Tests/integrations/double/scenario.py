"""What the provider is told to do: the words before the API's own path, as `loop,parallel=5`."""

from urllib.parse import unquote

FLAGS = {"loop", "text", "same", "wrong", "nousage", "hang", "billed"}
NUMBERS = {"parallel", "turns", "out", "piece", "cut", "fail", "429", "429every", "500", "500every",
           "cached", "cachewrite", "cachewrite1h", "reasoning"}
SECONDS = {"slow", "after"}
TEXTS = {"call", "wrong"}
WRONG = {"high", "low", "negative", "text"}


class Scenario:
    def __init__(self, words):
        given = {}
        for word in filter(None, words.split(",")):
            name, equals, value = word.partition("=")
            if not equals and name in FLAGS:
                given[name] = True
            elif equals and name in NUMBERS and value.isdecimal():
                given[name] = int(value)
            elif equals and name in SECONDS:
                given[name] = float(value)
            elif equals and name in TEXTS:
                given[name] = value
            else:
                known = ", ".join(sorted(FLAGS | {f"{n}=" for n in NUMBERS | SECONDS | TEXTS}))
                raise ValueError(f"{word!r} is no word of a scenario; known are {known}")
        self.words = words
        self.loop = given.get("loop", False)
        self.text = given.get("text", False)
        self.same = given.get("same", False)
        self.nousage = given.get("nousage", False)
        self.hang = given.get("hang", False)
        self.billed = given.get("billed", False)
        self.wrong = given.get("wrong", "")
        self.wrong = "high" if self.wrong is True else self.wrong
        self.parallel = max(1, given.get("parallel", 1))
        self.turns = given.get("turns")
        self.out = given.get("out")
        self.piece = max(1, given.get("piece", 4))
        self.cut = given.get("cut")
        self.fail = given.get("fail")
        self.slow = given.get("slow", 0.0)
        self.after = given.get("after", 0.02)
        self.cached = given.get("cached", 0)
        self.write = given.get("cachewrite", 0)
        self.write_1h = given.get("cachewrite1h", 0)
        self.reasoning = given.get("reasoning", 0)
        self.call = given.get("call", "").split("+") if given.get("call") else []
        self.faults = [(s, given.get(str(s), 0), given.get(f"{s}every", 0)) for s in (429, 500)]
        if self.wrong and self.wrong not in WRONG:
            raise ValueError(f"wrong={self.wrong} is none of {', '.join(sorted(WRONG))}")


_known = {}


def split(path):
    """The scenario and the API's own path of a request's path. Raises ValueError."""
    first, _, rest = path[1:].partition("/")
    if not rest or first[:1] == "v" and first[1:2].isdigit() or first in ("openai", "models"):
        first, rest = "", path[1:]
    scenario = _known.get(first)
    if scenario is None:
        scenario = _known[first] = Scenario(unquote(first))
    return scenario, "/" + rest
