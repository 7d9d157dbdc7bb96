"""The table that is shown while the agents run, and the watch over every limit meanwhile."""

import shutil
import sys
import threading
import time
from decimal import Decimal

import bursar
from agents import excess

TOLD = 6  # events shown
EVENTS = {
    bursar.EventType.THRESHOLD: "{who} has spent {percent}% of its limit",
    bursar.EventType.KILL: "{who} was killed ({text})",
    bursar.EventType.HALT: "{who} refuses: a limit is reached",
}


def usd(nanos, digits=4):
    """Nano-dollars for a table."""
    return f"${Decimal(nanos).scaleb(-9):.{digits}f}"


class Screen:
    """Redraws five times a second on a terminal; elsewhere prints the table once, at the end."""

    def __init__(self, runtime, paths, plain):
        self.runtime = runtime
        self.paths = paths
        self.leaves = [p for p in paths if not any(q.startswith(p + "/") for q in paths)]
        self.plain = plain or not sys.stdout.isatty()
        self.started = time.monotonic()
        self.seconds = 0
        self.exceeded = set()
        self.looks = 0  # how often a limit was compared with what was committed
        self._told = []
        self._drawn = 0  # lines
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def tell(self, event):
        """Notes an event of a budget, from any thread."""
        if event.type in EVENTS and event.path in self.paths and event.session == 0:
            text = EVENTS[event.type].format(
                who=event.path, percent=event.percent, text=event.text)
            seconds = time.monotonic() - self.started
            self._told = [*self._told, f"{seconds:5.1f} s  {text}"][-TOLD:]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()
        self._draw(self._table())

    def _run(self):
        while not self._stop.wait(0.2):
            lines = self._table()
            if not self.plain:
                self._draw(lines)

    def _draw(self, lines):
        if self.plain:
            print(*lines, sep="\n", flush=True)
            return
        size = shutil.get_terminal_size()
        lines = [line[: size.columns - 1] for line in lines][: size.lines - 1]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        print(up + "".join(f"\r{line}\x1b[K\n" for line in lines) + "\x1b[J", end="", flush=True)
        self._drawn = len(lines)

    def _table(self):
        self.seconds = time.monotonic() - self.started
        views = {path: self.runtime.read(path) for path in self.paths}
        running = self._watch(views)
        lines = [f"{'budget':<20}{'running':>8}{'steps':>7}{'spent':>10}{'held':>10}{'limit':>9}"
                 f"  {self.seconds:.1f} s"]
        for path, view in views.items():
            name = "  " * path.count("/") + path.rpartition("/")[2]
            count = sum(n for leaf, n in running.items() if f"{leaf}/".startswith(path + "/"))
            limit = view.limits[0]
            full = round(20 * limit.committed / limit.amount)
            state = "" if view.state == bursar.State.OPEN else f" {view.state.name.lower()}"
            lines.append(
                f"{name:<20}{count or '':>8}{view.steps:>7}{usd(view.spent_nanos):>10}"
                f"{usd(view.reserved_nanos):>10}{usd(limit.amount, 2):>9}  "
                f"{'#' * full:.<20}{state}")
        return [*lines, *self._told]

    def _watch(self, views):
        """Compares every limit, those of the sessions too; how many of these are running."""
        running = dict.fromkeys(self.leaves, 0)
        for view in views.values():
            self._compare(view)
        for leaf in self.leaves:
            for session in self.runtime.children(leaf):
                try:
                    self._compare(self.runtime.read(session))
                    running[leaf] += 1
                except bursar.NotFoundError:
                    pass  # closed meanwhile
        return running

    def _compare(self, view):
        self.looks += len(view.limits)
        self.exceeded.update(excess(view))
