"""Reserve, settle, release, charge, tools, children, ladders: what a session does."""

import asyncio
import json
import os
import tempfile
import time
import unittest
from decimal import Decimal

import bursar
from bursar import Reason, Remedy, Usage, Verdict
from support import DOLLAR, Case


class Steps(Case):
    def test_a_step_is_held_at_its_worst_case_and_settled_at_what_it_used(self):
        self.rt.price("m", input="$3/M", output="$15/M", cache_read="$0.30/M")
        s = self.session("$1")
        d = s.reserve("m", input_tokens=1_000, max_output_tokens=500, min_output_tokens=64)
        self.assertTrue(d)
        self.assertEqual((Verdict.ALLOW, "m", 500), (d.verdict, d.model, d.max_output_tokens))
        self.assertEqual(3_000_000 + 7_500_000, d.reserved_nanos)
        self.assertEqual(d.reserved_nanos, s.read().reserved_nanos)
        r = s.settle(d.reservation, input_tokens=1_000, output_tokens=100,
                     cache_read_input_tokens=800)
        self.assertEqual(200 * 3_000 + 800 * 300 + 100 * 15_000, r.cost_nanos)
        self.assertEqual(Decimal("0.00234"), r.cost_usd)
        self.assertFalse(r.overrun or r.estimated or r.replay or r.late or r.unpriced)
        view = s.read()
        self.assertEqual((r.cost_nanos, 0), (view.spent_nanos, view.reserved_nanos))
        self.assertEqual(DOLLAR - r.cost_nanos, view.remaining_nanos)
        self.assertEqual(r.cost_nanos, view.meters["cost"].spent)

    def test_a_refusal_does_not_raise_and_explains_itself(self):
        self.dime()
        self.rt.budget("acme", "$0.15")
        s = self.session()
        s.settle(s.reserve("dime", input_tokens=1), input_tokens=1, output_tokens=0)
        s.read()  # folds: what is settled is told apart from what is held
        d = s.reserve("dime", input_tokens=1)
        self.assertFalse(d)
        self.assertEqual((0, Verdict.HALT, Reason.LIMIT), (d.reservation, d.verdict, d.reason))
        self.assertEqual("acme", d.path)
        self.assertEqual((150_000_000, 100_000_000, 50_000_000, 100_000_000),
                         (d.limit, d.committed, d.remaining, d.requested))
        self.assertFalse(d.transient)
        self.assertIn("acme", d.explain())
        self.assertIn("$0.05", d.explain())
        self.assertEqual("acme", d.as_dict()["path"])
        with self.assertRaises(bursar.BudgetExceeded) as caught:
            s.step("dime", input=1, max_output_tokens=0)
        self.assertEqual(d.limit, caught.exception.decision.limit)
        self.assertEqual(d.explain(), str(caught.exception))
        self.assertIsInstance(caught.exception, bursar.Halted)

    def test_what_steps_in_flight_hold_makes_a_refusal_transient(self):
        self.dime()
        s = self.session("$0.10")
        d = s.reserve("dime", input_tokens=1)
        refused = s.reserve("dime", input_tokens=1)
        self.assertTrue(refused.transient)
        self.assertEqual(Remedy.WAIT, refused.remedy)
        s.release(d)
        self.assertTrue(s.reserve("dime", input_tokens=1))

    def test_options_reach_the_library(self):
        self.rt.price("m", input="$1/M", output="$1/M")
        s = self.session("$1")
        plain = s.reserve("m", input_tokens=100, max_output_tokens=100)
        double = s.reserve("m", input_tokens=100, max_output_tokens=100, choices=2,
                           extra="$0.01", complexity="routine", attempt=1, parent=plain)
        self.assertEqual(plain.reserved_nanos + 100_000 + 10_000_000, double.reserved_nanos)
        held = s.reserve("m", input_tokens=1, hold=True)
        s.begin(held)
        for d in (plain, double, held):
            s.release(d)
        self.assertEqual(0, s.read().reserved_nanos)

    def test_a_loop_settles_and_reserves_in_one_call(self):
        self.dime()
        s = self.session("$0.30")
        d = s.reserve("dime", input_tokens=1)
        spent = 0
        while d:
            r, d = s.settle_and_reserve(d, Usage(1, output_tokens=0), "dime", input_tokens=1)
            spent += r.cost_nanos
        self.assertEqual(300_000_000, spent)
        self.assertEqual(Reason.LIMIT, d.reason)

    def test_settling_failed_means_that_nothing_was_reserved(self):
        self.dime()
        s = self.session("$1")
        d = s.reserve("dime", input_tokens=1)
        with self.assertRaises(bursar.InvalidArgumentError):
            s.settle_and_reserve(d, Usage(1, cache_read_input_tokens=2), "dime", input_tokens=1)
        self.assertEqual(1, self.rt.health().in_flight)
        s.release(d)

    def test_the_ladder_is_walked_down_when_money_runs_short(self):
        self.rt.price("big", input="$10/M", output="$100/M")
        self.rt.price("small", input="$1/M", output="$10/M")
        s = self.session("$0.02", ladder=["big", "small"])
        d = s.reserve(input_tokens=100, max_output_tokens=1_000)
        self.assertEqual((Verdict.DOWNGRADE, "small"), (d.verdict, d.model))
        self.assertTrue(d.downgraded)
        r = s.settle(d, input_tokens=100, output_tokens=10)
        self.assertGreater(r.asked_cost_nanos, r.cost_nanos)

    def test_output_is_clamped_to_what_fits(self):
        self.rt.price("m", input="$0/M", output="$10/M")
        s = self.session("$0.01")
        d = s.reserve("m", max_output_tokens=4_000, min_output_tokens=100)
        self.assertEqual(1_000, d.max_output_tokens)

    def test_holdback_is_for_the_final_step(self):
        self.dime()
        s = self.session("$0.20", holdback="$0.10")
        s.settle(s.reserve("dime", input_tokens=1), input_tokens=1, output_tokens=0)
        self.assertFalse(s.reserve("dime", input_tokens=1))
        self.assertTrue(s.reserve("dime", input_tokens=1, final=True))

    def test_a_stream_is_told_to_stop_when_its_session_is_killed(self):
        self.rt.price("m", input="$1/M", output="$1/M")
        s = self.session("$1")
        with s.step("m", input=10, max_output_tokens=100, stream=True) as step:
            self.assertTrue(step.stream(5))
            self.rt.kill(s, reason="test")
            self.assertFalse(step.stream(6))
            self.assertEqual(Reason.KILLED, step.stop_reason)
            r = step.settle(input_tokens=0, output_tokens=0, incomplete=True)
        self.assertTrue(r.estimated)
        self.assertGreaterEqual(r.cost_nanos, 16_000)


