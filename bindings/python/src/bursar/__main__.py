"""`python -m bursar run --limits '$0.05' script.py …`: an unmodified script under a budget.

Opens a session, meters the model calls of this process (bursar.instrument), and runs the script
as Python itself would. Processes that it starts join through the environment: BURSAR_HOME,
BURSAR_SESSION, and PYTHONPATH with bursar/auto in front. Python with -I, -E or -S looks at none of
these, and passes by.
"""

from __future__ import annotations

import argparse
import atexit
import os
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import time
import types
from typing import Any, Dict, List, Optional, Tuple

from .errors import BursarError, DeadlineExceeded, Killed, Paused, Refused
from .instrument import instrument, last_refusal
from .runtime import Runtime
from .session import Session
from .words import Reason

LIMIT, TIME, STOPPED, FAILED = 123, 124, 122, 125  # exit codes, as of the command `bursar run`
INTERRUPTED = 130
AUTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "auto")

_ABOUT = """\
Runs a Python program whose model calls are held to limits. What it starts joins in, but for Python
with -I, -E or -S. Exit code: the program's own; when a refusal ended it 123 a limit, 124 time, 122
killed, closed or paused; 125 when it was not run.
"""


def main(arguments: Optional[List[str]] = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m bursar")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="run a script under a budget", description=_ABOUT,
        usage="python -m bursar run [options] (script.py | -m module | -c code | -) [argument ...]")
    run.add_argument("--limits", default="", metavar="TEXT", help="'$0.05, 200 steps, 10m wall'")
    run.add_argument("--home", help="a directory. Default: $BURSAR_HOME, else ~/.bursar where "
                     "there is one, else one for this run alone")  # fmt: skip
    run.add_argument("--path", help="the budget it is under. Default: the session that it is run "
                     "in, else `run`")  # fmt: skip
    run.add_argument("--agent", help="what it is called. Default: the script's name")
    run.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    run.add_argument("--max-output-tokens", type=int, default=4_096, metavar="N",
                     help="wanted where a call names no limit. Default: 4096")  # fmt: skip
    run.add_argument("--wait", type=float, default=60.0, metavar="SECONDS",
                     help="how long a throttled call may wait. Default: 60")  # fmt: skip
    ours, program = _split(arguments)
    options = parser.parse_args(ours)
    if not program:
        run.error("say what to run: a script, -m module, -c code, or - for standard input")
    _run(options, program)


_VALUED = {
    "--limits", "--home", "--path", "--agent", "--label", "--max-output-tokens", "--wait",
}  # fmt: skip


def _split(arguments: List[str]) -> Tuple[List[str], List[str]]:
    """Our arguments, and the program's with its own, which begin where Python's would."""
    at = 1 if arguments[:1] == ["run"] else len(arguments)
    while at < len(arguments):
        word = arguments[at]
        if word == "--":
            return arguments[:at], arguments[at + 1 :]
        if word in _VALUED:
            at += 2
        elif word.startswith("--") or word == "-h":
            at += 1
        else:
            return arguments[:at], arguments[at:]
    return arguments, []


def _run(options: Any, program: List[str]) -> None:
    try:
        run = _Run(options, program)
    except (BursarError, OSError) as error:
        print(f"bursar run: not run: {error}", file=sys.stderr)
        sys.exit(FAILED)
    code: Any = 0
    try:
        run.execute(program)
    except SystemExit as exit:
        code = exit.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:
        code = run.report(error)
    sys.exit(run.ended(code or 0))


def _users() -> str:
    """The user's home, where there is one."""
    path = os.path.expanduser("~/.bursar")
    return path if os.path.isdir(path) else ""


def _code(refused: Refused) -> int:
    if isinstance(refused, DeadlineExceeded):
        return TIME
    closed = refused.decision.reason_number == Reason.CLOSED
    return STOPPED if closed or isinstance(refused, (Killed, Paused)) else LIMIT


_ENDS = (signal.SIGTERM, signal.SIGHUP)


