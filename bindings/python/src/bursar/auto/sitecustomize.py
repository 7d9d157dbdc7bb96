"""What Python runs first in a process that `python -m bursar run` started, or its children did.

This directory is on PYTHONPATH there. It meters the process's model calls for the session that
the environment hands over, and then runs the sitecustomize that would have run without it.
"""

import os
import sys


def _join() -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    if os.environ.get("BURSAR_HOME") and os.environ.get("BURSAR_SESSION"):
        package = os.path.dirname(os.path.dirname(here))
        found = package in sys.path
        if not found:
            sys.path.append(package)  # of an environment that has no Bursar of its own
        try:
            from bursar.instrument import instrument

            instrument(
                wait=float(os.environ.get("BURSAR_WAIT") or 60),
                max_output_tokens=int(os.environ.get("BURSAR_MAX_OUTPUT_TOKENS") or 4096))
        except Exception as error:
            print(f"bursar: this process is not metered: {error}", file=sys.stderr)
        finally:
            if not found and package in sys.path:
                sys.path.remove(package)
    return here


def _next(here: str) -> None:
    """Runs the sitecustomize behind this one, if there is one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    others = [place for place in sys.path if os.path.abspath(place or os.curdir) != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_next(_join())
