"""A server on the loopback that speaks OpenAI's HTTP as far as the tests need, and keeps count.

`plan` says what to do with the next requests, in order; without a plan it answers. Every request
is kept in `requests`, every answer that is billed in `billed` as (model, input, output).
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INPUT, OUTPUT = 20, 5


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stub = self.server.stub
        stub.requests.append((self.path, body))
        step = stub.plan.pop(0) if stub.plan else {}
        if step.get("drop"):
            self.close_connection = True
            self.connection.close()
            return
        if "status" in step:
            self.answer({"error": {"message": "planned"}}, step["status"], step.get("headers", {}))
            return
        output = min(step.get("output", OUTPUT), self.limit(body))
        if self.path.endswith("/embeddings"):
            output = 0
        stub.billed.append((body["model"], INPUT, output))
        if body.get("stream"):
            self.stream(body, step, output)
        elif self.path.endswith("/responses"):
            self.answer(response(body["model"], output))
        elif self.path.endswith("/embeddings"):
            self.answer({"object": "list", "model": body["model"], "data": [
                {"object": "embedding", "index": 0, "embedding": [0.0]}],
                "usage": {"prompt_tokens": INPUT, "total_tokens": INPUT}})
        else:
            answer = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"],
                      "choices": [{"index": 0, "finish_reason": "stop", "message": {
                          "role": "assistant", "content": "word " * output}}],
                      "usage": usage(output)}
            if step.get("no_usage"):
                del answer["usage"]
            self.answer(answer)

    def limit(self, body):
        for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
            if name in body:
                return body[name]
        return 1 << 30

    def answer(self, value, status=200, headers=()):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in dict(headers).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def stream(self, body, step, output):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        responses = self.path.endswith("/responses")
        try:
            for number in range(output):
                if step.get("cut") == number:
                    return
                time.sleep(step.get("pause", 0))
                self.event(
                    {"type": "response.output_text.delta", "delta": "word ", "content_index": 0,
                     "item_id": "i", "output_index": 0, "sequence_number": number, "logprobs": []}
                    if responses else chunk(body["model"], [{"index": 0, "delta": {
                        "content": "word "}, "finish_reason": None}]))
            if responses:
                self.event({"type": "response.completed", "sequence_number": output,
                            "response": response(body["model"], output)})
            elif (body.get("stream_options") or {}).get("include_usage"):
                self.event({**chunk(body["model"], []), "usage": usage(output)})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.stub.cut.set()

    def event(self, value):
        kind = f"event: {value['type']}\n" if "type" in value else ""
        self.wfile.write(f"{kind}data: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()


def usage(output):
    return {"prompt_tokens": INPUT, "completion_tokens": output, "total_tokens": INPUT + output,
            "prompt_tokens_details": {"cached_tokens": 0}}


def chunk(model, choices):
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": choices}


def response(model, output):
    return {"id": "r", "object": "response", "created_at": 1, "model": model, "status": "completed",
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "output": [
                {"type": "message", "id": "m", "role": "assistant", "status": "completed",
                 "content": [{"type": "output_text", "text": "word", "annotations": []}]}],
            "usage": {"input_tokens": INPUT, "output_tokens": output,
                      "total_tokens": INPUT + output, "input_tokens_details": {
                          "cached_tokens": 0, "cache_write_tokens": 0},
                      "output_tokens_details": {"reasoning_tokens": 0}}}


class Stub:
    """The server in a thread of its own; `url` is its base."""

    def __init__(self):
        self.plan, self.requests, self.billed, self.cut = [], [], [], threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.stub = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
