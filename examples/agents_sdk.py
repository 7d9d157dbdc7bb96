"""A team of OpenAI's Agents SDK on a budget: it stops when the money is gone, and goes on after a
top-up where it was.

    pip install 'bursar[openai-agents]'
    OPENAI_API_KEY=… python examples/agents_sdk.py
"""

import asyncio

import bursar
from agents import Agent, ModelSettings, Runner, function_tool
from bursar.integrations.openai_agents import BudgetExceeded, BursarHooks


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


short = {"model": "gpt-4o", "model_settings": ModelSettings(max_tokens=200)}
helper = Agent(name="helper", instructions="Find out what is asked.", tools=[weather], **short)
planner = Agent(
    name="planner", instructions="Plan a journey. Ask the helper, too.",
    tools=[weather, helper.as_tool("research", "Asks a helper.")], **short)


async def main(session):
    hooks = BursarHooks(session, limits="$0.05")  # of the helper, below the session's own
    work = "Compare the weather of Rome, Oslo and Lima."
    while True:
        try:
            result = await Runner.run(planner, work, hooks=hooks, max_turns=50)
            return print(result.final_output)
        except BudgetExceeded as refused:  # an AgentsException, and a bursar.Refused
            print(refused)
            if session.read().spent_nanos > 100_000_000:
                return
            session.runtime.top_up(session, "$0.01", reason="go on")
            work = refused.to_state()  # nothing is paid for twice


runtime = bursar.runtime()
runtime.tool_price("weather", "$0.001")
with runtime.session("acme/travel", "$0.003", "200 steps", "10m wall", agent="planner") as session:
    asyncio.run(main(session))
    print(bursar.report(runtime))
