"""A session: one run of one agent, with limits of its own under a budget."""

from __future__ import annotations

import ctypes as C
import os
import struct
import warnings
from typing import TYPE_CHECKING, Any, Dict, Iterable, Mapping, Optional, SupportsIndex, Tuple
from typing import Union

from . import _abi
from .decision import Decision, Receipt, read_decision, read_grant, read_receipt
from .errors import BursarWarning, InvalidArgumentError, refusal
from .estimate import Input, estimate_tokens
from .estimator import Estimate, Estimator
from .hot import DECISION_AT, NO_MEDIA, RECEIPT_AT, USAGE_SIZE, Steps, reserve_frame, reserve_frames
from .hot import settle_failed, settle_frame, settle_frames, tuple_as, write_request, write_settle
from .limits import Limits
from .loops import Loops
from .money import Money, Span, nanos
from .options import Key, filled, flags_of, key_words, request_struct
from .seat import Seat as Seat, _current, _without, current as current
from .step import Step, Tool
from .turn import Turn
from .usage import Usage
from .words import ChargeFlag, Complexity, Reason, Remedy, Status, TextKind, Verdict

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .options import RequestOptions
    from .runtime import Runtime
    from .views import View


class Session(Steps, Estimator):
    """Opened by `bursar.session()`, `Runtime.session()` or `child()`; closed on leaving `with`,
    in the process that opened it. One from `bursar.attach()` is closed only by `close()`."""

    def __init__(
        self, runtime: Runtime, id: int, attached: bool = False, parent: Optional[Session] = None
    ) -> None:
        self.runtime = runtime
        self.id = id
        self._parent = parent
        self._link = runtime._link
        self._arg: Any = C.c_int64.from_param(id)  # as the hot functions take it
        self._closed = False
        self.loops = Loops()  # of its tools: Tool.came
        self._opener = 0 if attached else os.getpid()  # the process whose it is

    def __repr__(self) -> str:
        return f"<Session {self.id}>"

    # ---- Steps ----

    def reserve(
        self,
        model: Optional[str] = None,
        *,
        input_tokens: int = 0,
        max_output_tokens: int = 0,
        min_output_tokens: int = 0,
        **options: Unpack[RequestOptions],
    ) -> Decision:
        """Holds the worst case of a step at every level, or says why not; refusals do not raise.

        `model=None` is the best of the ladder. `min_output_tokens` 0 = the smaller of 256 and
        what is wanted.
        """
        flags = flags_of(options) if options else 0
        if flags < 0:
            return self._reserve_with(
                model, input_tokens, max_output_tokens, min_output_tokens, options)
        try:
            frame = reserve_frames.pop()
        except IndexError:
            frame = reserve_frame()
        call, request_arg, decision_arg = frame
        link = self._link
        try:
            model_number = link.models[model]
        except KeyError:
            model_number = link.model(model)
        try:
            write_request(
                call, 4, flags, model_number, 0, input_tokens, 0, max_output_tokens,
                min_output_tokens)  # fmt: skip
        except struct.error as error:
            raise InvalidArgumentError(f"reserve: {error}") from None
        function = link.reserve
        status = function(link.arg, self._arg, request_arg, decision_arg)
        if status:
            if status != Status.E_REFUSED:
                return self._gone(status)
            values = read_decision(call, DECISION_AT)
        else:
            values = read_grant(call, DECISION_AT)
            if values[7]:  # flagged: it may name a limit
                values = read_decision(call, DECISION_AT)
        answer: Decision = tuple_as(link.decision, values)
        reserve_frames.append(frame)
        return answer

    def _reserve_with(
        self,
        model: Optional[str],
        input_tokens: int,
        max_output_tokens: int,
        min_output_tokens: int,
        options: RequestOptions,
    ) -> Decision:
        link = self._link
        fields = {
            "model": link.model(model),
            "input_tokens": input_tokens,
            "max_output_tokens": max_output_tokens,
            "min_output_tokens": min_output_tokens,
        }
        if options.get("tool") is not None:
            fields["tool"] = link.tool(options["tool"])
        if options.get("meter") is not None:
            fields["meter"] = link.meter(options["meter"])
        request, decision = request_struct(fields, options), _abi.Decision()
        status = link.call.bursar_reserve(
            link.handle, self.id, C.byref(request), C.byref(decision))
        if status and status != Status.E_REFUSED:
            return self._gone(status)
        answer: Decision = tuple_as(link.decision, read_decision(decision))
        return answer

    def _gone(self, status: int) -> Decision:
        """The refusal of a session that was closed: it is forgotten once its last step is settled.
        Raises what else a status says."""
        if status != Status.E_NOT_FOUND:
            self._link.failed(status, f"reserve in session {self.id}")
        values = (Verdict.HALT, Reason.CLOSED, Remedy.STOP, 0, 0, 0, 0, 0, self.id, *(0,) * 7)
        answer: Decision = tuple_as(self._link.decision, values)
        return answer

    def settle_and_reserve(
        self,
        reservation: SupportsIndex,
        usage: Usage,
        model: Optional[str] = None,
        *,
        input_tokens: int = 0,
        max_output_tokens: int = 0,
        min_output_tokens: int = 0,
    ) -> tuple[Receipt, Decision]:
        """Settles one step and reserves the next: one call for a loop.

        Raises what settle raises, and then nothing is reserved.
        """
        link = self._link
        if usage[6:] != NO_MEDIA:
            raise InvalidArgumentError("audio and image tokens: use settle() and reserve()")
        try:
            before = settle_frames.pop()
        except IndexError:
            before = settle_frame()
        try:
            after = reserve_frames.pop()
        except IndexError:
            after = reserve_frame()
        settling, number_arg, usage_arg, receipt_arg, settled_arg = before
        reserving, request_arg, decision_arg = after
        try:
            write_settle(settling, 0, reservation, USAGE_SIZE, 0, *usage[:6])
            write_request(
                reserving, 4, 0, link.model(model), 0, input_tokens, 0, max_output_tokens,
                min_output_tokens)  # fmt: skip
        except struct.error as error:
            raise InvalidArgumentError(f"settle_and_reserve: {error}") from None
        function = link.settle_and_reserve
        status = function(
            link.arg, number_arg, usage_arg, receipt_arg, settled_arg, self._arg, request_arg,
            decision_arg)  # fmt: skip
        if status:
            if settling.settled:
                settle_failed(link, settling.settled, reservation, usage[0], usage[4])
        receipt: Receipt = tuple_as(Receipt, read_receipt(settling, RECEIPT_AT))
        if status and status != Status.E_REFUSED:
            return receipt, self._gone(status)
        values = read_grant(reserving, DECISION_AT)
        if status or values[7]:
            values = read_decision(reserving, DECISION_AT)
        answer: Decision = tuple_as(link.decision, values)
        settle_frames.append(before)
        reserve_frames.append(after)
        return receipt, answer

    def step(
        self,
        model: Optional[str] = None,
        *,
        input: Input = 0,
        max_output_tokens: int,
        min_output_tokens: int = 0,
        **options: Unpack[RequestOptions],
    ) -> Step:
        """Reserves a step, or raises the refusal. Use it in `with` and settle it there.

        `input`: messages, a text or bytes, of which settling learns (`estimate`), or a number
        of tokens.
        """
        return Step(self, *self._held(
            model, input, max_output_tokens, min_output_tokens, options))  # fmt: skip

    def _held(
        self, model: Optional[str], input: Input, wanted: int, least: int, options: RequestOptions
    ) -> Tuple[Decision, Optional[Estimate]]:
        """Reserves, or raises the refusal; and the estimate of an input that is no number. Without
        a model there is no rate to go by."""
        guess = None
        if model is None or isinstance(input, int):
            tokens = estimate_tokens(input)
        else:
            guess = self.estimate(model, input)
            tokens = guess.tokens_max
        decision = self.reserve(
            model, input_tokens=tokens, max_output_tokens=wanted, min_output_tokens=least,
            **options)  # fmt: skip
        if not decision:
            raise refusal(decision)
        return decision, guess

    def turn(
        self,
        model: Optional[str] = None,
        *,
        input: Input = 0,
        max_output_tokens: int,
        min_output_tokens: int = 0,
        **options: Unpack[RequestOptions],
    ) -> Turn:
        """As step, around a call that may go through a metered HTTP client: see Turn.

            with session.turn(model, input=messages, max_output_tokens=1024) as turn:
                answer = framework_s_own_call(...)
                turn.settle(answer.usage)

        The session is `bursar.current()` inside. Metered requests there take the turn's place.
        """
        return Turn(self, *self._held(
            model, input, max_output_tokens, min_output_tokens, options))  # fmt: skip

    def tool(self, name: str, arguments: Any = None, **options: Unpack[RequestOptions]) -> Tool:
        """Reserves a call of a tool at its price, or raises the refusal. Leaving settles it."""
        decision = self._reserve_with(None, 0, 0, 0, {**options, "tool": name})
        if not decision:
            raise refusal(decision)
        return Tool(self, decision, name, arguments)

    def outcome(
        self,
        name: str,
        value: Optional[Money] = None,
        *,
        id: str = "",
        by: str = "",
        reason: str = "",
    ) -> None:
        """States a business result of this session: `s.outcome("invoice_processed", "$3.20",
        id="inv-7")`. Runtime.outcome revises it, by somebody else verifies it, and states those
        of sessions that are closed."""
        self.runtime.outcome(name, value, id=id, session=self, by=by, reason=reason)

    def charge(
        self,
        amount: Optional[Money] = None,
        tool: Optional[str] = None,
        *,
        meter: Optional[str] = None,
        units: int = 0,
        force: bool = False,
        key: Optional[Key] = None,
    ) -> Receipt:
        """Charges a priced thing that has no model, or raises the refusal.

        Without an amount: the tool's price. `force`: it has happened already, record it even
        past a limit. With a key it is charged once by this runtime. Only this runtime remembers
        keys: a retry in another process, or through another runtime, charges again.
        """
        link = self._link
        charge = filled(
            _abi.Charge,
            {
                "flags": ChargeFlag.FORCE if force else 0,
                "nanos": 0 if amount is None else nanos(amount),
                "tool": 0 if tool is None else link.tool(tool),
                "meter": 0 if meter is None else link.meter(meter),
                "units": units,
            },
        )
        if key is not None:
            charge.key = (C.c_uint64 * 2)(*key_words(key))
        decision, receipt = _abi.Decision(), _abi.Receipt()
        status = link.call.bursar_charge(
            link.handle, self.id, C.byref(charge), C.byref(decision), C.byref(receipt))
        if status == Status.E_REFUSED:
            raise refusal(tuple_as(link.decision, read_decision(decision)))
        if status:
            link.failed(status, f"charge in session {self.id}")
        return Receipt(*read_receipt(receipt))

    # ---- The session itself ----

    @property
    def path(self) -> str:
        """The path of the budget above it."""
        return self._link.text(self.id, TextKind.PATH)

    def read(self) -> View:
        return self.runtime.read(self.id)

    def child(
        self,
        agent: str = "",
        *limit: Limits,
        limits: Optional[Limits] = None,
        deadline: Optional[Span] = None,
        idle: Optional[Span] = None,
        ladder: Union[str, Iterable[str]] = (),
        labels: Optional[Mapping[str, str]] = None,
        complexity: Union[Complexity, str] = Complexity.DEFAULT,
        holdback: Money = 0,
    ) -> Session:
        """A session of a sub-agent. What it spends counts here at once."""
        return self.runtime.session(
            self, *limit, limits=limits, agent=agent, deadline=deadline, idle=idle, ladder=ladder,
            labels=labels, complexity=complexity, holdback=holdback)  # fmt: skip

    def environ(self) -> Dict[str, str]:
        """BURSAR_HOME and BURSAR_SESSION for the environment of a sub-agent in another process,
        which calls `bursar.attach(os.environ)`:

            subprocess.run([...], env={**os.environ, **session.environ()})

        From then on the session stays open when this process dies, until somebody closes it.
        """
        link = self._link
        status, text = _abi.read_text(link.call.bursar_session_environ, link.handle, self.id)
        if status:
            link.failed(status, f"environ of session {self.id}")
        pairs = (line.partition("=") for line in text.split("\n") if line)
        return {name: value for name, _, value in pairs}

    def wrap(self, client: Any, *, wait: float = 60.0, max_output_tokens: int = 4_096) -> Any:
        """A client of the same type whose requests are steps of this session: OpenAI, Anthropic,
        google-genai, httpx, sync and async. Inside `with` of a session below, they are its steps.

        `wait`: seconds that a throttled request may wait before Throttled is raised.
        `max_output_tokens`: wanted where a call names no limit. A refusal is raised as Refused.
        """
        from .wrap import wrap

        return wrap(self, client, wait=wait, max_output_tokens=max_output_tokens)

    def brief(self) -> str:
        """ "You have $0.41 of $0.50 and 37 of 200 steps left.": a sentence for the prompt of an
        agent that is to know. Nothing puts it there by itself. Empty without limits."""
        from .awareness import brief

        return brief(self)

    def attend(self, who: str = "") -> None:
        """Somebody looked: `unattended` starts again."""
        data = who.encode()
        self._link.do("bursar_attend", self.id, data, len(data))

    def close(self) -> None:
        """Nothing more is admitted; steps in flight can still be settled. Twice is fine."""
        if not self._closed:
            self._closed = True
            if self._link.handle is not None:
                self._link.call.bursar_session_close(self._link.handle, self.id)

    def _enter(self) -> None:
        _current.set((self, _current.get()))

    def _leave(self) -> None:
        _current.set(_without(_current.get(), self))

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(self, *exception: object) -> None:
        self._leave()
        if self._opener == os.getpid():
            self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exception: object) -> None:
        self.__exit__()

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or self._opener != os.getpid():
            return
        if self._link.handle is not None:
            warnings.warn(f"session {self.id} was never closed", BursarWarning)
            self.close()
