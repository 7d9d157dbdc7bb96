"""Steps and tool calls that are held open in Python: reserved, and to be settled or released."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Optional

from .decision import Decision, Receipt
from .errors import BursarError, BursarWarning
from .loops import action_of
from .usage import Usage, usage_of
from .words import Reason

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .estimator import Estimate
    from .options import UsageOptions
    from .session import Session


class Step:
    """A reserved step. Settle it, or release it when it certainly was not billed.

    A body left without either, also by an exception, is settled at the worst case (a stream: at
    what was seen), flagged, with a BursarWarning: spend is never dropped.
    """

    def __init__(
        self, session: Session, decision: Decision, guess: Optional[Estimate] = None
    ) -> None:
        self.session = session
        self.decision = decision
        self.receipt: Optional[Receipt] = None  # set by settle
        self.stop_reason: Optional[Reason] = None  # set when stream() said stop
        self._streamed = False
        self._open = True
        self._guess = guess

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.reservation}>"

    @property
    def reservation(self) -> int:
        return self.decision.reservation

    @property
    def model(self) -> str:
        """The model granted: call this one."""
        return self.decision.model

    @property
    def max_output_tokens(self) -> int:
        """The output tokens granted: tell the provider."""
        return self.decision.max_output_tokens

    def settle(
        self,
        usage: Any = None,
        *,
        input_tokens: int = -1,
        output_tokens: int = -1,
        cache_read_input_tokens: int = 0,
        cache_write_input_tokens: int = 0,
        reasoning_output_tokens: int = 0,
        **more: Unpack[UsageOptions],
    ) -> Receipt:
        """As Runtime.settle, for this step."""
        guess, self._guess = self._guess, None
        if guess is not None and usage is not None and not isinstance(usage, Usage):
            usage = usage_of(usage, more.pop("provider", None))
        self.receipt = self.session.settle(
            self.reservation,
            usage,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_input_tokens=cache_read_input_tokens,
            cache_write_input_tokens=cache_write_input_tokens,
            reasoning_output_tokens=reasoning_output_tokens,
            **more,
        )
        self._open = False
        if guess is not None and not (more.get("worst") or more.get("incomplete")):
            if isinstance(usage, Usage):
                input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
            if input_tokens > 0:
                guess.learn(input_tokens, max(output_tokens, 0), self.model)
        return self.receipt

    def release(self) -> None:
        """It did not happen and is not billed."""
        self.session.release(self.reservation)
        self._open = False

    def stream(self, output_tokens: int) -> bool:
        """Reports the output so far. False: stop reading and settle; `stop_reason` says why."""
        self._streamed = True
        self.stop_reason = self.session.stream(self.reservation, output_tokens)
        return self.stop_reason is None

    def _finish(self) -> None:
        """Settles what nobody settled."""
        if not self._open:
            return
        self._open = False
        if self._streamed:
            self.receipt = self.session.settle(
                self.reservation, input_tokens=0, output_tokens=0, incomplete=True)
        else:
            self.receipt = self.session.settle(self.reservation, worst=True)
        warnings.warn(
            f"step {self.reservation} was not settled: recorded at {self.receipt.cost_nanos} "
            "nano-dollars, flagged estimated", BursarWarning, stacklevel=3)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._finish()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._finish()

    def __del__(self) -> None:
        if getattr(self, "_open", False) and self.session._link.handle is not None:
            try:
                self._finish()
            except BursarError:
                pass  # the runtime was closed meanwhile, or the hold expired: it is settled


class Tool(Step):
    """A call of a tool, held at its price. Leaving settles it at that, or at `settle(cost=…)`."""

    def __init__(self, session: Session, decision: Decision, name: str, arguments: Any) -> None:
        super().__init__(session, decision)
        self.name = name
        self.arguments = arguments

    @property
    def action(self) -> str:
        """The same for the same tool with the same arguments, in whatever order they are named."""
        return action_of(self.name, self.arguments)

    def came(self, result: Any) -> int:
        """Notes what it answered: how often in a row this action had this answer, in its session.
        From REPEATS_MAX on a BursarWarning says, once for each row, that it runs in circles."""
        return self.session.loops.note(self.action, self.name, result)

    def _finish(self) -> None:
        if self._open:
            self.settle(input_tokens=0, output_tokens=0)
