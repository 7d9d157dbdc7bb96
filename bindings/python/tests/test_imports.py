"""Outcomes from files: what a line says, what is wrong with it, and a file that comes again."""

import csv
import datetime
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import bursar
from support import LONG, ROOT, Case

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = (
    "SELECT name, key, state, value_nanos, rework_nanos, rework_ns, CASE WHEN session IS NOT NULL"
    " THEN 'session' WHEN label_key IS NOT NULL THEN label_key||'='||label_value ELSE workflow END"
    " credit, at, who, why FROM v_outcomes ORDER BY name, length(key), key")


class Home(Case):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.addCleanup(self.folder.cleanup)
        self.fresh()

    def fresh(self, name="home"):
        self.home = os.path.join(self.folder.name, name)
        self.rt = bursar.open(self.home, shm_dir=self.folder.name, name="worker")
        self.addCleanup(self.rt.close)
        self.rt.budget("acme", "$100")
        self.s = self.rt.session("acme/support", labels={"customer": "hooli"})
        self.addCleanup(self.s.close)
        return self.rt

    def number(self, sql):
        return next(iter(self.rt.query(sql)[0].values()))

    def csv(self, text, **options):
        return self.rt.import_outcomes(io.StringIO(text), **options)


class Imports(Home):
    def test_every_case_of_the_table(self):
        with open(os.path.join(ROOT, "Tests", "imports.json")) as table:
            cases = json.load(table)
        self.rt.close()
        for k, case in enumerate(cases):
            with self.subTest(case["says"]):
                rt = self.fresh(f"home{k}")
                key = self.number("SELECT session FROM v_sessions")
                text = case["file"].replace("{session}", str(self.s.id)).replace("{key}", str(key))
                data = text.encode("latin-1" if case.get("latin1") else "utf-8")
                options = case.get("options", {})
                if "error" in case:
                    with self.assertRaises(bursar.InvalidArgumentError) as caught:
                        rt.import_outcomes(io.BytesIO(data), **options)
                    self.assertIn(case["error"], str(caught.exception))
                    self.assertEqual(0, self.number("SELECT count(*) FROM outcomes"))
                    continue
                done = rt.import_outcomes(io.BytesIO(data), **options)
                self.assertEqual(case["counts"], list(done[:3]), done)
                self.assertEqual(
                    [(line, column) for line, column, _ in case["failed"]],
                    [(f.line, f.column) for f in done.failed], done.failed)
                for (line, _, part), found in zip(case["failed"], done.failed):
                    self.assertIn(part, found.reason)
                    self.assertTrue(str(found).startswith(f"line {line}"))
                rows = [list(row.values()) for row in rt.query(ROWS)]
                for row, want in zip(rows, case.get("rows", rows)):
                    row[7] = row[7] if want[7] else None
                    want[7] = want[7] or None
                    self.assertEqual(want, row)
                self.assertEqual(len(case.get("rows", rows)), len(rows))
                # The same file again changes nothing, and finds the same wrong.
                revisions = rt.query("SELECT * FROM v_revisions")
                again = rt.import_outcomes(io.BytesIO(data), **options)
                self.assertEqual(bursar.Imported(0, 0, sum(done[:3]), done.failed), again)
                self.assertEqual(revisions, rt.query("SELECT * FROM v_revisions"))
            rt.close()

    def test_a_path_and_files_that_are_open(self):
        path = os.path.join(self.folder.name, "deals.csv")
        with open(path, "w") as file:
            file.write("name,id,workflow,value\nwon,1,acme,$3\n")
        self.assertEqual(1, self.rt.import_outcomes(path).stated)
        with open(path, "rb") as file:
            self.assertEqual(1, self.rt.import_outcomes(file).unchanged)
        with open(path) as file:
            self.assertEqual(1, self.rt.import_outcomes(file).unchanged)
        with self.assertRaises(FileNotFoundError):
            self.rt.import_outcomes(path + "x")
        with bursar.open() as alone, self.assertRaises(bursar.UnsupportedError):
            alone.import_outcomes(path)
        self.rt.outcome("won", 5, id="2", workflow="acme", at=datetime.datetime(
            2024, 10, 31, tzinfo=datetime.timezone.utc))
        self.assertEqual(1_730_332_800 * 10**9, self.number("SELECT at FROM v_outcomes WHERE key=2"))

    def test_an_agent_states_and_does_not_verify(self):
        text = "name,id,workflow,state,at,by\nwon,1,acme,,,\nwon,1,,verified,2024-10-31,ada\n"
        with bursar.open(self.home, shm_dir=self.folder.name, role="agent") as agent:
            done = agent.import_outcomes(io.StringIO(text))
        self.assertEqual((1, 0, 0), done[:3])
        self.assertEqual([3], [f.line for f in done.failed])

    def test_a_home_that_cannot_be_written_is_an_error_with_the_line(self):
        path = os.path.join(self.folder.name, "deals.csv")
        with open(path, "w") as file:
            file.write("name,id,workflow,reason\n")
            file.writelines(f"won,{k},acme,{'x' * 250}\n" for k in range(9_000))
        source = (
            "import bursar, resource, sys\n"
            "rt = bursar.open(sys.argv[1], existing=True)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))\n"
            "try:\n"
            "    rt.import_outcomes(sys.argv[2])\n"
            "except bursar.BursarError as error:\n"
            "    assert error.line > 1 and f'line {error.line}:' in str(error), error\n"
            "    print(type(error).__name__, error.line)\n")
        said = subprocess.check_output(
            [sys.executable, "-c", source, self.home, path], text=True,
            env={**os.environ, "PYTHONPATH": os.path.join(HERE, "..", "src")}).split()
        there = self.number("SELECT count(*) FROM outcomes")
        self.assertEqual(["HomeError", str(there + 2)], said)
        self.assertTrue(0 < there < 9_000)
        self.assertEqual((9_000 - there, 0, there, []), tuple(self.rt.import_outcomes(path)))
        rt = self.rt
        rt.close()
        with self.assertRaises(bursar.ClosedError):
            rt.import_outcomes(path)

    def test_twenty_thousand_lines(self):
        count = 20_000 if LONG > 1 or os.environ.get("BURSAR_BENCH") else 3_000
        text = "name,id,label:customer,value,at,reason\n" + "".join(
            f'deal_won,d-{k},c{k % 500},${k % 977}.{k % 100:02},2024-10-{k % 31 + 1:02},"a, b"\n'
            for k in range(count))
        took = []
        for want in ((count, 0, 0), (0, 0, count)):
            start = time.perf_counter()
            self.assertEqual((*want, []), tuple(self.csv(text, by="crm")))
            took.append(time.perf_counter() - start)
        start = time.perf_counter()
        self.assertEqual(count, self.number("SELECT count(*) FROM outcomes"))
        took.append(time.perf_counter() - start)
        self.assertEqual(
            sum((k % 977) * 10**9 + k % 100 * 10**7 for k in range(count)),
            self.number("SELECT sum(value_nanos) FROM outcomes"))
        if os.environ.get("BURSAR_BENCH"):
            print(f"{count} lines: {count / took[0]:,.0f} outcomes/s, again {count / took[1]:,.0f}/s, "
                  f"in SQL {took[2]:.2f} s later")


