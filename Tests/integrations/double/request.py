"""One request at the provider: what is asked, what goes wrong, what is answered and billed."""

import json
import math
import time
from urllib.parse import unquote

from . import chat, gemini, messages, responses
from .bill import Usage, known
from .say import turn
from .scenario import split
from .wire import Bad, Gone

FORMATS = [  # by the end of the path
    ("/chat/completions", chat),
    ("/completions", chat.completions),
    ("/responses", responses),
    ("/embeddings", chat.embeddings),
    ("/messages", messages),
    ("/messages/count_tokens", messages.counting),
    (":generateContent", gemini),
    (":streamGenerateContent", gemini),
    (":countTokens", gemini.counting),
    (":embedContent", gemini.embeddings),
    (":batchEmbedContents", gemini.embeddings),
]
END = b"0\r\n\r\n"
NOTHING = Usage(0, 0, 0, 0, 0, 0)


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
        if self.asked.more.get("free"):
            return self.whole(format)
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
        if asked.more.get("silent"):  # embeddings and counts
            self.turns = []
        self.total = sum(t.tokens for t in self.turns)
        self.line.update(
            path=path, model=asked.model, priced_as=priced_as, stream=asked.stream, limit=asked.limit,
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
        if self.asked.more.get("free"):
            return None
        return self.provider.bill.add(self.line, self.usage(output) if billed else NOTHING, billed)

    # MARK: - Answers

    def fail(self, format, status, message, code):
        after = self.scenario.after if status == 429 else 0
        headers = f"x-request-id: req_{self.number}\r\n"
        if status == 429:
            headers += f"retry-after-ms: {after * 1000:g}\r\nretry-after: {math.ceil(after)}\r\n"
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
                if piece and data and shown == scenario.fail:
                    ended = "error"
                    data, piece, upto = format.broken(self.number), False, sent
                connection.wait(scenario.slow if piece else 0)
                if upto == total and line is None:  # all of it is said: billed before the client sees it
                    line = self.charge(total)
                if data:
                    connection.socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))
                    shown += piece
                sent = upto
                if ended == "error":
                    break
            connection.socket.sendall(END)
            return True
        except OSError:
            raise Gone from None
        finally:
            if line is None:
                self.line["ended"] = ended
                self.charge(sent)
