"""Actions of tools, agents that run in circles, and seats that another task leaves."""

import contextvars
import dataclasses
import unittest
import warnings

import bursar
from bursar.instrument import within
from bursar.loops import REPEATS_MAX, Loops, action_of


class Actions(unittest.TestCase):
    def test_the_order_of_arguments_does_not_matter(self):
        one = action_of("search", {"query": "a", "filters": [{"x": 1, "y": 2.0}]})
        for other in (
            {"filters": [{"y": 2, "x": 1}], "query": "a"},
            '{"filters": [{"y": 2, "x": 1}],  "query":"a"}',
            b'{"query":"a","filters":[{"x":1.0,"y":2}]}',
        ):
            self.assertEqual(one, action_of("search", other))

    def test_all_else_does(self):
        actions = {
            action_of(tool, arguments)
            for tool, arguments in (
                ("a", {}), ("b", {}), ("a", {"x": 1}), ("a", {"x": "1"}), ("a", {"x": None}),
                ("a", {"x": True}), ("a", {"x": [1, 2]}), ("a", {"x": [2, 1]}), ("a", "x"),
                ("a", None),
            )
        }  # fmt: skip
        self.assertEqual(10, len(actions))

    def test_whatever_arguments_are(self):
        loop = []
        loop.append(loop)
        deep = {}
        for _ in range(5_000):
            deep = {"a": deep}
        for odd in (loop, deep, object(), {1, 2}, b"\xff", "\ud800", float("nan"), 10**400,
                    {("a", 1): 2}, dataclasses.make_dataclass("D", ["x"])(1)):  # fmt: skip
            self.assertRegex(action_of("a", {"x": odd}), "^[0-9a-f]{32}$")


class Circles(unittest.TestCase):
    def setUp(self):
        self.loops = Loops()

    def test_the_same_answer_in_a_row(self):
        counts = [self.loops.note("a", "t", answer) for answer in ("x", "x", "y", "y", "y", "x")]
        self.assertEqual([1, 2, 1, 2, 3, 1], counts)

    def test_whatever_is_called_in_between(self):
        counts = [self.loops.note(action, "t", "x") for action in "ababab"]
        self.assertEqual([1, 1, 2, 2, 3, 3], counts)

    def test_is_said_once(self):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for _ in range(REPEATS_MAX + 5):
                self.loops.note("a", "search", {"same": "answer"})
        self.assertEqual(1, len(said))
        self.assertIn("'search' was called 8 times", str(said[0].message))

    def test_what_is_kept_is_bounded(self):
        for number in range(5_000):
            self.loops.note(str(number), "t", "x")
        self.assertLessEqual(len(self.loops._seen), 1_024)
        self.assertEqual(2, self.loops.note("4999", "t", "x"))

    def test_tools_note_theirs(self):
        with bursar.open() as rt, rt.session("acme/loops", "$1") as s:
            for times in range(1, 4):
                with s.tool("search", {"a": 1, "b": 2}) as tool:
                    self.assertEqual(action_of("search", '{"b": 2, "a": 1}'), tool.action)
                    self.assertEqual(times, tool.came("nothing"))


class Seats(unittest.TestCase):
    """Frameworks enter in one task and leave in another."""

    def setUp(self):
        self.rt = bursar.open()
        self.addCleanup(self.rt.close)
        self.s = self.rt.session("acme/seats", "$1")
        self.addCleanup(self.s.close)
        self.rt.price("m", input="$1/M", output="$1/M")

    def test_left_elsewhere(self):
        inside = within(self.s)
        inside.__enter__()
        self.assertIs(self.s, bursar.current())
        contextvars.copy_context().run(inside.__exit__, None, None, None)
        self.assertIsNone(bursar.current())

    def test_one_below_stays(self):
        with self.rt.session("acme/other", "$1") as other:
            inside = within(self.s)
            inside.__enter__()
            contextvars.copy_context().run(inside.__exit__, None, None, None)
            self.assertIs(other, bursar.current())

    def test_what_was_left_does_not_pile_up(self):
        from bursar.seat import _current

        for _ in range(100):
            inside = within(self.s)
            inside.__enter__()
            contextvars.copy_context().run(inside.__exit__, None, None, None)
        length, chain = 0, _current.get()
        while chain is not None:
            length, chain = length + 1, chain[1]
        self.assertLessEqual(length, 1)

    def test_turns_too(self):
        from bursar.turn import current_turn

        turn = self.s.turn("m", max_output_tokens=10)
        turn.__enter__()
        self.assertIs(turn, current_turn())
        contextvars.copy_context().run(turn.leave)
        self.assertIsNone(current_turn())
        self.assertIsNone(bursar.current())
        turn.settle(input_tokens=1, output_tokens=1)
        turn.finish()
        self.assertEqual(2_000, self.s.read().spent_nanos)


if __name__ == "__main__":
    unittest.main()
