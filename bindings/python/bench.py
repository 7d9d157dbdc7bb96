"""Reserve + settle from Python, beside an empty ctypes call: one line per case.

    BURSAR_LIBRARY=build/lib/libbursar.so PYTHONPATH=bindings/python/src \
        python3 bindings/python/bench.py

A line is: name, threads, operations per second, and nanoseconds per operation as the least and
the median of rounds of 2,000. An operation is one reserve and one settle, priced.
"""

import json
import platform
import statistics
import sys
import threading
import time

import bursar
from bursar import Usage, _abi
from bursar.wire import dialect_of
from bursar.wire import packed as dumps

REQUEST = {"model": "gpt-4o", "max_tokens": 500, "temperature": 0.2, "messages": [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Hello there, how are you?"}]}  # fmt: skip
ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
          "choices": [{"index": 0, "finish_reason": "stop", "message": {
              "role": "assistant", "content": "word " * 20}}],
          "usage": {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40,
                    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                    "completion_tokens_details": {
                        "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                        "rejected_prediction_tokens": 0}}}  # fmt: skip
ROUND, ROUNDS = 2_000, 60


def measure(work, threads=1):
    """Nanoseconds per operation of each round of each thread, and operations per second."""
    times, gate = [], threading.Barrier(threads + 1)

    def run():
        work(ROUND)  # warm
        gate.wait()
        for _ in range(ROUNDS):
            start = time.perf_counter_ns()
            work(ROUND)
            times.append((time.perf_counter_ns() - start) / ROUND)
        gate.wait()

    started = [threading.Thread(target=run) for _ in range(threads)]
    for thread in started:
        thread.start()
    gate.wait()
    start = time.perf_counter()
    gate.wait()
    seconds = time.perf_counter() - start
    for thread in started:
        thread.join()
    return times, threads * ROUND * ROUNDS / seconds


def report(name, work, threads=1):
    times, rate = measure(work, threads)
    least, median = min(times), statistics.median(times)
    print(f"{name:<34} {threads:>2} {rate:>12,.0f} {least:>8.0f} {median:>8.0f}", flush=True)


def loop(body):
    def work(count):
        for _ in range(count):
            body()
    return work


def pair(s):
    def body():
        d = s.reserve("gpt-4o", input_tokens=1200, max_output_tokens=1024, min_output_tokens=64)
        s.settle(d.reservation, input_tokens=1200, output_tokens=300, cache_read_input_tokens=800)
    return body


def main():
    print(f"# {platform.python_implementation()} {platform.python_version()} on "
          f"{platform.machine()}, {_abi.library().path}")
    print(f"{'# name':<34} thr {'per second':>11} {'ns least':>8} {'median':>8}")
    empty = _abi.library().call.bursar_version_number
    report("empty ctypes call", loop(empty))
    report("empty ctypes call, GIL kept", loop(_abi.library().hot.bursar_version_number))
    for levels in range(1, 9):
        with bursar.open() as rt:
            path = "/".join(f"l{n}" for n in range(levels))
            rt.budget(path, "$1000000")
            with rt.session(path) as s:
                report(f"reserve + settle, {levels} and a session", loop(pair(s)))
    with bursar.open() as rt:
        rt.budget("acme/support/triage", "$1000000", "100B tokens/day")
        with rt.session("acme/support/triage", "$1000000") as s:
            report("reserve + settle, one session", loop(pair(s)), 1)
            report("reserve + settle, one session", loop(pair(s)), 2)
            used, held = Usage(1200, 800, output_tokens=300), [s.reserve("gpt-4o", input_tokens=1)]

            def chain():
                _, held[0] = s.settle_and_reserve(
                    held[0], used, "gpt-4o", input_tokens=1200, max_output_tokens=1024)

            report("settle_and_reserve", loop(chain))
            s.release(held[0])

            def step():
                with s.step("gpt-4o", input=1200, max_output_tokens=1024) as one:
                    one.settle(input_tokens=1200, output_tokens=300)

            report("with s.step(...)", loop(step))
    wire()


def wire():
    """A small chat request and its answer, beside reading and writing their JSON."""
    body, path = dumps(REQUEST), "/v1/chat/completions"
    answer = dumps(ANSWER)
    asked, told = json.loads(body), json.loads(answer)

    def metered():
        dialect = dialect_of("POST", path)
        ask = dialect.ask(asked, path, "api.openai.com")
        dialect.grant(asked, path, ask, "gpt-4o", 400)
        dialect.usage(told)

    def plain():
        dumps(json.loads(body))
        json.loads(answer)

    report("wire: JSON of a chat and its answer", loop(plain))
    report("wire: ask + grant + usage of it", loop(metered))


if __name__ == "__main__":
    sys.exit(main())
