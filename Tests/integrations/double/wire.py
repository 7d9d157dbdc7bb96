"""What all wire formats share: events on the wire and errors in each provider's own form."""

import json

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Bad(Exception):
    """A request that the real provider turns down."""

    def __init__(self, message, code="invalid_request_error", status=400):
        super().__init__(message)
        self.code = code
        self.status = status


class Gone(Exception):
    """The client hung up."""


def encode(value):
    return _encode(value).encode("utf-8", "surrogatepass")


def sse(value, event=None):
    """One server-sent event."""
    if event is None:
        return b"data: " + encode(value) + b"\n\n"
    return b"event: " + event.encode() + b"\ndata: " + encode(value) + b"\n\n"


def padded(number):
    """The field by which OpenAI hides the length of a delta."""
    return {"obfuscation": "uXj4pQ2kLm9wRt"[: number * 7 % 15]}


def fault_openai(status, message, code, after):
    kind = {429: "requests", 500: "server_error"}.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def fault_anthropic(status, message, code, after):
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error",
             429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}
    return {"type": "error", "error": {"type": kinds[status], "message": message},
            "request_id": "req_double"}


def fault_gemini(status, message, code, after):
    names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND",
             429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}
    error = {"code": status, "message": message, "status": names[status]}
    if status == 429:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{after}s"}]
    return {"error": error}
