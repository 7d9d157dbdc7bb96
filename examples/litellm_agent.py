"""An agent by hand on LiteLLM's Router, on a budget that its retries and fallbacks share.

    pip install 'bursar[litellm]'
    OPENAI_API_KEY=… python examples/litellm_agent.py
"""

import json

import bursar
import bursar.integrations.litellm
import litellm

WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a city.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}

litellm.suppress_debug_info = True
bursar.integrations.litellm.install()
router = litellm.Router(
    [{"model_name": name, "litellm_params": {"model": f"openai/{name}", "max_tokens": 200}}
     for name in ("gpt-4o", "gpt-4o-mini")],
    fallbacks=[{"gpt-4o": ["gpt-4o-mini"]}], num_retries=2)


def work(session, messages):
    """Rounds of model and tools, until there is an answer."""
    while True:
        answer = router.completion(model="gpt-4o", messages=messages, tools=[WEATHER])
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls or ():
            city = json.loads(call.function.arguments).get("city")
            with session.tool("weather", call.function.arguments):
                messages.append(
                    {"role": "tool", "tool_call_id": call.id, "content": f"sunny in {city}"})
        if not message.tool_calls:
            return message.content


runtime = bursar.runtime()
runtime.tool_price("weather", "$0.001")
messages = [{"role": "user", "content": "Compare the weather of Rome, Oslo and Lima."}]
with runtime.session("acme/travel", "$0.003", "200 steps", "10m wall", agent="planner") as session:
    while True:
        try:
            print(work(session, messages))
            break
        except litellm.BudgetExceededError as refused:  # and a bursar.Refused
            print(refused)
            if session.read().spent_nanos > 100_000_000:
                break
            runtime.top_up(session, "$0.01", reason="go on")
    print(bursar.report(runtime))
