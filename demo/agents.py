"""Sixty agents under budgets: the main job. Run it with `make demo`.

The agents are written with OpenAI's SDK against the stub of server.py, sync and async, and each is
wrapped with Bursar. Some finish, some are downgraded, some throttled, three run away and would
never stop by themselves, and an operator kills one subtree while its agents are in the middle of
their work. At the end Bursar's books are compared with the server's bill, agent by agent and model
by model. Exits with 0 only if they are equal to the nano-dollar and no budget was ever exceeded.
"""

import argparse
import asyncio
import csv
import itertools
import json
import os
import subprocess
import sys
import threading
import urllib.request
from typing import NamedTuple, Optional

import bursar
import openai
from books import report
from screen import Screen

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = os.path.join(HERE, "..", "Tests", "data", "agent-steps-sample.csv")
FILLER = "def walk(tree): return [leaf for branch in tree for leaf in branch]\n" * 8_000

BUDGETS = {  # path: limits; three levels, and the agents' sessions below
    "acme": "$20/month alert 50% 80%",
    "acme/support": "$5/day alert 50%",
    "acme/support/triage": "$2/day",
    "acme/support/replies": "$2/day, 300 steps/min burst 10",
    "acme/support/voice": "$2/day, 2 in_flight",
    "acme/engineering": "$10/day alert 50% 80%",
    "acme/engineering/fix": "$5/day",
    "acme/engineering/review": "$2/day, 20M tokens/day",
    "acme/engineering/nightly": "$0.80/day alert 80%",
    "acme/research": "$3/day alert 50%",
    "acme/research/survey": "$2/day",
    "acme/research/sweep": "$2/day",
}


class Workflow(NamedTuple):
    """Agents of one kind. `steps` None: they never stop by themselves."""

    path: str
    agents: int
    work: str  # name of the function below that is the agent's code
    model: str
    steps: Optional[int]
    limits: str
    ladder: str = ""


WORKFLOWS = [
    Workflow("acme/support/triage", 12, "streams", "gpt-5-mini", 30, "$0.25, 200 steps"),
    Workflow("acme/support/replies", 8, "asks_async", "deepseek-chat", 9, "$0.10, 60s wall"),
    Workflow("acme/support/voice", 4, "streams_async", "gpt-5-mini", 10, "$0.25"),
    Workflow("acme/engineering/fix", 12, "asks_async", "gpt-5", 45, "$0.20 downgrade 60%",
             "gpt-5, gpt-5-mini, gpt-5-nano"),
    Workflow("acme/engineering/review", 6, "asks", "acme-coder", 30, "$1, 3M tokens"),
    Workflow("acme/engineering/nightly", 1, "asks", "gpt-5", None, "$0.15"),
    Workflow("acme/engineering/nightly", 1, "asks_async", "gpt-4.1", None, "40 steps"),
    Workflow("acme/engineering/nightly", 1, "asks_async", "gpt-5", None, "$50"),
    Workflow("acme/research/survey", 9, "asks_async", "gpt-5", 45, "$1"),
    Workflow("acme/research/sweep", 6, "by_hand", "gpt-4.1", 45, "$1"),
]


class Agent:
    """One agent: what it is to do, and what became of it."""

    def __init__(self, workflow, number, steps):
        self.workflow = workflow
        self.path = workflow.path
        self.name = f"{workflow.path.rpartition('/')[2]}-{number:02}"
        self.steps = steps
        self.state = "waiting"  # then running; then finished, stopped or failed
        self.sentence = ""  # why it was stopped, or how it failed
        self.session = None
        self.refusals = 0  # those waited out included
        self.view = None  # of its session, when it had ended
        self.cut = 0  # streams that were told to stop in the middle

    def requests(self):
        """Its steps as requests to the SDK: prompts as long as the real ones were."""
        for _, step in zip(range(self.workflow.steps or 1_000_000), itertools.cycle(self.steps)):
            yield {
                "model": self.workflow.model,
                "messages": [{"role": "user", "content": FILLER[: int(step["input_bytes"])]}],
                "max_completion_tokens": 2_048,
                "metadata": {"session": step["session"], "step": step["step"]},
            }

    def open(self, runtime):
        """Its session, as a context that also notes how its work ended."""
        self.session = runtime.session(
            self.path, self.workflow.limits, agent=self.name, ladder=self.workflow.ladder)
        return self

    def __enter__(self):
        self.session.__enter__()
        self.state = "running"
        return self.session

    def __exit__(self, kind, error, traceback):
        self.view = self.session.read()
        self.refusals = self.view.refusals
        if error is None:
            self.state = "finished"
        elif isinstance(error, bursar.Refused):
            self.state, self.sentence = "stopped", str(error)
        else:
            self.state, self.sentence = "failed", repr(error)
        self.session.__exit__(kind, error, traceback)
        return isinstance(error, Exception)


