"""An agent of pydantic-ai on a budget: it stops when the money is gone, and goes on after a top-up.

    pip install 'bursar[pydantic-ai]' pydantic-ai-slim[openai]
    OPENAI_API_KEY=… python examples/pydantic_ai_agent.py
"""

import bursar
from bursar.integrations.pydantic_ai import Bursar
from pydantic_ai import Agent, UsageLimitExceeded, capture_run_messages

model = "openai-chat:gpt-4o"
settings = {"max_tokens": 200}
helper = Agent(model, name="helper", capabilities=[Bursar(limits="$0.05")], model_settings=settings)
planner = Agent(model, name="planner", capabilities=[Bursar(brief=True)], model_settings=settings)


@planner.tool_plain
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@planner.tool_plain
async def research(question: str) -> str:
    """Asks a helper that has a session of its own, below the planner's."""
    return (await helper.run(question)).output


runtime = bursar.runtime()
runtime.tool_price("weather", "$0.001")
with runtime.session("acme/travel", "$0.003", "50 steps", "10m wall", agent="planner") as session:
    question, messages = "Compare the weather of Rome, Oslo and Lima; ask the helper, too.", None
    while session.read().spent_nanos < 100_000_000:
        with capture_run_messages() as seen:
            try:
                answer = planner.run_sync(question, message_history=messages)
                print(answer.output)
                break
            except UsageLimitExceeded as refused:  # a bursar.Refused, too
                print(refused, refused.decision.remaining)
                runtime.top_up(session, "$0.01", reason="go on")
                question, messages = (None, list(seen)) if seen else (question, None)
    print(bursar.report(runtime))
