"""A provider of models on loopback: the test double that SDKs and frameworks run against.

    python Tests/integrations/provider.py

Prints its address and serves until its standard input ends. It speaks OpenAI's chat completions,
responses and embeddings, Anthropic's messages and Gemini's generateContent and embedContent as the
providers document them, streams included, turns down what they turn down, and keeps a bill of its
own. What it does is said in the path before the API's own, by words with commas; the API key is
the account:

    http://127.0.0.1:PORT/loop,parallel=5,slow=0.02/v1/chat/completions

    loop            calls tools of the request, always     parallel=N   so many at once
    turns=N         calls tools for N rounds, then text    call=a+b     of these tools only
    text            never calls a tool by itself           same         the same arguments each time
    out=N           tokens of text it wants to say (16)    piece=N      tokens of a streamed piece (4)
    slow=S          seconds before a piece or an answer    hang         never answers
    cut=N           drops the connection after N pieces (a whole answer: in its middle)
    429=K, 500=K    fails the first K attempts of a call   after=S      retry-after of a 429 (0.02)
    429every=K, 500every=K    fails every Kth request of an account
    cached=N, cachewrite=N, cachewrite1h=N, reasoning=N    tokens of the class
    nousage         leaves the usage out                   billed       bills what failed, too
    wrong=high|low|negative|text    reports a usage that cannot be

    GET  /bill?account=       {"dollars", "lines": [...]}: one line a request, double/bill.py
    GET  /inflight?account=   {"requests", "accounts"}: requests that have not ended
    POST /reset?account=      forgets lines and counts
"""

import itertools
import json
import os
import select
import socket
import sys
import threading
import time
from urllib.parse import parse_qs, unquote

from double import chat, gemini, messages, responses
from double.bill import Bill, Usage, known
from double.say import turn
from double.scenario import split
from double.wire import Bad, encode

FORMATS = [  # by the end of the path
    ("/chat/completions", chat),
    ("/responses", responses),
    ("/embeddings", chat.embeddings),
    ("/messages", messages),
    (":generateContent", gemini),
    (":streamGenerateContent", gemini),
    (":embedContent", gemini.embeddings),
    (":batchEmbedContents", gemini.embeddings),
]
INPUTS = ("messages", "input", "contents", "content", "requests")
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
           429: "Too Many Requests", 500: "Internal Server Error"}
END = b"0\r\n\r\n"
NOTHING = Usage(0, 0, 0, 0, 0, 0)


class Gone(Exception):
    """The client hung up."""


class Provider:
    def __init__(self):
        self.bill = Bill()
        self.numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._attempts = {}  # (account, input): attempts so far; guarded by the lock
        self._requests = {}  # account: requests so far; guarded by the lock

    def serve(self, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=Connection(self, connection).run, daemon=True).start()

    def fault(self, scenario, account, attempt, body):
        """The status that this attempt fails with, or None."""
        if not any(first or every for _, first, every in scenario.faults):
            return None
        with self._lock:
            count = self._requests[account] = self._requests.get(account, 0) + 1
            if attempt is None:
                key = account, hash(json.dumps([body.get(k) for k in INPUTS]))
                attempt = self._attempts.get(key, 0)
                self._attempts[key] = attempt + 1
        for status, first, every in scenario.faults:
            if attempt < first or every and count % every == 0:
                return status
            attempt -= first
        return None

    def reset(self, account):
        self.bill.reset(account)
        with self._lock:
            for key in [k for k in self._attempts if account in (None, k[0])]:
                del self._attempts[key]
            for key in [k for k in self._requests if account in (None, k)]:
                del self._requests[key]


