"""An agent of LangChain on a budget: it stops when the money is gone, and goes on after a top-up.

    pip install 'bursar[langchain]' langchain-openai
    OPENAI_API_KEY=… python examples/langchain_agent.py
"""

import bursar
from bursar.integrations.langchain import BursarMiddleware, decision_of
from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command


def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def research(question: str) -> str:
    """Asks a helper that has an agent's session of its own, below ours."""
    answer = helper.invoke({"messages": [question]})
    return answer["messages"][-1].text


model = init_chat_model("openai:gpt-4o", max_tokens=200)
helper = create_agent(
    model, [weather], name="helper", middleware=[BursarMiddleware(limits="$0.05")])

runtime = bursar.runtime()
runtime.tool_price("weather", "$0.001")
with runtime.session("acme/travel", "$0.003", "50 steps", "10m wall", agent="planner") as session:
    agent = create_agent(
        model, [weather, research],
        middleware=[BursarMiddleware(session, exit_behavior="interrupt", brief=True)],
        checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    answer = agent.invoke(
        {"messages": ["Compare the weather of Rome, Oslo and Lima; ask the helper, too."]}, thread)
    while decision_of(answer) and session.read().spent_nanos < 100_000_000:
        print(decision_of(answer)["explanation"])
        runtime.top_up(session, "$0.01", reason="go on")
        answer = agent.invoke(Command(resume=True), thread)
    print(answer["messages"][-1].text)
    print(bursar.report(runtime))