class Bodies(Case):
    def test_a_body_left_without_settling_is_settled_at_the_worst_case(self):
        self.dime()
        s = self.session("$1")
        seen = self.warned()
        with s.step("dime", input=1, max_output_tokens=0) as step:
            pass
        self.assertEqual(100_000_000, s.read().spent_nanos)
        self.assertTrue(step.receipt.estimated)
        self.assertEqual([bursar.BursarWarning], [w.category for w in seen])

    def test_a_released_body_costs_nothing_and_warns_nobody(self):
        self.dime()
        s = self.session("$1")
        seen = self.warned()
        with s.step("dime", input=1, max_output_tokens=0) as step:
            step.release()
        self.assertEqual((0, []), (s.read().spent_nanos, seen))

    def test_a_step_that_is_dropped_is_settled_too(self):
        self.dime()
        s = self.session("$1")
        seen = self.warned()
        s.step("dime", input=1, max_output_tokens=0)
        self.assertEqual(100_000_000, s.read().spent_nanos)
        self.assertEqual(1, len(seen))

    def test_everything_is_an_async_context_manager(self):
        self.dime()

        async def run():
            async with self.rt.session("acme", "$1") as s:
                self.assertIs(s, bursar.current())
                async with s.child("c", "$0.50") as c:
                    self.assertIs(c, bursar.current())
                    async with c.step("dime", input=1, max_output_tokens=0) as step:
                        step.settle(input_tokens=1, output_tokens=0)
                async with s.tool("ocr"):
                    pass
            self.assertIsNone(bursar.current())

        asyncio.run(run())
        self.assertEqual(100_000_000, self.rt.read("acme").spent_nanos)

    def test_tasks_find_the_session_they_were_started_in(self):
        async def inner(wanted):
            await asyncio.sleep(0)
            self.assertIs(wanted, bursar.current())

        async def run():
            with self.session("$1") as a, self.session("$1") as b:
                await asyncio.gather(inner(b), inner(b))
                with a:
                    task = asyncio.ensure_future(inner(a))
                await inner(b)
                await task

        asyncio.run(run())


