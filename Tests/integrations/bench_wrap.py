"""What metering adds to a call: OpenAI's SDK, bare and wrapped, on one stub.

The stub is a process that answers at once with the same bytes. Calls alternate in one process, so
that all see the same machine; medians of both and their difference are printed, and beside them
what two bare clients differ by. `make bench-wrap`, or: bench_wrap.py [CALLS]
"""

import asyncio
import itertools
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
import warnings

ANSWER = json.dumps({
    "id": "c", "object": "chat.completion", "created": 1, "model": "big",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "content": "word " * 60}}],
    "usage": {"prompt_tokens": 120, "completion_tokens": 60, "total_tokens": 180},
}).encode()  # fmt: skip
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "big"}
CHUNKS = 20
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant. " * 8},
    {"role": "user", "content": "hello there, how are you? " * 10},
]


def streamed():
    parts = [{**CHUNK, "choices": [{"index": 0, "delta": {"content": "word "},
                                    "finish_reason": None}]}] * CHUNKS  # fmt: skip
    parts.append({**CHUNK, "choices": [], "usage": {
        "prompt_tokens": 120, "completion_tokens": CHUNKS, "total_tokens": 120 + CHUNKS}})
    return b"".join(b"data: " + json.dumps(p).encode() + b"\n\n" for p in parts) + (
        b"data: [DONE]\n\n")


def head(kind, body):
    return (f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode() + body  # fmt: skip


def serve():
    whole, events = head("application/json", ANSWER), head("text/event-stream", streamed())

    def answer(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        held = b""
        while True:
            while b"\r\n\r\n" not in held:
                data = connection.recv(65_536)
                if not data:
                    return
                held += data
            headers, _, held = held.partition(b"\r\n\r\n")
            left = next(int(line[15:]) for line in headers.lower().split(b"\r\n")
                        if line.startswith(b"content-length:"))  # fmt: skip
            while len(held) < left:
                held += connection.recv(65_536)
            body, held = held[:left], held[left:]
            connection.sendall(events if b'"stream":true' in body else whole)

    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def alternate(calls):
    """(bare, bare, wrapped) as often as said; their order changes, since each call warms or cools
    what the next one finds."""
    orders = list(itertools.permutations(range(3)))
    return itertools.islice(itertools.cycle(orders), calls)


def row(label, times):
    """Medians in microseconds of calls that alternated."""
    bare, again, wrapped = (statistics.median(column) / 1e3 for column in zip(*times))
    plain = statistics.median(t for one, other, _ in times for t in (one, other)) / 1e3
    added = statistics.median(w - (b + a) / 2 for b, a, w in times) / 1e3
    print(f"{label:<26} bare {plain:7.1f} us   wrapped {wrapped:7.1f} us   difference "
          f"{wrapped - plain:5.1f} us, median of each call's {added:5.1f} us "
          f"(bare beside bare: {abs(bare - again):.1f} us)")  # fmt: skip


def measure(url, calls):
    import bursar
    import openai

    warnings.simplefilter("ignore")
    runtime = bursar.open()
    runtime.price("big", input="$1/M", output="$10/M")
    session = runtime.session("bench", "$100000, 100000000 steps")
    options = {"base_url": url, "api_key": "k"}
    cases = {
        "a call": {"max_tokens": 50},
        "a call that names no limit": {},
        f"a stream of {CHUNKS} chunks": {"max_tokens": 50, "stream": True},
    }
    print(f"openai {openai.__version__}, Python {sys.version.split()[0]}, {calls} calls each")
    clients = [openai.OpenAI(**options), openai.OpenAI(**options),
               session.wrap(openai.OpenAI(**options))]  # fmt: skip
    for label, more in cases.items():
        ask = {"model": "big", "messages": MESSAGES, **more}

        def once(client):
            start = time.perf_counter_ns()
            answer = client.chat.completions.create(**ask)
            if "stream" in ask:
                for _ in answer:
                    pass
            return time.perf_counter_ns() - start

        times = []
        for order in alternate(calls + 60):
            times.append([0, 0, 0])
            for which in order:
                times[-1][which] = once(clients[which])
        row(label, times[60:])

    async def asynchronous():
        clients = [openai.AsyncOpenAI(**options), openai.AsyncOpenAI(**options),
                   session.wrap(openai.AsyncOpenAI(**options))]  # fmt: skip

        async def once(client):
            start = time.perf_counter_ns()
            await client.chat.completions.create(model="big", messages=MESSAGES, max_tokens=50)
            return time.perf_counter_ns() - start

        times = []
        for order in alternate(calls + 60):
            times.append([0, 0, 0])
            for which in order:
                times[-1][which] = await once(clients[which])
        row("an async call", times[60:])
        for client in clients:
            await client.close()

    asyncio.run(asynchronous())
    session.close()
    runtime.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())
        measure(f"http://127.0.0.1:{port}/v1", int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
    finally:
        server.terminate()
        server.wait()
