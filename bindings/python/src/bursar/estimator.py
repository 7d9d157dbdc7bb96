"""Tokens of an input before it is sent, learnt from what providers billed: docs/estimation.md.

    guess = session.estimate("gpt-4o", messages)
    decision = session.reserve("gpt-4o", input_tokens=guess.tokens_max, ...)
    ...
    guess.learn(input_tokens=1_234, output_tokens=56)

`session.step(model, input=messages)` and wrapped clients do so by themselves.
"""

from __future__ import annotations

import ctypes as C
import struct
import warnings
from typing import TYPE_CHECKING, Any, Callable, List, NamedTuple, Optional, Tuple, Union

from . import _abi
from .errors import BursarWarning, InvalidArgumentError
from .estimate import Input, measured
from .options import word
from .words import Content, Status

if TYPE_CHECKING:
    from .link import Link

Tokenizer = Callable[[str], int]

_PACKED = struct.Struct("=IiqQqqiIqqq").pack  # a bursar_estimate_t
_SIZE = C.sizeof(_abi.Estimate)
_WORD = (1 << 64) - 1


class EstimateError(NamedTuple):
    """How far off the estimates were, as shares of what was billed."""

    steps: int
    below: int
    """Steps that were billed at more input than was to be reserved."""
    median: float
    """Half of the errors are no larger; 0.01 is 1 %."""
    p99: float
    """99 of 100 are no larger."""
    input_tokens: int
    """Billed, of all these steps."""
    reserved_tokens: int


class Estimate:
    """An input's tokens: `tokens` is the likely number, `tokens_max` the one to reserve."""

    __slots__ = ("_asked", "_link")

    def __init__(self, link: Link, asked: _abi.Estimate) -> None:
        self._link = link
        self._asked = asked

    def __repr__(self) -> str:
        return f"<Estimate {self.tokens}, at most {self.tokens_max}>"

    @property
    def tokens(self) -> int:
        number: int = self._asked.tokens
        return number

    @property
    def tokens_max(self) -> int:
        number: int = self._asked.tokens_max
        return number

    def learn(
        self, input_tokens: int, output_tokens: int = 0, model: Union[str, int, None] = None
    ) -> None:
        """What the provider billed. `model`: the one granted, where it is another. Call it once,
        and not for an answer for which the provider ran tools: they bring input of their own."""
        link, asked = self._link, self._asked
        if model is not None:
            asked.model = model if isinstance(model, int) else link.model(model)
        status = link.call.bursar_learn(link.handle, C.byref(asked), input_tokens, output_tokens)
        if status:
            link.failed(status, f"learn {input_tokens} tokens")


def estimated(
    link: Link,
    session: int,
    model: str,
    size: int,
    fixed_tokens: int = 0,
    kind: int = Content.TEXT,
    conversation: int = 0,
) -> Estimate:
    """The estimate of so many bytes."""
    try:
        filled = _PACKED(
            _SIZE, link.model(model), session, conversation & _WORD, size, fixed_tokens, kind,
            0, 0, 0, 0)  # fmt: skip
    except struct.error as error:
        raise InvalidArgumentError(f"estimate of {size} bytes: {error}") from None
    asked = _abi.Estimate.from_buffer(bytearray(filled))
    status = link.call.bursar_estimate(link.handle, C.byref(asked))
    if status:
        link.failed(status, f"estimate of {size} bytes")
    return Estimate(link, asked)


def tokenizer_of(link: Link, model: str) -> Optional[Tokenizer]:
    """The tokenizer with the longest beginning of this model's name."""
    found = [name for name in link.tokenizers if model.startswith(name)]
    return link.tokenizers[max(found, key=len)] if found else None


def counted(tokenizer: Tokenizer, texts: List[str]) -> Optional[int]:
    """What a tokenizer counts; None, with a warning, when it fails."""
    try:
        count = tokenizer("\n".join(texts))
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise TypeError(f"it answered {count!r}, which is no number of tokens")
        return count
    except Exception as error:  # the user's own code: the step goes on without it
        warnings.warn(f"a tokenizer failed: {type(error).__name__}: {error}", BursarWarning, 4)
        return None


class Estimator:
    """The base of Session and Runtime."""

    _link: Link

    def estimate(
        self,
        model: str,
        input: Input,
        *,
        fixed_tokens: int = 0,
        kind: Union[Content, str, int, None] = None,
        conversation: int = 0,
    ) -> Estimate:
        """What `input` comes to: messages, a text, or the number of its bytes.

        `fixed_tokens`: at most, of what else it has: images, files. `kind`: what it is made of;
        by itself text, or wide text. `conversation`: any number; inputs of a session with the
        same one continue each other, so that only what is new has to be guessed.
        """
        link = self._link
        told = None if kind is None else word(Content, kind)
        if isinstance(input, int) and not isinstance(input, bool):
            size, found = input, int(Content.TEXT)
        else:
            size, more, found = weighed(link, model, input)
            fixed_tokens += more
        if told is not None and found != Content.COUNTED:
            found = told
        session = getattr(self, "id", 0)
        return estimated(link, session, model, size, fixed_tokens, found, conversation)


class RuntimeEstimator(Estimator):
    """The base of Runtime."""

    def tokenizer(self, model: str, count: Optional[Tokenizer]) -> None:
        """Counts text for models whose names begin with `model` with a function of your own,
        text -> tokens; None takes it away. The longest beginning holds; "" is every model.

        What it leaves out or gets wrong is learnt too, and a margin kept:

            encoding = tiktoken.get_encoding("o200k_base")
            rt.tokenizer("gpt-", lambda text: len(encoding.encode(text)))
        """
        if count is None:
            self._link.tokenizers.pop(model, None)
        elif callable(count):
            self._link.tokenizers[model] = count
        else:
            raise InvalidArgumentError(f"a tokenizer is a function of a text, not {count!r}")

    def estimate_error(
        self, model: Optional[str] = None, kind: Union[Content, str, int, None] = None
    ) -> EstimateError:
        """How far off the estimates were since the runtime was opened."""
        link, out = self._link, _abi.EstimateError()
        which = -1 if kind is None else word(Content, kind)
        status = link.call.bursar_estimate_error(
            link.handle, link.model(model), which, C.byref(out))
        if status != Status.OK:
            link.failed(status, "estimate_error")
        return EstimateError(
            out.steps, out.below, out.median_ppm / 1e6, out.p99_ppm / 1e6, out.input_tokens,
            out.reserved_tokens)  # fmt: skip


def weighed(link: Link, model: str, input: Any) -> Tuple[int, int, int]:
    """An input's bytes or a tokenizer's count, its fixed tokens, and its kind."""
    tokenizer = tokenizer_of(link, model) if link.tokenizers else None
    texts: List[str] = []
    size, fixed = measured(input, texts)
    if tokenizer is not None:
        count = counted(tokenizer, texts)
        if count is not None:
            return count, fixed, Content.COUNTED
    # Beyond ASCII a character has two bytes or more.
    wide = any(not text.isascii() for text in texts) and 4 * sum(map(len, texts)) < 3 * size
    return size, fixed, Content.WIDE if wide else Content.TEXT
