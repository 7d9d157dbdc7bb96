"""What a step used: Bursar's own words, and every provider's usage object turned into them.

The trap is the cache. OpenAI, Gemini, LiteLLM and OpenTelemetry count cached tokens inside the
input; Anthropic and Bedrock count them beside it. Reasoning is inside the output, except with
Gemini, xAI and Perplexity. An object is known by its type, a mapping by names that only one
provider uses. A mapping that could mean both is refused, never guessed. The table: docs/usage.md.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

from .errors import AmbiguousUsage, InvalidArgumentError


class Usage(NamedTuple):
    """Tokens of one step. Cached ones are part of the input, reasoning is part of the output."""

    input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0  # those kept for an hour included
    cache_write_1h_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    audio_input_tokens: int = 0
    cache_read_audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0


_INSIDE = {
    "openai", "azure", "google", "gemini", "vertex", "mistral", "deepseek", "xai", "litellm",
    "pydantic_ai", "langchain", "cohere", "otel", "bursar", "groq", "together", "openrouter",
}  # fmt: skip
_BESIDE = {"anthropic", "bedrock", "aws"}
_TOKENS_MAX = 1 << 48  # more is no count of tokens
_PARTS = (
    ("cache_read_input_tokens", "input_tokens"),
    ("cache_write_input_tokens", "input_tokens"),
    ("cache_write_1h_input_tokens", "cache_write_input_tokens"),
    ("reasoning_output_tokens", "output_tokens"),
    ("audio_input_tokens", "input_tokens"),
    ("cache_read_audio_input_tokens", "audio_input_tokens"),
    ("audio_output_tokens", "output_tokens"),
    ("image_input_tokens", "input_tokens"),
    ("image_output_tokens", "output_tokens"),
)


def usage_of(value: Any, provider: Optional[str] = None) -> Usage:
    """The usage that a provider's object, or a whole answer that carries one, reports."""
    if isinstance(value, Usage):
        return checked(value)
    for name in ("usage", "usage_metadata", "usageMetadata"):
        inner = _field(value, name)
        if inner is not None and not callable(inner):
            value = inner
            break
    if provider is not None:
        provider = provider.lower().replace("-", "_")
        if provider not in _INSIDE and provider not in _BESIDE:
            known = ", ".join(sorted(_INSIDE | _BESIDE))
            raise InvalidArgumentError(f"unknown provider {provider!r}; known are {known}")
    elif not isinstance(value, Mapping):
        module = type(value).__module__.split(".")[0]
        provider = {"mistralai": "mistral", "langchain_core": "langchain"}.get(module, module)
    for shape in (_gemini, _bedrock, _cohere, _chat, _tokens):
        usage = shape(value, provider)
        if usage is not None:
            return checked(_iterated(value, usage, provider))
    raise InvalidArgumentError(
        f"no usage in {type(value).__name__}: it has none of prompt_tokens, input_tokens, "
        "inputTokens, prompt_token_count; pass input_tokens= and output_tokens=")


def checked(usage: Usage) -> Usage:
    """The same usage, or an error when a part is larger than its whole or below zero."""
    if not any(usage[1:4]) and not any(usage[5:]) and usage[0] >= 0 <= usage[4]:
        return usage  # no parts
    for part, whole in _PARTS:
        if getattr(usage, part) > getattr(usage, whole):
            raise InvalidArgumentError(
                f"{part} {getattr(usage, part)} is above {whole} {getattr(usage, whole)}: is the "
                "cache counted beside the input? Then name the provider")
    cached = usage.cache_read_input_tokens + usage.cache_write_input_tokens
    if cached > usage.input_tokens or min(usage) < 0:
        raise InvalidArgumentError(f"{cached} cached of {usage.input_tokens} input tokens: {usage}")
    return usage


def _field(value: Any, name: str) -> Any:
    if type(value) is dict:  # faster than the question below
        return value.get(name)
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _count(value: Any, *names: str) -> int:
    """The first of these fields that is set, else 0. Dots lead into parts."""
    for name in names:
        found = value
        if "." in name:
            for step in name.split("."):
                found = None if found is None else _field(found, step)
        else:
            found = _field(found, name)
        if found is None:
            continue
        if type(found) is int and found <= _TOKENS_MAX:
            return found
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, int) and not isinstance(found, bool) and found <= _TOKENS_MAX:
            return found
        shown = f"{found!r:.60}" if type(found) is not int else f"of {found.bit_length()} bits"
        raise InvalidArgumentError(f"{name} is {shown}, not a whole number of tokens")
    return 0


