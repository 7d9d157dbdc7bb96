"""LiteLLM: calls of any model that keep to a session's budget.

    bursar.integrations.litellm.install(session)
    litellm.completion(model="anthropic/claude-haiku-4-5", messages=[...])

Without a session it is the one that a call is made in, `with bursar.session(...)`, or else that of
the environment. Each attempt is a step, those of `num_retries`, of fallbacks and of a Router too. A
refusal is raised as an exception that is both bursar.Refused, with its decision, and LiteLLM's own
BudgetExceededError; it is not retried, cools no deployment down, and asks no other model: which are
tried before that is said by the session's ladder. bursar.instrument() does the same by itself.
"""

from __future__ import annotations

from typing import Any, Optional

from ..instrument import is_metering, metering
from ..session import Session
from .common import missing

try:
    import litellm as _litellm

    from .litellm_calls import (
        BudgetExceeded, DeadlineExceeded, Halted, Killed, Paused, Throttled, patch, state, undo,
    )  # fmt: skip
except ImportError as error:
    raise missing("litellm", "litellm", error) from error

__all__ = [
    "BudgetExceeded", "DeadlineExceeded", "Halted", "Killed", "Paused", "Throttled", "install",
    "uninstall",
]  # fmt: skip

for _kind in (Throttled, Halted, BudgetExceeded, Paused, Killed, DeadlineExceeded):
    _kind.__module__ = __name__  # as it is to be imported


def install(session: Optional[Session] = None, *, wait: float = 60.0) -> None:
    """Meters what this process asks of models through LiteLLM, from now on. `wait`: seconds that a
    throttled request may wait. Calling it again changes these. It holds for functions that were
    imported before (`from litellm import completion`), too."""
    patch(_litellm)
    state.installed, state.session, state.wait = True, session, wait
    metering()


def uninstall() -> None:
    """As before install()."""
    state.installed, state.session = False, None
    if not is_metering():
        undo()
