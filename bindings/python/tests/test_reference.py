"""Random programs: the library and the model of reference.py must say the same in every field."""

import random
import unittest

import bursar
from bursar import DecisionFlag
from reference import UNLIMITED, Grant, Node, Reference, Stopped
from reference_words import METERS, Limit, Rates, Request, Usage, dollars
from support import LONG

RATES = {
    "dear": Rates(3_000, 15_000, 0),
    "mid": Rates(1_000, 5_000, 7),
    "cheap": Rates(100, 400, 0),
    "free": Rates(0, 0, 0),
}
LADDERS = [[], [], ["dear", "mid", "cheap"], ["dear", "cheap"], ["mid", "free"]]
ENDS = ["", "", "", "halt", "pause", "throttle", "observe"]


class Differs(Exception):
    """The library and the model disagree."""


class Program:
    """A random program of one seed, played on the library and on the model."""

    def __init__(self, runtime, seed):
        self.runtime = runtime
        self.dice = random.Random(seed)
        self.model = Reference(RATES)
        for name, rates in RATES.items():
            runtime.price(name, input=rates.input * 1_000, output=rates.output * 1_000,
                          request=rates.request)  # fmt: skip
        runtime.meter("credits")
        self.scale = self.dice.choice([1, 5, 30, 200])  # how much fits before limits refuse
        self.stops = self.dice.choice([0.3, 1])  # how often something is killed or paused
        self.in_flight = {}
        self.granted = self.refused = 0
        self.budgets, self.sessions, self.handles = [], [], {}
        a = self.declare("a", None)
        b = self.declare("a/b", a)
        self.declare("a/b/c", b)
        self.declare("a/d", a)
        self.declare("z", None)
        for _ in range(5):
            self.open_session()

    def step(self):
        """One operation. One that is not possible now is the next that is."""
        kind = self.dice.random()
        if kind < 0.45 and self.sessions:
            self.reserve()
        elif kind < 0.80 and self.in_flight:
            self.finish()
        elif kind < 0.86 and self.sessions:
            self.charge()
        elif kind < 0.90:
            self.set_limits()
        elif kind < 0.93:
            self.top_up()
        elif kind < 0.95:
            self.control()
        elif kind < 0.955:
            self.observe()
        elif kind < 0.97:
            self.open_session()
        elif kind < 0.98 and len(self.sessions) > 3:
            self.close_session(self.dice.choice(self.sessions))
        elif kind < 0.99:
            self.read()
        elif self.dice.random() < 0.02:
            self.runtime.verify()

    def same(self, what, model, library, *context):
        if model != library:
            raise Differs(f"{what}: model {model}, library {library}; {context}")

    # ---- What programs are made of ----

    def any_node(self):
        return self.dice.choice(self.budgets + self.sessions)

    def some_limits(self):
        below, choice = self.dice.randrange, self.dice.choice
        limits = []
        for meter in self.dice.sample(METERS, choice([0, 1, 1, 2, 2, 3])):
            if meter == "in_flight":
                amount = below(8 * self.scale)
            elif meter == "cost":
                amount = self.scale * choice([0, below(10**6), below(10**8)])
            else:
                most = {"steps": 60, "tool_calls": 20, "credits": 500}.get(meter, 40_000)
                amount = self.scale * below(most)
            end = choice(ENDS)
            downgrade = choice([0, 0, 50, 80]) if meter != "in_flight" else 0
            limits.append(Limit(meter, amount, end, downgrade))
        return limits

    def declare(self, path, parent):
        limits = self.some_limits()
        id = self.runtime.budget(path, *map(str, limits))
        budget = Node(id, parent, limits)
        self.handles[id] = path
        self.budgets.append(budget)
        return budget

    def open_session(self):
        choice, below = self.dice.choice, self.dice.randrange
        parent = choice(self.budgets + self.sessions[:3])
        limits, ladder = self.some_limits(), choice(LADDERS)
        holdback = choice([0, 0, 0, below(10**6)])
        handle = self.runtime.session(
            self.handles[parent.id], limits=list(map(str, limits)), ladder=ladder,
            holdback=holdback)  # fmt: skip
        session = Node(handle.id, parent, limits, True, ladder, holdback)
        self.handles[handle.id] = handle
        self.sessions.append(session)
        if len(self.sessions) > 12:
            self.close_session(self.sessions[0])

    def close_session(self, session):
        for node in [node for node in self.sessions if session in node.path()]:
            node.closed = True
            self.sessions.remove(node)
            self.handles.pop(node.id).close()

    # ---- Steps ----

    def reserve(self):
        choice, below = self.dice.choice, self.dice.randrange
        session = choice(self.sessions)
        input, upper = choice([0, 10, below(3_000)]), choice([0, 0, 0, below(4_000)])
        most, least = choice([0, 1, below(3_000)]), choice([0, 0, below(400)])
        choices, extra = choice([0, 1, 1, 2]), choice([0, 0, below(5_000)])
        units = choice([0, 0, 0, below(1, 20)])
        model = choice([*RATES, None] if session.ladder else [*RATES])
        final, as_asked = self.dice.random() < 0.2, self.dice.random() < 0.1
        request = Request(
            model, input, upper, most, least, choices, extra, units, final, as_asked)
        named = {"meter": "credits", "units": units} if units else {}
        decision = self.handles[session.id].reserve(
            model, input_tokens=input, input_tokens_upper=upper, max_output_tokens=most,
            min_output_tokens=least, choices=choices, extra=extra, final=final,
            as_asked=as_asked, **named)  # fmt: skip
        answer = self.model.reserve(session, request)
        self.same("granted", isinstance(answer, Grant), bool(decision), request, answer)
        if isinstance(answer, Grant):
            self.granted += 1
            self.in_flight[decision.reservation] = answer
            wanted = (answer.verdict, answer.model, answer.output, answer.held["cost"],
                      sum(DecisionFlag[name] for name in answer.flags))  # fmt: skip
            got = (decision.verdict.name, decision.model, decision.max_output_tokens,
                   decision.reserved_nanos, decision.flag_bits)  # fmt: skip
            self.same("grant", wanted, got, request, answer.flags)
            return
        self.refused += 1
        if isinstance(answer, Stopped):
            wanted = (answer.node.id, answer.reason, answer.verdict)
            got = (decision.budget, decision.reason.name, decision.verdict.name)
            self.same("stopped", wanted, got, request)
            return
        meter = METERS[min(decision.meter, len(METERS) - 1)]  # the named one is the last
        self.same("refused by", answer.node.id, decision.budget, request, answer.meters)
        self.same("refused for", True, meter in answer.meters, request, answer.meters)
        got = (
            decision.limit, decision.committed, decision.remaining, decision.requested,
            decision.transient, decision.reason.name, decision.verdict.name,
            bool(decision.retry_after))  # fmt: skip
        self.same("refused since", tuple(answer.meters[meter]), got, request)

    def finish(self):
        choice, below = self.dice.choice, self.dice.randrange
        reservation = choice(list(self.in_flight))
        grant = self.in_flight.pop(reservation)
        if self.dice.random() < 0.15:
            self.runtime.release(reservation)
            self.model.release(grant)
            return
        input, output = grant.held["input_tokens"], grant.held["output_tokens"]
        input = choice([input, below(input + 1), input + below(200)])
        output = choice([output, below(output + 1), output + choice([0, 0, 300])])
        cached, units = choice([0, below(input + 1)]), grant.request.units
        units = choice([units, units // 2, units + 3]) if units else 0
        used = Usage(input, output, cached, choice([0, grant.request.extra]), units)
        receipt = self.runtime.settle(
            reservation, input_tokens=used.input, output_tokens=used.output,
            cache_read_input_tokens=used.cached, extra=used.extra,
            **({"units": units} if units else {}))  # fmt: skip
        cost, overrun = self.model.settle(grant, used)
        got = (receipt.cost_nanos, receipt.overrun_nanos, receipt.overrun)
        self.same("receipt", (cost, overrun, overrun > 0), got, used, grant)

    def charge(self):
        choice, below = self.dice.choice, self.dice.randrange
        session = choice(self.sessions)
        nanos, units, force = below(20_000), choice([0, below(1, 5)]), self.dice.random() < 0.2
        overrun = self.model.charge(session, nanos, units, force)
        try:
            receipt = self.handles[session.id].charge(
                nanos, meter="credits" if units else None, units=units, force=force)
        except bursar.Refused:
            receipt = None
        context = (nanos, units, force)
        self.same("charged", overrun is not None, receipt is not None, *context)
        if force:
            self.same("forced", overrun, receipt.overrun_nanos, *context)

    # ---- What owners do ----

    def set_limits(self):
        node, limits = self.any_node(), self.some_limits()
        self.runtime.limits_set(node.id, ", ".join(map(str, limits)) or "unlimited")
        self.model.set_limits(node, limits)

    def top_up(self):
        node = self.any_node()
        if node.limits:
            meter, amount = self.dice.choice(node.limits).meter, self.dice.randrange(1, 10**5)
            if meter != "cost":
                amount = amount % 50 + 1
            text = dollars(amount) if meter == "cost" else f"{amount} {meter}"
            self.runtime.top_up(node.id, text)
            node.top_up(meter, amount)

    def control(self):
        node = self.any_node()
        stop = self.dice.random() < 0.15 * self.stops
        verb = self.dice.choice(["kill", "pause"] if stop else ["revive", "resume"])
        getattr(self.runtime, verb)(node.id)
        setattr(node, "killed" if verb in ("kill", "revive") else "paused", stop)

    def observe(self):
        node = self.any_node()
        node.observed = self.dice.random() < 0.4
        self.runtime.observe(node.id, node.observed)

    def read(self):
        node = self.any_node()
        view, cost, ceiling = self.runtime.read(node.id), node.cells["cost"], node.ceiling("cost")
        wanted = (
            cost.spent, cost.committed - cost.spent,
            None if ceiling == UNLIMITED else max(ceiling - cost.committed, 0),
            node.refusals, node.totals["steps"], node.totals["input_tokens"],
            node.totals["output_tokens"])  # fmt: skip
        got = (
            view.spent_nanos, view.reserved_nanos, view.remaining_nanos, view.refusals,
            view.steps, view.input_tokens, view.output_tokens)  # fmt: skip
        self.same("read", wanted, got, node.id)


def play(seed, operations):
    """Plays a program; how many steps were granted and refused."""
    with bursar.open() as runtime:
        program = Program(runtime, seed)
        try:
            for number in range(operations):
                program.step()
        except (Differs, bursar.BursarError) as error:
            raise AssertionError(f"seed {seed}, operation {number}: {error}") from error
        runtime.verify()
    return program.granted, program.refused


class BesideTheModel(unittest.TestCase):
    def test_random_programs_are_answered_as_the_model_says(self):
        granted = refused = 0
        for seed in range(16 * LONG):
            counts = play(seed, 3_000)
            granted, refused = granted + counts[0], refused + counts[1]
        self.assertGreater(min(granted, refused), 1_000 * LONG)


if __name__ == "__main__":
    unittest.main()