def _details(value: Any, *names: str) -> Sequence[Any]:
    """The first of these fields that is a list, else nothing."""
    for name in names:
        found = _field(value, name)
        if isinstance(found, (list, tuple)):
            return found
    return ()


def _has(value: Any, *names: str) -> bool:
    return any(_field(value, name) is not None for name in names)


def _gemini(value: Any, provider: Optional[str]) -> Optional[Usage]:
    """Google: thoughts are beside the candidates, tool prompts beside the prompt."""
    if not _has(value, "prompt_token_count", "promptTokenCount"):
        return None
    thoughts = _count(value, "thoughts_token_count", "thoughtsTokenCount")
    answers = ("candidates_token_count", "candidatesTokenCount", "response_token_count")
    tools = _count(value, "tool_use_prompt_token_count", "toolUsePromptTokenCount")
    prompt = ("prompt_tokens_details", "promptTokensDetails")
    cache = ("cache_tokens_details", "cacheTokensDetails")
    output = ("candidates_tokens_details", "candidatesTokensDetails")
    return Usage(
        input_tokens=_count(value, "prompt_token_count", "promptTokenCount") + tools,
        cache_read_input_tokens=_count(
            value, "cached_content_token_count", "cachedContentTokenCount"),
        output_tokens=_count(value, *answers) + thoughts,
        reasoning_output_tokens=thoughts,
        audio_input_tokens=_modality(value, prompt, "AUDIO"),
        cache_read_audio_input_tokens=_modality(value, cache, "AUDIO"),
        audio_output_tokens=_modality(value, output, "AUDIO"),
        image_input_tokens=_modality(value, prompt, "IMAGE"),
        image_output_tokens=_modality(value, output, "IMAGE"),
    )


def _modality(value: Any, names: Tuple[str, str], modality: str) -> int:
    total = 0
    for detail in _details(value, *names):
        if str(_field(detail, "modality")).upper().endswith(modality):
            total += _count(detail, "token_count", "tokenCount")
    return total


