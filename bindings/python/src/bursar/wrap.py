"""`session.wrap(client)`: an OpenAI client, sync or async, whose calls are steps of the session.

Every attempt is a step of its own: it is reserved, gets the model and the output limit that were
granted, and is settled from its usage. The SDK's own retries would spend several times under one
reservation, so they are switched off and done here, as often and as patiently as the client says.
An attempt that certainly was not billed (refused connection, status 4xx) is released; any other
failure is settled at the worst case. Everything else of the client passes through.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, NamedTuple, Optional, Tuple

from .decision import Decision
from .errors import UnsupportedError, refusal
from .estimate import estimate_tokens
from .step import Step
from .streams import AsyncStream, StreamAccount, SyncStream, settle_answer
from .words import Remedy

if TYPE_CHECKING:
    from .session import Session


class _Endpoint(NamedTuple):
    """A priced method: where its input is, and what its output limit is called, best first."""

    inputs: Tuple[str, ...]
    limits: Tuple[str, ...]
    usage_option: bool = False  # a stream sends usage only when asked to


_CHAT = _Endpoint(
    ("messages", "tools", "functions", "response_format", "prediction"),
    ("max_completion_tokens", "max_tokens"), usage_option=True)  # fmt: skip
_RESPONSES = _Endpoint(("input", "instructions", "tools", "text"), ("max_output_tokens",))
_EMBEDDINGS = _Endpoint(("input",), ())

_PRICED = {
    "chat.completions.create": _CHAT,
    "chat.completions.parse": _CHAT,
    "beta.chat.completions.create": _CHAT,
    "beta.chat.completions.parse": _CHAT,
    "completions.create": _Endpoint(("prompt",), ("max_tokens",), usage_option=True),
    "responses.create": _RESPONSES,
    "responses.parse": _RESPONSES,
    "embeddings.create": _EMBEDDINGS,
}
_PARENTS = {p.rsplit(".", n)[0] for p in _PRICED for n in range(1, p.count(".") + 1)}
_UNMETERED = ("with_raw_response", "with_streaming_response")
_VARIANTS = {"flex": "flex", "priority": "priority"}  # OpenAI's service_tier
_NOT_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"}
_BACKOFF = 0.5, 8.0  # seconds: the first, and the most


def wrap(session: Session, client: Any, *, wait: float, max_output_tokens: int) -> Any:
    """The wrapped client. `wait`: seconds a throttled call may wait altogether before Throttled
    is raised. `max_output_tokens`: wanted where a call names no limit."""
    return _Resource(_Guard(session, client, wait, max_output_tokens), None, "")


class _Resource:
    """A client or a part of it that leads to priced methods."""

    def __init__(self, guard: _Guard, target: Any, path: str) -> None:
        self._guard = guard
        self._target = guard.bare if target is None else target
        self._path = path

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._target)  # so that isinstance(client, OpenAI) holds

    def __repr__(self) -> str:
        return f"<{self._target!r} in {self._guard.session!r}>"

    def __getattr__(self, name: str) -> Any:
        target = getattr(self._target, name)
        guard, path = self._guard, f"{self._path}.{name}" if self._path else name
        if path in _PRICED:
            return guard.priced(target, _PRICED[path])
        if path in _PARENTS:
            return _Resource(guard, target, path)
        if self._path == "" and name in ("with_options", "copy"):
            return lambda **options: wrap(
                guard.session, getattr(guard.client, name)(**options), wait=guard.wait,
                max_output_tokens=guard.max_output_tokens)  # fmt: skip
        if name == "stream" and f"{self._path}.create" in _PRICED:
            stream = getattr(type(self._target), name)  # it calls create: ours, on this resource
            return lambda **options: stream(self, **options)
        if name in _UNMETERED and (self._path == "" or self._path in _PARENTS):
            raise UnsupportedError(f"{path} would pass by the budget: use the plain method")
        return target

    def __enter__(self) -> _Resource:
        self._target.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._target.__exit__(*exception)

    async def __aenter__(self) -> _Resource:
        await self._target.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._target.__aexit__(*exception)


class _Guard:
    """What the calls of one wrapped client share."""

    def __init__(
        self, session: Session, client: Any, wait: float, max_output_tokens: int
    ) -> None:
        self.session = session
        self.client = client
        self.wait = wait
        self.max_output_tokens = max_output_tokens
        self.retries: int = getattr(client, "max_retries", 0)
        bare = getattr(client, "with_options", None)
        self.bare = client if bare is None else bare(max_retries=0)
        self.is_async = hasattr(type(client), "__aenter__")
        openai = "openai." in str(getattr(client, "base_url", ""))
        self.newest_limit = 0 if openai else -1  # others may know max_tokens only

    def priced(self, method: Callable[..., Any], endpoint: _Endpoint) -> Callable[..., Any]:
        if self.is_async:
            async def call_async(**options: Any) -> Any:
                call = _Call(self, endpoint, options)
                while True:
                    step = call.admit()
                    while step is None:
                        await asyncio.sleep(call.delay)
                        step = call.admit()
                    try:
                        answer = await method(**call.arguments(step))
                    except BaseException as error:
                        if not call.failed(step, error):
                            raise
                        await asyncio.sleep(call.delay)
                        continue
                    return call.answered(step, answer)

            return call_async

        def call_sync(**options: Any) -> Any:
            call = _Call(self, endpoint, options)
            while True:
                step = call.admit()
                while step is None:
                    time.sleep(call.delay)
                    step = call.admit()
                try:
                    answer = method(**call.arguments(step))
                except BaseException as error:
                    if not call.failed(step, error):
                        raise
                    time.sleep(call.delay)
                    continue
                return call.answered(step, answer)

        return call_sync


class _Call:
    """One call of a priced method, and its attempts. `delay`: seconds to sleep when told to."""

    def __init__(self, guard: _Guard, endpoint: _Endpoint, options: Dict[str, Any]) -> None:
        self.guard = guard
        self.endpoint = endpoint
        self.options = {  # the SDK's marks for "not given" are as good as absent
            name: value for name, value in options.items()
            if type(value).__name__ not in ("Omit", "NotGiven")
        }  # fmt: skip
        given = self.options
        self.input_tokens = estimate_tokens([given[n] for n in endpoint.inputs if n in given])
        self.choices = given.get("n") or 1
        self.limit = next((n for n in endpoint.limits if isinstance(given.get(n), int)), "")
        if not self.limit and endpoint.limits:
            self.limit = endpoint.limits[guard.newest_limit]
        default = guard.max_output_tokens if endpoint.limits else 0
        self.wanted = given.get(self.limit) or default
        self.deadline = time.monotonic() + guard.wait
        self.delay = 0.0
        self.asked = 0  # refusals to be waited out, in a row
        self.tries = 0
        self.attempt = 0  # of them may have been billed: what was released counts nowhere
        self.first = 0  # the reservation of the first of these

    def admit(self) -> Optional[Step]:
        """A step; or None: sleep `delay` and ask again. Raises the refusal when that is vain."""
        decision: Decision = self.guard.session.reserve(
            self.options.get("model"),
            input_tokens=self.input_tokens,
            max_output_tokens=self.wanted,
            choices=self.choices,
            stream=bool(self.options.get("stream")),
            variant=_VARIANTS.get(self.options.get("service_tier") or "", "standard"),
            attempt=self.attempt,
            parent=self.first,
        )
        if decision:
            self.asked = 0
            return Step(self.guard.session, decision)
        # what steps in flight hold comes back at any moment: ask again soon, then less often
        self.delay = decision.retry_after or min(1.0, 0.02 * 2**self.asked)
        self.asked += 1
        if decision.remedy != Remedy.WAIT or time.monotonic() + self.delay > self.deadline:
            raise refusal(decision)
        return None

    def arguments(self, step: Step) -> Dict[str, Any]:
        """What to call the method with, for what was granted."""
        arguments = dict(self.options)
        if step.model:
            arguments["model"] = step.model
        if self.limit:
            arguments[self.limit] = step.max_output_tokens
        if arguments.get("stream") and self.endpoint.usage_option:
            arguments["stream_options"] = {
                **(arguments.get("stream_options") or {}), "include_usage": True}  # fmt: skip
        return arguments

    def answered(self, step: Step, answer: Any) -> Any:
        """The answer to hand on: settled, or a stream that will be."""
        if not self.options.get("stream"):
            settle_answer(step, answer)
            return answer
        asked = (self.options.get("stream_options") or {}).get("include_usage", False)
        account = StreamAccount(step, self.choices, bool(asked))
        return (AsyncStream if self.guard.is_async else SyncStream)(answer, account)

    def failed(self, step: Step, error: BaseException) -> bool:
        """Releases or settles the attempt; True: sleep `delay` and try once more."""
        status = getattr(error, "status_code", None)
        if (isinstance(status, int) and 400 <= status < 500) or _not_sent(error):
            step.release()
        else:
            step.settle(worst=True)
            self.first = self.first or step.reservation
            self.attempt += 1
        if not _retryable(error, status) or self.tries >= self.guard.retries:
            return False
        self.delay = _retry_after(error, self.tries)
        self.tries += 1
        return True


def _not_sent(error: BaseException) -> bool:
    """Whether the request never left: no connection was made."""
    seen: Optional[BaseException] = error
    while seen is not None:
        if isinstance(seen, ConnectionRefusedError) or type(seen).__name__ in _NOT_SENT:
            return True
        seen = seen.__cause__
    return False


def _retryable(error: BaseException, status: Any) -> bool:
    """The SDK's rule: lost connections, and the statuses that may pass."""
    if not isinstance(status, int):
        return any(kind.__name__ == "APIConnectionError" for kind in type(error).__mro__)
    said = _header(error, "x-should-retry")
    if said in ("true", "false"):
        return said == "true"
    return status in (408, 409, 429) or status >= 500


def _retry_after(error: BaseException, attempt: int) -> float:
    """Seconds that the server asked for, up to a minute, else growing ones with some jitter."""
    asked = -1.0
    try:
        asked = float(_header(error, "retry-after-ms")) / 1_000
    except ValueError:
        text = _header(error, "retry-after")
        try:
            asked = float(text)
        except ValueError:
            parsed = email.utils.parsedate_tz(text)
            if parsed is not None:
                asked = email.utils.mktime_tz(parsed) - time.time()
    if 0 < asked <= 60:
        return asked
    return min(_BACKOFF[0] * 2.0**attempt, _BACKOFF[1]) * (1 - 0.25 * random.random())


def _header(error: BaseException, name: str) -> str:
    headers = getattr(getattr(error, "response", None), "headers", None)
    return str(headers.get(name, "")) if headers is not None else ""