class Hostile(Home):
    """Random files raise InvalidArgumentError or name lines; what is in the ledger was in them."""

    def test_random_files(self):
        seed = int(os.environ.get("BURSAR_SEED", "7"))
        dice = random.Random(seed)
        good = b"name,id,workflow,value,state,at,rework,reason\nwon,1,acme,$3,,,,x\nlost,2,acme,,,2024-10-31,5 min,\n"
        json_good = b'[{"name":"won","id":"1","workflow":"acme"},\n{"name":"b","id":2,"label":"a=b"}]'
        bits = [b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"=", b"{", b"}", b"[", b"]", b":", b";", b"\t",
                b"1e999", b"9" * 400, b"\xf0\x9f\x98\x80", b"\\ud800", b"x" * 300, b"null", b"label:", b"$",
                b"\xef\xbb\xbf", b"-", b"2024-10-31", b"verified", b"\x1b[2J", b"'; DROP TABLE outcomes; --"]
        for k in range(300 * LONG):
            data = bytearray(dice.choice((good, json_good, json_good.replace(b",\n", b"\n")[1:-1])))
            for _ in range(dice.randrange(1, 8)):
                at = dice.randrange(len(data) + 1)
                kind = dice.randrange(4)
                if kind == 0:
                    del data[at : at + dice.randrange(1, 9)]
                elif kind == 1:
                    data[at:at] = dice.choice(bits) * dice.choice((1, 1, 1, 50))
                elif kind == 2 and at < len(data):
                    data[at] = dice.randrange(256)
                else:
                    data[at:at] = data[dice.randrange(len(data) + 1):][:40]
            with self.subTest(seed=seed, k=k, data=bytes(data)[:300]):
                before = self.number("SELECT count(*) FROM v_outcomes")
                try:
                    done = self.rt.import_outcomes(io.BytesIO(data))
                except bursar.InvalidArgumentError:
                    done = bursar.Imported(0, 0, 0, [])
                lines = data.count(b"\n") + data.count(b"\r") + 2
                self.assertTrue(all(0 < f.line <= lines and f.reason for f in done.failed))
                self.assertEqual(
                    before + done.stated, self.number("SELECT count(*) FROM v_outcomes"))
        self.assertIsNone(self.rt.verify())