class Connection:
    """One client's connection; everything here happens in its thread."""

    def __init__(self, provider, socket_):
        self.provider = provider
        self.socket = socket_
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.poll = select.poll()
        self.poll.register(socket_, select.POLLIN)
        self.read = b""  # bytes of the next request

    def run(self):
        try:
            while self.one():
                pass
        except (Gone, OSError):
            pass
        finally:
            self.socket.close()

    # MARK: - HTTP

    def receive(self):
        data = self.socket.recv(262144)
        if not data:
            raise Gone
        self.read += data

    def head(self):
        while b"\r\n\r\n" not in self.read:
            self.receive()
        head, _, self.read = self.read.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("expect"):
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return method, target, headers

    def body(self, headers):
        if "chunked" not in headers.get("transfer-encoding", ""):
            return self.take(int(headers.get("content-length", 0)))
        parts = []
        while True:
            while b"\r\n" not in self.read:
                self.receive()
            size, _, self.read = self.read.partition(b"\r\n")
            parts.append(self.take(int(size.split(b";")[0], 16) + 2)[:-2])
            if not parts[-1]:
                return b"".join(parts)

    def take(self, size):
        if len(self.read) < size:
            parts, have = [self.read], len(self.read)
            while have < size:
                parts.append(self.socket.recv(min(size - have, 1 << 20)))
                if not parts[-1]:
                    raise Gone
                have += len(parts[-1])
            self.read = b"".join(parts)
        data, self.read = self.read[:size], self.read[size:]
        return data

    def send(self, status, value, headers="", half=False):
        data = encode(value)
        head = (f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(data)}\r\n{headers}\r\n").encode()
        self.socket.sendall(head + (data[: len(data) // 2] if half else data))

    def wait(self, seconds):
        """Waits; raises Gone as soon as the client hangs up. None: until it does."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if until is None else max(0, until - time.monotonic()) * 1000
            if not self.poll.poll(left):
                return
            try:
                if not self.socket.recv(1, socket.MSG_PEEK):
                    raise Gone
            except ConnectionError:
                raise Gone from None
            if until is not None:  # the client sends ahead
                time.sleep(max(0, until - time.monotonic()))
                return
            time.sleep(0.01)

    # MARK: - Requests

    def one(self):
        """Answers one request; returns whether the connection stays."""
        method, target, headers = self.head()
        body = self.body(headers)
        path, _, query = target.partition("?")
        if path in ("/bill", "/inflight", "/reset"):
            self.control(path, query)
            return True
        account = (headers.get("authorization", "").removeprefix("Bearer ") or headers.get("x-api-key")
                   or headers.get("x-goog-api-key") or parse_qs(query).get("key", [""])[0])
        request = Request(self, account, headers)
        self.provider.bill.began(account)
        try:
            stays = request.answer(method, path, query, body)
        finally:
            self.provider.bill.began(account, -1)
        return stays and headers.get("connection", "").lower() != "close"

    def control(self, path, query):
        account = parse_qs(query, keep_blank_values=True).get("account", [None])[0]
        if path == "/reset":
            self.provider.reset(account)
        read = self.provider.bill.inflight if path == "/inflight" else self.provider.bill.read
        self.send(200, read(account))


class Request:
    """One attempt at a priced path."""

    def __init__(self, connection, account, headers):
        self.connection = connection
        self.provider = connection.provider
        self.number = next(self.provider.numbers)
        attempt = headers.get("x-stainless-retry-count", "")
        self.attempt = int(attempt) if attempt.isdecimal() else None
        self.line = {
            "number": self.number, "time": time.time(), "account": account, "path": "", "model": "",
            "status": 200, "ended": "complete", "attempt": self.attempt,
            "idempotency_key": headers.get("idempotency-key"),
        }

    def answer(self, method, path, query, body):
        """Answers; returns whether the connection stays."""
        path = unquote(path)
        format = next((f for end, f in FORMATS if path.endswith(end)), None)
        try:
            if format is None or method != "POST":
                format = chat
                raise Bad(f"Unknown request URL: {method} {path}", "unknown_url", 404)
            if not self.line["account"]:
                raise Bad("You didn't provide an API key.", "invalid_api_key", 401)
            self.understand(format, path, query, body)
        except Bad as bad:
            self.line.update(path=path, status=bad.status, ended="error", error=str(bad))
            self.provider.bill.add(self.line, NOTHING, billed=False)
            return self.fail(format, bad.status, str(bad), bad.code)
        scenario = self.scenario
        status = self.provider.fault(scenario, self.line["account"], self.attempt, self.said)
        if scenario.hang:
            self.line["ended"] = "hung up"
            return self.hang()
        if status is not None:
            self.line.update(status=status, ended="error")
            self.charge(self.total, scenario.billed)
            message = "Rate limit reached, try again" if status == 429 else "The server had an error"
            code = "rate_limit_exceeded" if status == 429 else None
            return self.fail(format, status, message, code)
        return self.stream(format) if self.asked.stream else self.whole(format)

    def understand(self, format, path, query, body):
        """Reads the request; raises Bad for what the real provider turns down."""
        try:
            self.scenario, path = split(path)
            self.said = json.loads(body)
            asked = self.asked = format.read(self.said, path, query)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise Bad(f"The request could not be read: {error!r}") from error
        priced_as = known(asked.model)
        if priced_as is None:
            raise Bad(f"The model `{asked.model}` does not exist", "model_not_found", 404)
        self.turns = [turn(self.scenario, asked, self.number, i) for i in range(asked.choices)]
        if asked.limit == 0:  # embeddings
            self.turns = []
        self.total = sum(t.tokens for t in self.turns)
        self.line.update(
            path=path, model=asked.model, priced_as=priced_as, stream=asked.stream, limit=asked.limit or None,
            choices=asked.choices, scenario=self.scenario.words, rounds=asked.rounds, input_bytes=len(body),
            calls=sum(p.kind == "call" for t in self.turns for p in t.parts),
            usage_asked=asked.more.get("with_usage"),
        )

    # MARK: - Tokens

    def usage(self, output):
        """What is owed when `output` tokens were generated."""
        asked, scenario = self.asked, self.scenario
        cached = min(scenario.cached, asked.input_tokens)
        write = min(scenario.write, asked.input_tokens - cached)
        write_1h = min(scenario.write_1h, asked.input_tokens - cached - write)
        reasoning, left = 0, output
        for each in self.turns:
            reasoning += min(each.reasoning, left)
            left = max(0, left - each.tokens)
        return Usage(asked.input_tokens, cached, write, write_1h, output, reasoning)

    def reported(self):
        """What the answer says was used; None to leave it out."""
        usage, wrong = self.usage(self.total), self.scenario.wrong
        if self.scenario.nousage:
            return None
        if wrong == "high":
            return usage._replace(output=usage.output * 1000 + 1000, cached=usage.input * 2)
        if wrong == "low":
            return NOTHING
        if wrong == "negative":
            return usage._replace(input=-usage.input, output=-usage.output)
        if wrong == "text":
            return usage._replace(input="many", output="few")
        return usage

    def charge(self, output, billed=True):
        return self.provider.bill.add(self.line, self.usage(output) if billed else NOTHING, billed)

    # MARK: - Answers

    def fail(self, format, status, message, code):
        after = self.scenario.after if status == 429 else 0
        headers = f"x-request-id: req_{self.number}\r\n"
        if status == 429:
            headers += f"retry-after-ms: {after * 1000:g}\r\nretry-after: {after:g}\r\n"
        self.connection.send(status, format.fault(status, message, code, after), headers)
        return True

    def hang(self):
        try:
            self.connection.wait(None)
        finally:
            self.charge(self.total, self.scenario.billed)

    def whole(self, format):
        cut = self.scenario.cut is not None
        try:
            if self.scenario.slow:
                self.connection.wait(self.scenario.slow)
        except Gone:
            self.line["ended"] = "hung up"
            self.charge(self.total)  # it was generated all the same
            raise
        if cut:
            self.line["ended"] = "cut"
        value = format.answer(self.asked, self.turns, self.reported(), self.number)
        self.charge(self.total)
        self.connection.send(200, value, f"x-request-id: req_{self.number}\r\n", half=cut)
        return not cut

    def stream(self, format):
        scenario, connection, total = self.scenario, self.connection, self.total
        kind = "application/json" if self.asked.more.get("array") else "text/event-stream"
        head = (f"HTTP/1.1 200 OK\r\ncontent-type: {kind}; charset=utf-8\r\n"
                f"x-request-id: req_{self.number}\r\ntransfer-encoding: chunked\r\n\r\n").encode()
        sent = shown = 0  # tokens that were generated, pieces that were sent
        line = None
        ended = "hung up"
        try:
            connection.socket.sendall(head)
            frames = list(format.events(self.asked, self.turns, self.reported(), self.number, scenario.piece))
            for data, upto in frames:
                piece = upto > sent
                if piece and data and shown == scenario.cut:
                    ended = "cut"
                    return False
                connection.wait(scenario.slow if piece else 0)
                if upto == total and line is None:  # all of it is said: billed before the client sees it
                    line = self.charge(total)
                if data:
                    connection.socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))
                    shown += piece
                sent = upto
            connection.socket.sendall(END)
            return True
        except OSError:
            raise Gone from None
        finally:
            if line is None:
                self.line["ended"] = ended
                self.charge(sent)


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    threading.Thread(target=Provider().serve, args=(listener,), daemon=True).start()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    sys.stdin.read()
    sys.stdout.flush()
    os._exit(0)  # threads may be in the middle of an answer


if __name__ == "__main__":
    main()
