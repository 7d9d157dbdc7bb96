"""What SDKs and their clients can be made to do that would leave money uncounted."""

import asyncio
import unittest

import bursar
from sdks import Case, OpenAIChat

import httpx
import httpx2
import openai


class Hooks(Case):
    def sdk(self, http, scenario="out=8", asynchronous=False):
        kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        return kind(base_url=self.stub.url(scenario) + "/v1", api_key=self.account,
                    http_client=http, max_retries=0)

    def body(self, text):
        return {"model": "gpt-4o-mini", "max_tokens": 60,
                "messages": [{"role": "user", "content": text}]}

    def send(self, client, text="Another question."):
        return client.post(
            self.stub.url("out=9") + "/v1/chat/completions", json=self.body(text),
            headers={"Authorization": f"Bearer {self.account}"})

    def test_one_that_cannot_reach_its_own_server(self):
        """The answer came and is billed; only then a hook fails to report it somewhere."""
        for module in (httpx, httpx2):
            for dead in (lambda r: module.get("http://127.0.0.1:9/"), self.refused):
                with self.subTest(module.__name__):
                    self.fresh()
                    client = self.s.wrap(module.Client(event_hooks={"response": [dead]}))
                    with self.assertRaises((module.ConnectError, ConnectionRefusedError)):
                        self.send(client)
                    self.assertGreaterEqual(self.spent(), self.billed())
                    self.assertGreater(self.billed(), 0)

    def refused(self, response):
        raise ConnectionRefusedError("of the hook's own")


if __name__ == "__main__":
    unittest.main()