class Tools(Case):
    def test_a_tool_costs_its_price_and_counts_in_its_limit(self):
        self.rt.tool_price("web_search", "$0.01")
        s = self.session("2 calls(web_search)", "$1")
        for _ in range(2):
            with s.tool("web_search", {"q": "x"}) as tool:
                self.assertEqual({"q": "x"}, tool.arguments)
        self.assertEqual(20_000_000, s.read().spent_nanos)
        self.assertEqual(2, s.read().meters["calls(web_search)"].spent)
        with self.assertRaises(bursar.BudgetExceeded):
            s.tool("web_search")
        self.assertEqual(2, s.read().tool_calls)

    def test_a_tool_that_raises_has_been_called(self):
        self.rt.tool_price("web_search", "$0.01")
        s = self.session("$1")
        with self.assertRaises(KeyError):
            with s.tool("web_search"):
                raise KeyError
        self.assertEqual(10_000_000, s.read().spent_nanos)

    def test_a_tool_s_real_cost_may_be_told(self):
        self.rt.tool_price("web_search", "$0.01")
        s = self.session("$1")
        with s.tool("web_search") as tool:
            tool.settle(cost="$0.004")
        self.assertEqual(4_000_000, s.read().spent_nanos)

    def test_charge_takes_money_of_any_kind_but_float(self):
        s = self.session("$1")
        for amount in ("$0.02", 20_000_000, Decimal("0.02")):
            self.assertEqual(20_000_000, s.charge(amount, "ocr").cost_nanos)
        with self.assertRaises(TypeError):
            s.charge(0.02, "ocr")
        with self.assertRaises(bursar.MoneyTextError):
            s.charge("two cents", "ocr")
        with self.assertRaises(bursar.InvalidArgumentError):
            s.charge(Decimal("0.0000000001"), "ocr")
        with self.assertRaises(bursar.BudgetExceeded):
            s.charge("$1", "ocr")
        self.assertEqual(60_000_000, s.read().spent_nanos)
        s.charge("$1", "ocr", force=True)  # it has happened: recorded past the limit
        self.assertEqual(1_060_000_000, s.read().spent_nanos)

    def test_a_key_charges_once(self):
        s = self.session("$1")
        for key in ("order-17", b"order-17", 17):
            s.charge("$0.01", "ocr", key=key)
            with self.assertRaises(bursar.ConflictError):
                s.charge("$0.02", "ocr", key=key)
        self.assertTrue(s.charge("$0.01", "ocr", key="order-17").replay)

    def test_named_meters_are_limited_like_any_other(self):
        self.rt.meter("gpu_seconds")
        s = self.session("90 gpu_seconds")
        s.charge(meter="gpu_seconds", units=60)
        with self.assertRaises(bursar.BudgetExceeded):
            s.charge(meter="gpu_seconds", units=60)
        self.assertEqual(60, s.read().meters["gpu_seconds"].spent)


class Prices(Case):
    BOOK = {
        "sample_spec": {},
        "acme-1": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": 3e-07,
                   "output_cost_per_token": 1.2e-06, "cache_read_input_token_cost": 3e-08},
        "acme-sees": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": 1e-06,
                      "output_cost_per_token": 1e-06, "input_cost_per_video_per_second": 0.01},
    }

    def test_a_book_is_loaded_from_bytes_or_a_path_and_says_what_it_left_out(self):
        data = json.dumps(self.BOOK).encode()
        report = self.rt.prices_load(data)
        self.assertEqual(2, report.models)
        self.assertTrue(any("acme-sees" in line for line in report.unsupported), report)
        self.assertEqual((300_000, 1_200_000, 30_000), self.rt.rates("acme-1")[:3])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "prices.json")
            with open(path, "wb") as file:
                file.write(data)
            self.assertEqual(2, self.rt.prices_load(path).models)
        with self.assertRaises(OSError):
            self.rt.prices_load("/no/such/file")

    def test_one_model_is_overridden_in_one_call(self):
        before = self.rt.quote("gpt-4o", Usage(1_000))
        self.rt.price("gpt-4o", input="$1/M", output="$2/M", request="$0.001")
        self.assertEqual(1_000_000 + 1_000_000, self.rt.quote("gpt-4o", Usage(1_000)))
        self.assertNotEqual(before, self.rt.quote("gpt-4o", Usage(1_000)))

    def test_variants_have_their_own_price(self):
        used = Usage(1_000, output_tokens=1_000)
        full, half = (self.rt.quote("gpt-4o", used, variant=v) for v in ("standard", "batch"))
        self.assertEqual(full, 2 * half)


