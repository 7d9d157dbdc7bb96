"""LangChain's models and messages, as the middleware and the callback read them."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from ..turn import Turn
from ..usage import Usage
from .common import Passage

# Packages whose models ask by httpx or aiohttp at the paths that are metered there; their classes.
_OVER_HTTP = {
    "langchain_openai", "langchain_anthropic", "langchain_google_genai", "langchain_mistralai",
    "langchain_deepseek", "langchain_xai", "langchain_groq", "langchain_cohere",
    "langchain_together", "langchain_fireworks", "langchain_perplexity", "langchain_litellm",
}  # fmt: skip
_CLASSES = {
    "ChatOpenAI", "AzureChatOpenAI", "OpenAI", "AzureOpenAI", "ChatAnthropic",
    "ChatGoogleGenerativeAI", "ChatMistralAI", "ChatDeepSeek", "ChatXAI", "ChatGroq",
    "ChatCohere", "ChatTogether", "ChatFireworks", "ChatPerplexity", "ChatLiteLLM",
}  # fmt: skip


class Model:
    """A chat model, under whatever is bound around it, and what a call says besides."""

    def __init__(self, model: Any, settings: Mapping[str, Any], name: str = "") -> None:
        said = dict(settings)
        for _ in range(8):  # bind(), with_retry(), with_fallbacks() stand around it
            inner = getattr(model, "bound", None) or getattr(model, "runnable", None)
            if inner is None:
                break
            said = {**getattr(model, "kwargs", {}), **said}
            model = inner
        self.kind = type(model)
        names = ("model", "model_name", "model_id", "deployment_name")
        found = (said.get("model"), *(getattr(model, each, None) for each in names))
        self.name = next((each for each in found if isinstance(each, str) and each), name)
        limits = ("max_tokens", "max_completion_tokens", "max_output_tokens")
        own = (getattr(model, each, None) for each in limits)
        most = (*(said.get(each) for each in limits), *own)
        self.max_output_tokens = next((n for n in most if type(n) is int and n > 0), None)
        packages = {base.__module__.partition(".")[0] for base in self.kind.__mro__}
        is_late = self.kind.__name__ == "_ConfigurableModel"  # init_chat_model() without a model
        self.over_http = is_late or bool(packages & _OVER_HTTP)

    def granted(self, request: Any, turn: Turn) -> Any:
        """The request with the output limit that was granted, where nobody below writes it."""
        if isinstance(turn, Passage) or turn.max_output_tokens == self.max_output_tokens:
            return request
        settings = {**request.model_settings, "max_tokens": turn.max_output_tokens}
        return request.override(model_settings=settings)

    def input(self, messages: Iterable[Any], tools: Sequence[Any] = ()) -> List[Any]:
        """What is sent, for an estimate of its size."""
        from langchain_core.utils.function_calling import convert_to_openai_tool

        return [*map(plain, messages), *(convert_to_openai_tool(tool) for tool in tools)]


def is_over_http(serialized: Mapping[str, Any]) -> bool:
    """The same of a model that only its description is known of."""
    return str((serialized.get("id") or [""])[-1]) in _CLASSES


def plain(message: Any) -> Dict[str, Any]:
    """A message without what LangChain keeps with it."""
    said = {"role": message.type, "content": message.content}
    calls = getattr(message, "tool_calls", None)
    return {**said, "calls": [(c["name"], c["args"]) for c in calls]} if calls else said


def is_cached(message: Any) -> bool:
    """It came out of LangChain's own cache: nobody was asked."""
    used = getattr(message, "usage_metadata", None)
    return used is not None and used.get("total_cost") == 0


def usage_in(messages: Iterable[Any]) -> Optional[Usage]:
    """What messages of a model say that they used, together; None: one of them says nothing."""
    total: Optional[Usage] = None
    for message in messages:
        used = getattr(message, "usage_metadata", None)
        if not used:
            return None
        usage = _usage(used)
        total = usage if total is None else Usage(*map(sum, zip(total, usage)))
    return total


def _usage(used: Mapping[str, Any]) -> Usage:
    """LangChain's standard: details are inside the counts; Anthropic's kinds of writes beside."""
    into, out = used.get("input_token_details") or {}, used.get("output_token_details") or {}

    def count(of: Mapping[str, Any], name: str) -> int:
        return int(of.get(name) or 0)

    long = count(into, "ephemeral_1h_input_tokens")
    write = max(count(into, "cache_creation"), long + count(into, "ephemeral_5m_input_tokens"))
    return Usage(
        input_tokens=count(used, "input_tokens"),
        cache_read_input_tokens=count(into, "cache_read"),
        cache_write_input_tokens=write,
        cache_write_1h_input_tokens=long,
        output_tokens=count(used, "output_tokens"),
        reasoning_output_tokens=count(out, "reasoning"),
        audio_input_tokens=count(into, "audio"),
        audio_output_tokens=count(out, "audio"),
    )
