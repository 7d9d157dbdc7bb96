"""The table that is shown while the agents run, and the watch over every limit meanwhile."""

import shutil
import sys
import threading
import time
from collections import Counter
from decimal import Decimal

import bursar

TOLD = 8  # events shown
EVENTS = {
    bursar.EventType.THRESHOLD: "{who} has spent {percent}% of its limit",
    bursar.EventType.KILL: "{who} was killed ({text})",
    bursar.EventType.HALT: "{who} refuses: a limit is reached",
    bursar.EventType.THROTTLE: "{who} throttles",
    bursar.EventType.DOWNGRADE: "{who} walks down its ladder",
    bursar.EventType.LATE: "{who}: an estimate was corrected",
    bursar.EventType.OVERRUN: "{who}: more was billed than reserved",
}


def usd(nanos, digits=4):
    """Nano-dollars for a table."""
    return f"${Decimal(nanos).scaleb(-9):.{digits}f}"


def excess(view):
    """The limits of a view that were exceeded, as sentences. Time runs out by itself."""
    return [
        f"{view.agent or view.path}: {limit.committed} of {limit.text}"
        for limit in view.limits
        if limit.meter < bursar.Meter.WALL and limit.committed > limit.amount + limit.extra
    ]


class Screen:
    """Redraws five times a second on a terminal; elsewhere prints the table every few seconds."""

    def __init__(self, runtime, paths, agents, plain):
        self.runtime = runtime
        self.paths = paths
        self.agents = agents
        self.plain = plain or not sys.stdout.isatty()
        self.started = time.monotonic()
        self.exceeded = set()
        self.looks = 0  # how often a limit was compared with what was committed
        self._told = []
        self._drawn = 0  # lines
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def seconds(self):
        return time.monotonic() - self.started

    def tell(self, event):
        """Notes an event, from any thread."""
        if event.type in EVENTS:
            sessions = {a.session.id: a.name for a in self.agents if a.session is not None}
            who = sessions.get(event.id, event.path)
            text = EVENTS[event.type].format(who=who, percent=event.percent, text=event.text)
            self._told = [*self._told, f"{self.seconds:5.1f} s  {text}"][-TOLD:]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()
        self._draw(self._table())

    def _run(self):
        last = -9.0
        while not self._stop.wait(0.2):
            lines = self._table()
            if not self.plain or self.seconds - last >= 4:
                last = self.seconds
                self._draw(lines)

    def _draw(self, lines):
        if self.plain:
            print(*lines, "", sep="\n", flush=True)
            return
        size = shutil.get_terminal_size()
        lines = [line[: size.columns - 1] for line in lines][: size.lines - 1]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        print(up + "".join(f"\r{line}\x1b[K\n" for line in lines) + "\x1b[J", end="", flush=True)
        self._drawn = len(lines)

    def _table(self):
        views = {path: self.runtime.read(path) for path in self.paths}
        self._watch(views.values())
        count = Counter()
        for agent in self.agents:
            parts = agent.path.split("/")
            for depth in range(1, len(parts) + 1):
                path = "/".join(parts[:depth])
                count[path, agent.state] += 1
                count[path, "refusals"] += agent.refusals
        head = f"{'budget':<26}{'run':>4}{'done':>5}{'stop':>5}{'steps':>7}{'refused':>8}"
        lines = [f"{head}{'spent':>11}{'held':>10}{'limit':>9}  {self.seconds:.1f} s"]
        for path, view in views.items():
            name = "  " * path.count("/") + path.rpartition("/")[2]
            run, done, stop, refused = (
                count[path, state] for state in ("running", "finished", "stopped", "refusals"))
            limit = view.limits[0]
            full = round(20 * limit.committed / limit.amount)
            bar = "#" * full + "." * (20 - full)
            state = "" if view.state == bursar.State.OPEN else f" {view.state.name.lower()}"
            lines.append(
                f"{name:<26}{run:>4}{done:>5}{stop:>5}{view.steps:>7}{refused:>8}"
                f"{usd(view.spent_nanos):>11}{usd(view.reserved_nanos):>10}"
                f"{usd(limit.amount, 2):>9}  {bar}{state}")
        return [*lines, *self._told]

    def _watch(self, views):
        for view in views:
            self._compare(view)
        for agent in self.agents:
            if agent.state == "running":
                try:
                    view = agent.session.read()
                except bursar.NotFoundError:
                    continue  # closed meanwhile
                agent.refusals = view.refusals
                self._compare(view)

    def _compare(self, view):
        self.looks += len(view.limits)
        self.exceeded.update(excess(view))
