"""The table: which requests are priced, by the end of their path, and what speaks for each."""

from __future__ import annotations

import functools
from typing import Dict, Optional, Tuple

from .dialect import Dialect
from .dialects_anthropic import Messages, VertexMessages
from .dialects_cohere import CohereChat, CohereEmbed
from .dialects_google import Embed, Generate
from .dialects_openai import Chat, Compact, Completions, Embeddings, Fim, Responses

_CHAT, _MESSAGES, _VERTEX, _GENERATE, _EMBED = (
    Chat(), Messages(), VertexMessages(), Generate(), Embed())  # fmt: skip

# By the last part of the path: what it must end with, first match wins. Any host, any prefix.
_BY_NAME: Dict[str, Tuple[Tuple[str, Dialect], ...]] = {
    "completions": (
        ("/chat/completions", _CHAT),
        ("/fim/completions", Fim()),
        ("/completions", Completions()),
    ),
    "responses": (("/responses", Responses()),),
    "compact": (("/responses/compact", Compact()),),
    "embeddings": (("/embeddings", Embeddings()),),
    "messages": (("/v1/messages", _MESSAGES), ("/anthropic/messages", _MESSAGES)),
    "chat": (("/v2/chat", CohereChat()),),
    "embed": (("/v2/embed", CohereEmbed()),),
}
# By the verb after the last colon: what the path must have in it.
_BY_VERB: Dict[str, Tuple[str, Dialect]] = {
    "generateContent": ("/", _GENERATE),
    "streamGenerateContent": ("/", _GENERATE),
    "embedContent": ("/", _EMBED),
    "batchEmbedContents": ("/", _EMBED),
    "rawPredict": ("/publishers/anthropic/", _VERTEX),
    "streamRawPredict": ("/publishers/anthropic/", _VERTEX),
    "predict": ("embedding", _EMBED),
}
# What costs money although no dialect meters it; the hosts on which a common word means that.
_UNMETERED: Tuple[Tuple[str, str], ...] = (
    ("/images/generations", "images"), ("/images/edits", "images"),
    ("/images/variations", "images"), ("/audio/speech", "audio"),
    ("/audio/transcriptions", "audio"), ("/audio/translations", "audio"),
    ("/messages/batches", "batches"), (":batchGenerateContent", "batches"),
    (":asyncBatchEmbedContent", "batches"), (":predictLongRunning", "video"),
    ("/agents/completions", "agents"), ("/realtime/client_secrets", "realtime"),
    ("/realtime/calls", "realtime"), ("/realtime/sessions", "realtime"),
    ("/live/sessions", "realtime"),
)  # fmt: skip
_HOSTS = ("openai.", "anthropic.", "googleapis.", "mistral.ai", "cohere.", "bedrock-runtime.")
_UNMETERED_THERE: Tuple[Tuple[str, str], ...] = (
    ("/batches", "batches"), ("/batch/jobs", "batches"), ("/videos", "video"),
    ("/fine_tuning/jobs", "fine-tuning"), ("/rerank", "rerank"), ("/ocr", "documents"),
    ("/remix", "video"), ("/videos/edits", "video"), ("/videos/extensions", "video"),
    ("/interactions", "interactions"), ("/decisions", "decisions"), ("/live/sessions", "realtime"),
    ("/events", "agents"), ("/invocations", "agents"), ("/dreams", "agents"),
    ("/runs", "assistants"), ("/v1/complete", "completions before messages"),
    ("/v1/chat", "chat before v2"), ("/v1/embed", "embeddings before v2"),
    ("/v1/generate", "completions before chat"),
    ("/conversations", "agents"), (":predict", "predictions"), ("/converse", "Bedrock"),
    ("/converse-stream", "Bedrock"), ("/invoke", "Bedrock"),
    ("/invoke-with-response-stream", "Bedrock"),
)  # fmt: skip


@functools.lru_cache(maxsize=256)
def dialect_of(method: str, path: str) -> Optional[Dialect]:
    """The dialect of a priced request, or None. `path` may have a query; any host, any prefix."""
    if method != "POST" and method.upper() != "POST":
        return None
    path = path.partition("?")[0].rstrip("/")
    name = path.rpartition("/")[2]
    for end, dialect in _BY_NAME.get(name, ()):
        if path.endswith(end) and not path.endswith("/agents/completions"):
            return dialect
    if ":" in name:
        inside, dialect = _BY_VERB.get(name.rpartition(":")[2], ("\n", _GENERATE))
        return dialect if inside in path else None
    return None


def unmetered(method: str, path: str, host: str = "") -> str:
    """What a request costs money for although no dialect meters it ("images", "batches", …),
    or ""."""
    path, method = path.partition("?")[0].rstrip("/"), method.upper()
    if method == "GET":
        return "realtime" if path.endswith("/realtime") else ""
    if method != "POST" or dialect_of(method, path) is not None:
        return ""
    known = any(part in host for part in _HOSTS)
    for end, what in _UNMETERED + (_UNMETERED_THERE if known else ()):
        if path.endswith(end) and not (end == "/conversations" and "openai." in host):
            return what
    return ""
