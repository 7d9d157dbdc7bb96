"""A provider of models on loopback: the test double that SDKs and frameworks run against.

    python Tests/integrations/provider.py [CERTIFICATE]

Prints its address and serves until its standard input ends; with a certificate (PEM, its key in
it) over TLS. It speaks OpenAI's chat completions, responses and embeddings, Anthropic's messages
and Gemini's generateContent and embedContent as the providers document them, streams included,
turns down what they turn down, and keeps a bill of its own. What it does is said in the path before
the API's own, by words with commas; the API key is the account:

    http://127.0.0.1:PORT/loop,parallel=5,slow=0.02/v1/chat/completions

    loop            calls tools of the request, always     parallel=N   so many at once
    turns=N         calls tools for N rounds, then text    call=a+b     of these tools only
    text            never calls a tool by itself           same         the same arguments each time
    out=N           tokens of text it wants to say (16)    piece=N      tokens of a streamed piece (4)
    slow=S          seconds before a piece or an answer    hang         never answers
    cut=N           drops the connection after N pieces (a whole answer: in its middle)
    fail=N          ends a stream after N pieces with an error event
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
import ssl
import sys
import threading
import time
from urllib.parse import parse_qs

from double.bill import Bill
from double.request import Request
from double.wire import Gone, encode

INPUTS = ("messages", "input", "contents", "content", "requests")
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
           429: "Too Many Requests", 500: "Internal Server Error"}


class Provider:
    def __init__(self, certificate=None):
        self.tls = None
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate)
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
        self.tls = provider.tls
        if self.tls is not None:
            self.socket = self.tls.wrap_socket(
                socket_, server_side=True, do_handshake_on_connect=False)
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLIN)
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
                if self.tls or not self.socket.recv(1, socket.MSG_PEEK):  # TLS cannot peek
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
        account = headers.get("authorization", "").removeprefix("Bearer ") or next(
            (headers[n] for n in ("x-api-key", "api-key", "x-goog-api-key") if headers.get(n)),
            parse_qs(query).get("key", [""])[0])
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


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    provider = Provider(*sys.argv[1:])
    threading.Thread(target=provider.serve, args=(listener,), daemon=True).start()
    kind = "https" if provider.tls else "http"
    print(f"{kind}://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    sys.stdin.read()
    sys.stdout.flush()
    os._exit(0)  # threads may be in the middle of an answer


if __name__ == "__main__":
    main()