# ---- The agents: code with OpenAI's SDK, and one line of Bursar ----


def asks(agent, session, client):
    client = session.wrap(client)
    for request in agent.requests():
        client.chat.completions.create(**request)


def streams(agent, session, client):
    client = session.wrap(client)
    for request in agent.requests():
        for _ in client.chat.completions.create(**request, stream=True):
            pass


async def asks_async(agent, session, client):
    client = session.wrap(client)
    for request in agent.requests():
        await client.chat.completions.create(**request)


async def streams_async(agent, session, client):
    client = session.wrap(client)
    for request in agent.requests():
        async for _ in await client.chat.completions.create(**request, stream=True):
            pass


def by_hand(agent, session, client):
    """Without wrapping, as for a provider that Bursar does not know."""
    for request in agent.requests():
        messages = request["messages"]
        with session.step(
            request["model"], input=messages, max_output_tokens=600, stream=True
        ) as step:
            request["model"] = step.model
            request["max_completion_tokens"] = step.max_output_tokens
            stream = client.chat.completions.create(
                **request, stream=True, stream_options={"include_usage": True})
            for number, piece in enumerate(stream, 1):
                if not step.stream(number):
                    break
            stream.close()
            if step.stop_reason is None:
                step.settle(piece.usage)
                continue
            # Told to stop in the middle: settled at an estimate for now, and corrected as soon
            # as the provider knows what it was.
            agent.cut += 1
            step.settle(input_tokens=0, output_tokens=0, incomplete=True)
            answer = client.chat.completions.retrieve(piece.id)
            session.runtime.settle(step.reservation, answer.usage)


# ---- Running them ----


def operator(runtime, screen):
    """Somebody outside the agents: watches the events, and kills research on its alert."""

    def on_event(event):
        screen.tell(event)
        if event.type == bursar.EventType.THRESHOLD and event.path == "acme/research":
            runtime.kill(event.path, reason=f"on call: {event.percent}% of the day's money is gone")

    return on_event


def run(runtime, agents, url):
    """Runs every agent, half of them in threads and half in one asyncio loop, to its end."""
    code = globals()
    # One connection pool for all; each agent has an API key of its own.
    client = openai.OpenAI(base_url=url + "/v1", api_key="none")

    def work(agent):
        with agent.open(runtime) as session:
            code[agent.workflow.work](agent, session, client.with_options(api_key=agent.name))

    async def work_async(agent, client):
        with agent.open(runtime) as session:
            await code[agent.workflow.work](
                agent, session, client.with_options(api_key=agent.name))

    async def work_all(agents):
        client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="none")
        await asyncio.gather(*(work_async(agent, client) for agent in agents))

    is_async = [asyncio.iscoroutinefunction(code[agent.workflow.work]) for agent in agents]
    threads = [
        threading.Thread(target=work, args=(agent,), name=agent.name, daemon=True)
        for agent, other in zip(agents, is_async) if not other
    ]
    for thread in threads:
        thread.start()
    asyncio.run(work_all([agent for agent, other in zip(agents, is_async) if other]))
    for thread in threads:
        thread.join()


def crew():
    """The sixty agents, each with the steps of one of the sample's long sessions."""
    sessions = {}
    with open(STEPS, newline="") as file:
        for row in csv.DictReader(file):
            sessions.setdefault(row["session"], []).append(row)
    long = itertools.cycle([steps[:60] for steps in sessions.values() if len(steps) > 40])
    agents, numbers = [], {}
    for workflow in WORKFLOWS:
        for _ in range(workflow.agents):
            number = numbers[workflow.path] = numbers.get(workflow.path, 0) + 1
            agents.append(Agent(workflow, number, next(long)))
    return agents


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--plain", action="store_true", help="no cursor movements")
    options.add_argument("--pace", default="0.05", help="of the real time that a step took")
    given = options.parse_args()
    agents = crew()
    server = subprocess.Popen(
        [sys.executable, os.path.join(HERE, "server.py"), STEPS, "--pace", given.pace],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        with bursar.open() as runtime:
            runtime.price(
                "acme-coder", input="$0.1375/M", cache_read="$0.0125/M", output="$0.5505/M")
            for path, limits in BUDGETS.items():
                runtime.budget(path, limits)
            with Screen(runtime, BUDGETS, agents, given.plain) as screen:
                runtime.on_event(operator(runtime, screen))
                run(runtime, agents, url)
            with urllib.request.urlopen(url + "/bill") as bill:
                return report(runtime, BUDGETS, agents, screen, json.load(bill))
    finally:
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