class _Run:
    """The session of a script, and the script."""

    def __init__(self, options: Any, program: List[str]) -> None:
        self.own_home = ""
        self.runtime: Optional[Runtime] = None
        self.session: Optional[Session] = None
        self.said = ""
        self.interrupted = False
        self.process = os.getpid()
        self._masks = threading.local()  # of a thread that forks
        home = options.home or os.environ.get("BURSAR_HOME") or _users()
        if not home:
            home = self.own_home = tempfile.mkdtemp(prefix="bursar-run-")
        agent = options.agent or os.path.basename(program[1 if program[0] == "-m" else 0])
        labels: Dict[str, str] = dict(label.partition("=")[::2] for label in options.label)
        try:
            self.runtime = Runtime(home, role="agent", name="bursar run")
            self.session = self._open(self.runtime, options, agent[:64], labels)
            os.environ.update(self.session.environ())
        except BaseException:
            self._remove()
            raise
        atexit.register(self.close)
        if self.own_home:
            for number in _ENDS:
                if signal.getsignal(number) == signal.SIG_DFL:
                    signal.signal(number, self._signalled)
            os.register_at_fork(
                before=self._fork, after_in_parent=self._forked, after_in_child=self._unhandled)
        os.environ["BURSAR_WAIT"] = str(options.wait)
        os.environ["BURSAR_MAX_OUTPUT_TOKENS"] = str(options.max_output_tokens)
        places = [AUTO, *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(places)
        instrument(
            self.session, wait=options.wait, max_output_tokens=options.max_output_tokens)

    def _open(
        self, runtime: Runtime, options: Any, agent: str, labels: Dict[str, str]
    ) -> Session:
        path: Any = options.path or "run"
        if self.own_home:
            # nobody else is there to declare a budget: that of the run is the session's
            runtime.budget(path, "$1000000000 then observe")
        elif options.path is None and os.environ.get("BURSAR_SESSION"):
            try:
                path = runtime.attach(os.environ["BURSAR_SESSION"])
            except BursarError:
                pass  # of another home, or ended: none to be in
        return runtime.session(path, options.limits, agent=agent, labels=labels)

    def execute(self, program: List[str]) -> None:
        """Runs it in a module `__main__` of its own, as Python would."""
        word, *rest = program
        former = sys.modules["__main__"].__dict__
        main = types.ModuleType("__main__")
        names: Dict[str, Any] = main.__dict__
        names.update(__builtins__=__builtins__, __package__=None, __spec__=None)
        if "__annotations__" in former:
            names["__annotations__"] = {}
        if word == "-m" and rest:
            sys.argv = rest
            sys.modules["__main__"] = main
            runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]
            return
        if not getattr(sys.flags, "safe_path", False):
            # instead of where `-m bursar` was started
            sys.path[0] = "" if word[0] == "-" else os.path.dirname(os.path.realpath(word))
        if word == "-c" and rest:
            sys.argv = ["-c", *rest[1:]]
            code: Any = compile(rest[0], "<string>", "exec")
        elif word == "-":
            sys.argv = ["-", *rest]
            names.update(__file__="<stdin>", __cached__=None)
            code = compile(sys.stdin.read(), "<stdin>", "exec")
        elif os.path.isdir(word) or word.endswith((".zip", ".pyz")):
            sys.argv, sys.path[0] = program, os.path.abspath(word)
            sys.modules["__main__"] = main
            runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
            return
        else:
            from importlib.machinery import SourceFileLoader

            sys.argv = program
            path = os.path.join(os.getcwd(), word)
            names.update(
                __file__=path, __cached__=None, __loader__=SourceFileLoader("__main__", path))
            try:
                with open(word, "rb") as file:
                    source = file.read()
            except OSError as error:
                said = f"[Errno {error.errno}] {error.strerror}"
                print(f"{sys.executable}: can't open file {path!r}: {said}", file=sys.stderr)
                sys.exit(2)
            code = compile(source, path, "exec")
        sys.modules["__main__"] = main
        exec(code, names)

    def report(self, error: BaseException) -> int:
        """Says what Python would say of an exception that nobody caught."""
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__):
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        if isinstance(error, KeyboardInterrupt):
            self.interrupted = True
            return INTERRUPTED
        return 1

    def ended(self, code: int) -> int:
        """The exit code. A program that failed after a refusal failed because of it."""
        refused = last_refusal()
        if code == 0 or refused is None or code == INTERRUPTED:
            return code
        self.said = f"stopped: {refused}"
        return _code(refused)

    def close(self) -> None:
        """At exit, behind the program's own: the session is over."""
        if os.getpid() != self.process:
            return  # the child of a fork
        self._remove()
        if self.said:
            print(f"bursar run: {self.said}", file=sys.stderr)
        if self.interrupted:  # it ends by the signal, as Python does, so that a shell knows
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)

    # A process that the script forks ends at once, as it would without us. A handler's turn would
    # come only when what it waits for returns; and a signal that comes before Python has put the
    # child in order would be forgotten: it waits until then.

    def _fork(self) -> None:
        # A handler that raises does so behind each of these; none comes while all are blocked.
        self._masks.former = None
        self._masks.former = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    def _forked(self) -> None:
        former = getattr(self._masks, "former", None)
        if former is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)

    def _unhandled(self) -> None:
        try:
            for number in _ENDS:
                if signal.getsignal(number) == self._signalled:
                    signal.signal(number, signal.SIG_DFL)
        finally:
            self._forked()

    def _signalled(self, number: int, frame: Any) -> None:
        """Ends as without a handler, and leaves no home behind."""
        if os.getpid() == self.process:
            self._remove()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _remove(self) -> None:
        """Closes what is open; takes a home of its own away when nobody else is in it."""
        segment = ""
        try:
            if self.session is not None:
                self.session.close()
            if self.runtime is not None:
                segment = self.runtime.home_info().segment_path
                if self.own_home and not self._alone(self.runtime):
                    segment = ""  # who is left in it finds the session closed
                self.runtime.close()
        except BursarError as error:
            print(f"bursar run: {error}", file=sys.stderr)
        if self.own_home and (segment or self.runtime is None):
            try:
                os.remove(segment or self.own_home)
            except OSError:
                pass
            shutil.rmtree(self.own_home, ignore_errors=True)

    def _alone(self, runtime: Runtime) -> bool:
        """Whether nobody else has the home open. Who has just died may still be counted."""
        until = time.monotonic() + 1.5
        while runtime.home_info().processes > 1:
            others = [each.pid for each in runtime.processes() if each.pid != self.process]
            if not any(map(_lives, others)):
                break
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


if __name__ == "__main__":
    main()