def _bedrock(value: Any, provider: Optional[str]) -> Optional[Usage]:
    """Amazon's Converse: the cache is beside the input."""
    if not _has(value, "inputTokens"):
        return None
    read = _count(value, "cacheReadInputTokens", "cacheReadInputTokenCount")
    write = _count(value, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    long = 0
    for detail in _details(value, "cacheDetails"):
        if _field(detail, "ttl") == "1h":
            long += _count(detail, "inputTokens")
    total = _count(value, "inputTokens") + read + write
    return Usage(total, read, write, long, output_tokens=_count(value, "outputTokens"))


def _cohere(value: Any, provider: Optional[str]) -> Optional[Usage]:
    """Cohere bills what `billed_units` says, not what `tokens` says; cached ones like others."""
    billed = _field(value, "billed_units")
    if billed is None and provider == "cohere":
        billed = _field(value, "tokens")
    if billed is None:
        return None
    images = _count(billed, "image_tokens")
    return Usage(
        input_tokens=_count(billed, "input_tokens") + images, image_input_tokens=images,
        output_tokens=_count(billed, "output_tokens"))  # fmt: skip


def _chat(value: Any, provider: Optional[str]) -> Optional[Usage]:
    """OpenAI's chat completions, and all who speak it: Mistral, DeepSeek, xAI, LiteLLM, …"""
    if not _has(value, "prompt_tokens"):
        return None
    details = _field(value, "prompt_tokens_details") or {}
    made = _field(value, "completion_tokens_details") or {}
    total = _count(value, "prompt_tokens")
    read = _count(details, "cached_tokens") or _count(
        value, "prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens")
    write = _count(details, "cache_write_tokens", "cache_creation_tokens")
    named = _count(value, "cache_read_input_tokens"), _count(value, "cache_creation_input_tokens")
    if any(named) and named != (read, write):  # the details say nothing about these
        read, write = named
        total += 0 if _inside(value, provider, total) else read + write
    else:
        write = min(write, max(0, total - read))  # OpenAI's count of writes is "unadjusted"
    long = write and _count(details, "cache_creation_token_details.ephemeral_1h_input_tokens")
    output, reasoning = _reasoned(
        _count(value, "completion_tokens"),
        _count(made, "reasoning_tokens") or _count(value, "reasoning_tokens"),
        _count(value, "total_tokens") - total, not (read or write))  # fmt: skip
    return Usage(
        input_tokens=total,
        cache_read_input_tokens=read,
        cache_write_input_tokens=write,
        cache_write_1h_input_tokens=min(long, write),
        output_tokens=output,
        reasoning_output_tokens=reasoning,
        audio_input_tokens=_count(details, "audio_tokens"),
        audio_output_tokens=_count(made, "audio_tokens"),
        image_input_tokens=_count(details, "image_tokens"),
        image_output_tokens=_count(made, "image_tokens"),
    )


def _reasoned(output: int, reasoning: int, whole: int, plain: bool) -> Tuple[int, int]:
    """Output with its reasoning. Beside it where the total says so (xAI), or where it is larger
    (Perplexity); Google's chat completions leave it out of all but the total (`whole` is that
    without the input; `plain` that nothing else could explain the difference)."""
    beside = whole - output
    if reasoning and (beside == reasoning or reasoning > output):
        return output + reasoning, reasoning
    if not reasoning and plain and beside > 0:
        return whole, beside
    return output, reasoning


def _tokens(value: Any, provider: Optional[str]) -> Optional[Usage]:
    """input_tokens and output_tokens: Anthropic, OpenAI's responses, pydantic-ai, LangChain."""
    if not _has(value, "input_tokens"):
        return None
    total = _count(value, "input_tokens")
    read = _count(
        value, "input_tokens_details.cached_tokens", "input_token_details.cache_read",
        "cache_read_tokens", "cache_read_input_tokens")
    write = _count(
        value, "input_tokens_details.cache_write_tokens", "input_token_details.cache_creation",
        "cache_write_tokens", "cache_write_input_tokens", "cache_creation_input_tokens")
    long = _count(
        value, "cache_creation.ephemeral_1h_input_tokens", "cache_write_1h_input_tokens",
        "input_tokens_details.cache_write_tokens_details.ttl_12h_tokens")  # fmt: skip
    if _has(value, "cache_creation"):
        write = max(write, long)
    elif _has(value, "input_tokens_details"):
        write = min(write, max(0, total - read))
        long = min(long, write)
    told = ("input_tokens_details", "input_token_details", "cache_read_tokens",
            "cache_write_tokens", "cache_write_input_tokens")  # fmt: skip
    if read or write:
        if _has(value, "cache_creation"):
            total += read + write
        elif not _has(value, *told) and not _inside(value, provider, total):
            total += read + write
    return Usage(
        input_tokens=total,
        cache_read_input_tokens=read,
        cache_write_input_tokens=write,
        cache_write_1h_input_tokens=long,
        output_tokens=_count(value, "output_tokens"),
        reasoning_output_tokens=_count(
            value, "output_tokens_details.reasoning_tokens", "output_token_details.reasoning",
            "output_tokens_details.thinking_tokens", "reasoning_output_tokens",
            "details.reasoning_tokens"),
        audio_input_tokens=_count(value, "input_audio_tokens", "audio_input_tokens"),
        cache_read_audio_input_tokens=_count(value, "cache_audio_read_tokens"),
        audio_output_tokens=_count(value, "output_audio_tokens", "audio_output_tokens"),
    )  # fmt: skip


def _iterated(value: Any, usage: Usage, provider: Optional[str]) -> Usage:
    """Anthropic: all iterations but an advisor's, which is another model's. What was compacted, and
    what a hosted tool's turns read again, is billed but may be missing from the whole's counts."""
    found = _details(value, "iterations")
    if not found or _has(value, "prompt_tokens"):  # LiteLLM has added them up
        return usage
    parts = [part for part in found if _field(part, "type") != "advisor_message"]
    counts = [checked(_tokens(part, provider) or Usage()) for part in parts]
    total = Usage(*(sum(column) for column in zip(*counts)))
    more = total.input_tokens + total.output_tokens > usage.input_tokens + usage.output_tokens
    return total if more else usage


def _inside(value: Any, provider: Optional[str], total: int) -> bool:
    """Whether the cache is part of the input; an error when nothing tells."""
    if provider in _INSIDE or provider in _BESIDE:
        return provider in _INSIDE
    raise AmbiguousUsage(
        f"are the cached tokens inside or beside the {total} input tokens of {value!r}? Name the "
        'provider: settle(usage, provider="anthropic")')