class Control(Case):
    def test_kill_revive_pause_and_resume_reach_every_session_below(self):
        self.dime()
        self.rt.budget("acme", "$1")
        s = self.session(path="acme/support/triage")
        self.rt.kill("acme/support", reason="runaway")
        with self.assertRaises(bursar.Killed) as caught:
            s.step("dime", input=1, max_output_tokens=0)
        self.assertEqual("runaway", caught.exception.decision.why)
        self.assertEqual("acme/support", caught.exception.decision.path)
        self.assertEqual(bursar.State.KILLED, s.read().effective_state)
        self.rt.revive("acme/support")
        self.rt.pause(s)
        with self.assertRaises(bursar.Paused):
            s.step("dime", input=1, max_output_tokens=0)
        self.rt.resume(s)
        self.rt.kill(everything=True, reason="all")
        with self.assertRaises(bursar.Killed):
            s.charge("$0.01")
        self.rt.revive(everything=True)
        self.assertTrue(s.reserve("dime", input_tokens=1))

    def test_a_rate_throttles_and_says_when(self):
        s = self.session()
        self.rt.budget("acme", "1 steps/min")
        self.rt.price("free", input="$0/M", output="$0/M")
        s.reserve("free", input_tokens=1)
        with self.assertRaises(bursar.Throttled) as caught:
            s.step("free", input=1, max_output_tokens=0)
        self.assertGreater(caught.exception.decision.retry_after, 50)
        self.assertLessEqual(caught.exception.decision.retry_after, 60)

    def test_a_deadline_ends_a_session(self):
        self.dime()
        s = self.session("1s wall", "$1")
        time.sleep(1.05)
        with self.assertRaises(bursar.DeadlineExceeded):
            s.step("dime", input=1, max_output_tokens=0)

    def test_nobody_attending_pauses_until_somebody_does(self):
        self.dime()
        s = self.session("1s unattended", "$1")
        time.sleep(1.05)
        with self.assertRaises(bursar.Paused):
            s.step("dime", input=1, max_output_tokens=0)
        s.attend("ada")
        self.assertTrue(s.reserve("dime", input_tokens=1))

    def test_observing_stops_nobody(self):
        self.dime()
        s = self.session("$0.05")
        self.rt.observe(s)
        d = s.reserve("dime", input_tokens=1)
        self.assertTrue(d)
        self.assertTrue(d.flags & bursar.DecisionFlag.OBSERVED)
        self.assertEqual(50_000_000, d.limit)

    def test_views_and_spend_say_who_and_what(self):
        self.dime()
        self.rt.budget("acme", "$1", owner="platform", cost_center="4711", purpose="triage")
        s = self.session("$0.50", agent="extractor", ladder=["dime"],
                         labels={"feature": "invoices", "z": "1"})
        s.settle(s.reserve("dime", input_tokens=1), input_tokens=1, output_tokens=0)
        v = s.read()
        self.assertEqual(("acme/support/triage", "extractor", "platform", "4711"),
                         (v.path, v.agent, v.owner, v.cost_center))
        self.assertEqual(({"feature": "invoices", "z": "1"}, ("dime",)), (v.labels, v.ladder))
        self.assertEqual("triage", self.rt.read("acme").purpose)
        self.assertIn(s.id, self.rt.children("acme/support/triage"))
        [row] = self.rt.spend()
        self.assertEqual(("acme/support/triage", "extractor", "dime", 1, 100_000_000),
                         (row.path, row.agent, row.model, row.steps, row.cost_nanos))
        report = bursar.report(self.rt)
        for word in ("$0.1", "extractor", "dime", "acme/support/triage"):
            self.assertIn(word, report)
        self.assertLessEqual(len(report.splitlines()), 24)

    def test_a_report_shows_no_control_characters(self):
        from bursar.report import _clean
        self.assertEqual("a?[2Jb", _clean("a\x1b[2Jb"))
        self.assertEqual(40, len(_clean("x" * 90)))


if __name__ == "__main__":
    unittest.main()