class Killed(Home):
    """However often an import is killed, after one that is not everything is there, once."""

    def test_everything_once(self):
        dice = random.Random(7)
        path = os.path.join(self.folder.name, "deals.csv")
        with open(path, "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["name", "id", "workflow", "label:customer", "value", "state", "at", "by"])
            for k in range(6_000):
                credit = ("acme", "") if k % 3 else ("", f"c{k % 7}")
                out.writerow(["won", f"d{k}", *credit, f"${k}.5", "", "2024-10-01", "crm"])
                if k % 10 == 0:
                    out.writerow(["won", f"d{k}", "", "", "", "verified", "2024-10-02", "ada"])
        source = (
            "import bursar, sys\n"
            "rt = bursar.open(sys.argv[1], existing=True)\n"
            "print('go', flush=True)\n"
            "print(tuple(rt.import_outcomes(sys.argv[2])), flush=True)\n")
        kills = found = 0
        for k in range(12 * LONG):
            worker = subprocess.Popen(
                [sys.executable, "-c", source, self.home, path], stdout=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONPATH": os.path.join(HERE, "..", "src")})
            worker.stdout.readline()
            time.sleep(dice.random() * 0.25)
            worker.send_signal(signal.SIGKILL)
            kills += worker.wait() == -signal.SIGKILL
            worker.stdout.close()
            found = max(found, self.number("SELECT count(*) FROM outcomes"))
        self.assertGreater(kills, 0)
        done = self.rt.import_outcomes(path)
        self.assertEqual([], done.failed)
        self.assertEqual(6_600, sum(done[:3]))
        self.assertEqual((0, 0, 6_600, []), tuple(self.rt.import_outcomes(path)))
        # The file, added up by somebody else.
        want, revisions = {}, 0
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                revisions += 1
                one = want.setdefault(row["id"], {})
                one.update({key: text for key, text in row.items() if text})
        rows = self.rt.query("SELECT key, state, value_nanos, coalesce(label_value,'') c, who FROM v_outcomes")
        self.assertEqual(
            {key: (o.get("state", "stated"), int(o["value"][1:-2]) * 10**9 + 5 * 10**8,
                   o.get("label:customer", ""), o["by"]) for key, o in want.items()},
            {r["key"]: (r["state"], r["value_nanos"], r["c"], r["who"]) for r in rows})
        self.assertEqual(len(want), len(rows))
        self.assertEqual(revisions, self.number("SELECT count(*) FROM outcomes"))
        if os.environ.get("BURSAR_BENCH"):
            print(f"{kills} killed, the last left {found} of {revisions}")
        self.rt.verify()


if __name__ == "__main__":
    unittest.main()
