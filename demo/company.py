"""The company of the demo: its budgets, who answers for them, and its sixty agents."""

from typing import NamedTuple, Optional


class Budget(NamedTuple):
    """`owner` and `cost_center` hold for everything below, where nothing else is said."""

    path: str
    limits: str
    owner: str = ""
    cost_center: str = ""


BUDGETS = [
    Budget("acme", "$20/month alert 50% 80%"),
    Budget("acme/support", "$5/day alert 50%", "grace", "cc-200"),
    Budget("acme/support/triage", "$2/day"),
    Budget("acme/support/replies", "$2/day, 300 steps/min burst 10"),
    Budget("acme/support/voice", "$2/day, 2 in_flight"),
    Budget("acme/engineering", "$10/day alert 50% 80%", "linus", "cc-300"),
    Budget("acme/engineering/fix", "$5/day"),
    Budget("acme/engineering/review", "$2/day, 20M tokens/day", cost_center="cc-310"),
    Budget("acme/engineering/nightly", "$0.80/day alert 80%"),
    Budget("acme/research", "$3/day alert 50%", "ada", "cc-400"),
    Budget("acme/research/survey", "$2/day"),
    Budget("acme/research/sweep", "$2/day"),
    Budget("acme/growth", "$2/day"),  # somebody made it, and nobody answers for it
    Budget("acme/growth/leads", "$1/day"),
]


class Workflow(NamedTuple):
    """Agents of one kind. `steps` None: they never stop by themselves."""

    path: str
    agents: int
    work: str  # the function of agents.py, or the Go program, that is the agent's code
    model: str
    steps: Optional[int]
    limits: str
    outcome: str  # what one that finishes has brought about,
    value: Optional[str] = None  # and what that is worth; None: nobody knows
    ladder: str = ""
    feature: str = ""

    @property
    def team(self):
        return self.path.split("/")[1]

    @property
    def name(self):
        return self.path.rpartition("/")[2]


WORKFLOWS = [
    Workflow("acme/support/triage", 12, "streams", "gpt-5-mini", 30, "$0.25, 200 steps",
             "ticket_sorted", "$0.40", feature="inbox"),
    Workflow("acme/support/replies", 8, "asks_async", "deepseek-chat", 9, "$0.10, 60s wall",
             "mail_answered", "$1.50", feature="inbox"),
    Workflow("acme/support/voice", 4, "streams_async", "gpt-5-mini", 10, "$0.25",
             "call_answered", "$3", feature="phone"),
    Workflow("acme/engineering/fix", 12, "delegates", "gpt-5", 45, "$0.20 downgrade 60%",
             "bug_fixed", "$25", ladder="gpt-5, gpt-5-mini, gpt-5-nano", feature="checkout"),
    Workflow("acme/engineering/review", 6, "asks", "acme-coder", 30, "$1, 3M tokens",
             "change_reviewed", "$8", feature="checkout"),
    Workflow("acme/engineering/nightly", 1, "go", "gpt-5", None, "$0.15", "run"),
    Workflow("acme/engineering/nightly", 1, "go", "gpt-4.1", None, "40 steps", "run"),
    Workflow("acme/engineering/nightly", 1, "go", "gpt-5", None, "$50", "run"),
    Workflow("acme/research/survey", 6, "asks_async", "gpt-5", 45, "$1", "report_written", "$40"),
    Workflow("acme/research/sweep", 6, "by_hand", "gpt-4.1", 45, "$1", "report_written", "$40"),
    Workflow("acme/growth/leads", 3, "by_hand", "gpt-5-mini", 25, "$1", "lead_found",
             feature="mailing"),
]
CUSTOMERS = ["initech", "globex", "hooli"]  # of support and growth, in turn
SOLD = ("support", "growth")


def crew(teams, small=False):
    """The agents of some teams: (workflow, name, labels), the same in every process."""
    count = {}
    for workflow in WORKFLOWS:
        for _ in range(1 if small else workflow.agents):
            number = count[workflow.path] = count.get(workflow.path, 0) + 1
            if workflow.team not in teams:
                continue
            labels = {"feature": workflow.feature} if workflow.feature else {}
            if workflow.team in SOLD:
                labels["customer"] = CUSTOMERS[number % len(CUSTOMERS)]
            yield workflow, f"{workflow.name}-{number:02}", labels
