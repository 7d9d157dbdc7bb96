"""Starts provider.py and reads its books: what tests and benchmarks use of it."""

import json
import pathlib
import ssl
import subprocess
import sys
import time
from urllib.parse import quote
from urllib.request import Request, urlopen

PROVIDER = pathlib.Path(__file__).with_name("provider.py")
ANY = ssl._create_unverified_context()


class Stub:
    """A running provider; use it in a `with`.

    `url("loop,parallel=5")` is what an SDK takes as base URL, without the API's version:
    OpenAI wants `url(...) + "/v1"`, Anthropic and google-genai want it as it is. With a
    certificate it speaks TLS.
    """

    def __init__(self, *certificate):
        self._process = subprocess.Popen(
            [sys.executable, str(PROVIDER), *certificate], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.address = self._process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def url(self, scenario=""):
        return f"{self.address}/{scenario}" if scenario else self.address

    def bill(self, account=None, wait=10):
        """{"dollars", "lines"} of an account, once none of its requests is in flight."""
        until = time.monotonic() + wait
        while True:
            inflight = self._ask("inflight", account)
            if not inflight["requests"]:
                return self._ask("bill", account)
            if time.monotonic() > until:
                raise TimeoutError(f"still in flight after {wait} s: {inflight['accounts']}")
            time.sleep(0.005)

    def inflight(self, account=None):
        return self._ask("inflight", account)["requests"]

    def reset(self, account=None):
        self._ask("reset", account, "POST")

    def _ask(self, what, account, method="GET"):
        of = "" if account is None else f"?account={quote(account)}"
        with urlopen(Request(f"{self.address}/{what}{of}", method=method), timeout=10,
                     context=ANY) as answer:
            return json.load(answer)
