"""One worker process of the demo: agents.py HOME URL SMALL TEAM...

Runs the agents of some teams, half of them in threads and half in one asyncio loop. Each is code
with OpenAI's SDK and a line or two of Bursar. Prints a line of JSON about each at its end.
"""

import asyncio
import contextlib
import csv
import inspect
import itertools
import json
import os
import sys
import threading
import urllib.request

import bursar
import openai
from company import crew

STEPS = os.path.join(os.path.dirname(__file__), "..", "Tests", "data", "agent-steps-sample.csv")
FILLER = "def walk(tree): return [leaf for branch in tree for leaf in branch]\n" * 8_000


class Agent:
    """One agent: what it is to do, and what became of it."""

    def __init__(self, workflow, name, labels, steps, url):
        self.workflow, self.name, self.labels, self.url = workflow, name, labels, url
        self.steps = steps
        self.fate = {"agent": name, "path": workflow.path, "state": "running", "sentence": "",
                     "refusals": 0, "cut": 0, "exceeded": []}

    def requests(self, model=None):
        """Its steps as requests to the SDK: prompts as long as the real ones were."""
        for step in itertools.islice(itertools.cycle(self.steps), self.workflow.steps):
            yield {
                "model": model or self.workflow.model,
                "messages": [{"role": "user", "content": FILLER[: int(step["input_bytes"])]}],
                "max_completion_tokens": 2_048,
                "metadata": {"session": step["session"], "step": step["step"], **self.labels},
            }

    def client(self, client):
        """With an API key of its own: the bill says whose it is."""
        return client.with_options(api_key=self.name, project=self.workflow.path)

    def search(self, session):
        """A search of the web: a tool with a price."""
        with session.tool("web_search"):
            headers = {"Authorization": f"Bearer {self.name}", **self.labels,
                       "OpenAI-Project": self.workflow.path}
            urllib.request.urlopen(urllib.request.Request(self.url + "/search", headers=headers))

    @contextlib.contextmanager
    def session(self, runtime):
        """Its session. An agent that finishes says what it has brought about."""
        session = runtime.session(self.workflow.path, self.workflow.limits, agent=self.name,
                                  ladder=self.workflow.ladder, labels=self.labels)
        fate = self.fate
        try:
            with session:
                try:
                    yield session
                    session.outcome(self.workflow.outcome, self.workflow.value, id=self.name)
                    fate["state"] = "finished"
                finally:
                    view = session.read()
                    fate["refusals"], fate["exceeded"] = view.refusals, excess(view)
        except bursar.Refused as refusal:
            fate["state"], fate["sentence"] = "stopped", str(refusal)
        except Exception as error:
            fate["state"], fate["sentence"] = "failed", repr(error)


def excess(view):
    """The limits of a view that were exceeded, as sentences. Time runs out by itself."""
    return [
        f"{view.agent or view.path}: {limit.committed} of {limit.text}"
        for limit in view.limits
        if limit.meter < bursar.Meter.WALL and limit.committed > limit.amount + limit.extra
    ]


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


async def delegates(agent, session, client):
    """After every tenth step a sub-agent runs the tests, with a small budget of its own."""
    wrapped = session.wrap(client)
    for number, request in enumerate(agent.requests(), 1):
        await wrapped.chat.completions.create(**request)
        if number % 10 == 0:
            with session.child("tester", "$0.02") as child:
                request["model"] = "gpt-5-nano"
                other = child.wrap(client.with_options(api_key="tester"))
                await other.chat.completions.create(**request)


def by_hand(agent, session, client):
    """Without wrapping, as for a provider that Bursar does not know. It searches the web, and an
    answer that was cut short is asked for once more, with more room."""
    for number, request in enumerate(agent.requests()):
        if number % 5 == 0:
            agent.search(session)
        finish, first = by_hand_once(agent, session, client, request, 600)
        if finish == "length":
            by_hand_once(agent, session, client, request, 1_200, attempt=1, parent=first)


def by_hand_once(agent, session, client, request, room, **options):
    with session.step(request["model"], input=request["messages"], max_output_tokens=room,
                      stream=True, **options) as step:
        stream = client.chat.completions.create(
            **{**request, "model": step.model, "max_completion_tokens": step.max_output_tokens},
            stream=True, stream_options={"include_usage": True})
        finish = None
        for number, piece in enumerate(stream, 1):
            finish = piece.choices[0].finish_reason if piece.choices else finish
            if not step.stream(number):
                break
        stream.close()
        if step.stop_reason is None:
            step.settle(piece.usage)
            return finish, step.reservation
        # Told to stop in the middle: settled at an estimate for now, and corrected as soon as
        # the provider knows what it was.
        agent.fate["cut"] += 1
        step.settle(input_tokens=0, output_tokens=0, incomplete=True)
        answer = client.chat.completions.retrieve(piece.id)
        session.runtime.settle(step.reservation, answer.usage)
        return "stopped", step.reservation


# ---- Running them ----


def run(runtime, agents, url):
    client = openai.OpenAI(base_url=url + "/v1", api_key="none")
    code = globals()

    def work(agent):
        with agent.session(runtime) as session:
            code[agent.workflow.work](agent, session, agent.client(client))

    async def work_async(agent, client):
        with agent.session(runtime) as session:
            await code[agent.workflow.work](agent, session, agent.client(client))

    async def work_all(agents):
        async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="none") as client:
            await asyncio.gather(*(work_async(agent, client) for agent in agents))

    is_async = [inspect.iscoroutinefunction(code[agent.workflow.work]) for agent in agents]
    threads = [
        threading.Thread(target=work, args=(agent,), name=agent.name, daemon=True)
        for agent, other in zip(agents, is_async) if not other
    ]
    for thread in threads:
        thread.start()
    asyncio.run(work_all([agent for agent, other in zip(agents, is_async) if other]))
    for thread in threads:
        thread.join()


def long_sessions():
    """The steps of the sample's long sessions, over and over."""
    sessions = {}
    with open(STEPS, newline="") as file:
        for row in csv.DictReader(file):
            sessions.setdefault(row["session"], []).append(row)
    return itertools.cycle([steps[:60] for steps in sessions.values() if len(steps) > 40])


def main():
    home, url, small, *teams = sys.argv[1:]
    work = [job for job in crew(teams, small == "small") if job[0].work != "go"]
    agents = [Agent(*job, steps, url) for job, steps in zip(work, long_sessions())]
    with bursar.open(home, existing=True, name="+".join(teams)) as runtime:
        runtime.price("acme-coder", input="$0.1375/M", cache_read="$0.0125/M", output="$0.5505/M")
        runtime.tool_price("web_search", "$0.0005")
        print("ready", flush=True)
        sys.stdin.readline()  # all start together
        run(runtime, agents, url)
    for agent in agents:
        print(json.dumps(agent.fate))


if __name__ == "__main__":
    main()
