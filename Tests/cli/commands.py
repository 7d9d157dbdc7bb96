"""Every command that there is, as the command itself says, and words with which each of them works.

`{path}` and the like in those words stand for what a shop's home has (GOOD); tests put in something
else (BAD) to see what is said about it. A new command without a line here is a failed test.
"""

import json
import re
import subprocess
from pathlib import Path

from homes import COMMAND

GOOD = {
    "path": "acme/support", "place": "acme/research", "paths": "acme/research", "leaf": "acme/empty", "new": "acme/new", "session": "SESSION",
    "done": "DONE", "limits": "$30", "more": "$5", "money": "$12.50", "time": "2d", "span": "1h", "period": "2026-10",
    "types": "threshold,kill", "dimensions": "team,label:customer", "name": "mail_answered", "id": "m-1", "id2": "m-2",
    "file": "prices.json", "table": "deals.csv", "sql": "SELECT name, value_nanos FROM v_outcomes ORDER BY 1, 2",
    "model": "house", "count": "1000", "label": "user=ada", "tag": "customer=globex", "title": "mail_answered", "number": "SESSION", "spread": "shared", "focus": "1.3", "sort": "path",
    "newhome": "fresh",
}  # fmt: skip

LONG = "x" * 65_536
# What is none of its kind, and with what code that ends: 64 usage, 65 text, 66 not there.
BAD = {
    "path": [("acme/suport", 66), ("/acme//support", 65), ("99", 66), ("", 65), (LONG, 65)],
    "place": [("acme//support", 65), ("a\x1b[2Jb", 65), ("", 65)],
    "new": [("acme//new", 65), ("a\x1b[2Jb", 65), ("", 65), ("a/b/c/d/e/f/g/h/i", 65), (LONG, 65)],
    "session": [("4", 66), ("nobody", 66), ("-1", 64), ("9" * 30, 66)],
    "limits": [("5 bananas", 65), ("$5/fortnight", 65), ("-$5", 65), ("$5 \x1b[2J", 65), (LONG, 65)],
    "more": [("5 bananas", 65), ("7 steps", 66), ("$5/day", 65), ("", 65)],
    "money": [("five", 65), ("$1.2.3", 65), ("$99999999999999999999", 65), ("1 EUR", 65)],
    "time": [("whenever", 64), ("2026-02-31", 64), ("", 64), ("99999999999999d", 64)],
    "span": [("soon", 64), ("0h", 64), ("-1h", 64), ("", 64)],
    "period": [("2026-13", 64), ("October", 64), ("", 64)],
    "types": [("kil", 64), ("", 64)],
    "dimensions": [("tem", 64), ("", 64), ("label:", 64)],
    "name": [("nobody", 66), ("", 65)],
    "title": [("", 65), (LONG, 65)],
    "tag": [("customer", 65), ("", 64), ("=x", 65)],
    "number": [("999", 66), ("nobody", 64), ("9" * 30, 64)],
    "id": [("nothing", 66), ("", 65)],
    "file": [("nowhere.json", 66), (".", 66), ("deals.csv", 65), ("noise", 65)],
    "table": [("nowhere.csv", 66), (".", 66), ("prices.json", 1), ("noise", 65), ("others/diary.txt", 65)],
    "sql": [("SELEC 1", 65), ("DELETE FROM steps", 65), ("", 65), ("SELECT 1; SELECT 2", 65)],
    "model": [("nobody", 66), ("", 65)],
    "count": [("-1", 64), ("many", 64), ("99999999999999999999", 64)],
    "label": [("ada", 64), ("=ada", 64)],
    "spread": [("all", 64)], "focus": [("1.1", 64)], "sort": [("luck", 64)],
    "newhome": [("prices.json", 69), ("prices.json/x", 69), ("/no/such/place", 69), ("others", 69), ("", 64)],
}  # fmt: skip
BAD.update(paths=BAD["path"], leaf=BAD["path"], done=BAD["session"], id2=BAD["id"])

# In an order in which each finds what it needs. The first of a command is the one that says most.
WORKS = [
    ("home create", "--home {newhome}"),
    ("budget declare", "{new} {limits} --owner ada --cost-center cc-7 --purpose tests"),
    ("budget declare", "{new} $31"),
    ("budget limit", "{paths} {limits}"),
    ("budget topup", "{path} {more} --for {span} --reason sale"),
    ("budget assign", "{new} --owner bob --cost-center cc-8"),
    ("budget observe", "{new}"),
    ("budget observe", "{new} --off"),
    ("budget list", "{path}"),
    ("budget show", "{path}"),
    ("budget remove", "{leaf}"),
    ("status", "{path}"),
    ("status", "--sessions"),
    ("session list", "{path} --sort {sort}"),
    ("session list", ""),
    ("session show", "{session}"),
    ("session attend", "{session} --who ada"),
    ("pause", "{paths} --reason lunch"),
    ("resume", "{paths}"),
    ("kill", "{paths} --reason loud"),
    ("revive", "{paths}"),
    ("session close", "{done}"),
    ("top", "--once --sort {sort}"),
    ("run", "--limits {limits} --path {place} --grace {span} --label {label} -- true"),
    ("outcome add", "{title} --id m-3 --workflow {path} --value {money} --at {time} --by ada"),
    ("outcome add", "mail_read --session {number}"),
    ("outcome add", "mail_read --id r-1 --label {tag}"),
    ("outcome import", "{table} --by ada"),
    ("outcome dispute", "{name} {id2} --by ada --reason twice"),
    ("outcome correct", "{name} {id} --value {money} --rework {span} --by ada"),
    ("outcome verify", "{name} {id} --by grace"),
    ("outcome withdraw", "{name} {id2} --by grace"),
    ("outcome list", "mail_answered --since {time}"),
    ("outcome list", "--revisions"),
    ("report", "--by {dimensions} --since {time} --path {path}"),
    ("report", "--per session --by {dimensions}"),
    ("report", "--savings --prices {file}"),
    ("report", "--waste"),
    ("report", "--margin"),
    ("report", "--chargeback --period {period} --invoice {money} --spread {spread}"),
    ("report", "--explain {period}..{period}"),
    ("query", "{sql}"),
    ("export", "--focus {focus} --since {time} --account acme"),
    ("events", "--since {time} --path {path} --type {types}"),
    ("events", ""),
    ("watch", "--once --since {time} --path {path} --type {types}"),
    ("prices show", "{model} --prices {file}"),
    ("prices show", ""),
    ("prices check", "{file}"),
    ("prices check", ""),
    ("prices import", "{file}"),
    ("prices diff", "{file} {file}"),
    ("price", "{model} --input {count} --output {count} --prices {file}"),
    ("doctor", ""),
    ("check", "--since {time}"),
    ("verify", ""),
]  # fmt: skip


class Command:
    """A command that does something: its words, and what it takes."""

    def __init__(self, words, described):
        self.name = " ".join(words)
        self.words = words
        names = {name["name"] for argument in described.get("arguments", []) for name in argument.get("names", [])}
        self.has_home = "home" in names
        self.forms = ["", *(f"--{form}" for form in ("json", "csv") if form in names)]
        self.works = [line.split(" ") if line else [] for name, line in WORKS if name == self.name]


def tree():
    """Groups and commands, from the root on: (words, what the command says of it)."""

    def walk(command, words):
        yield words, command
        for below in command.get("subcommands", []):
            if below["commandName"] != "help":
                yield from walk(below, [*words, below["commandName"]])

    text = subprocess.run([COMMAND, "--experimental-dump-help"], capture_output=True, check=True).stdout
    return list(walk(json.loads(text)["command"], []))


def every():
    """Every command that does something, in the order in which WORKS has them."""
    found = [Command(words, described) for words, described in tree() if not described.get("subcommands")]
    order = [name for name, _ in WORKS]
    return sorted(found, key=lambda command: order.index(command.name) if command.works else -1)


def filled(words, values, at=None, bad=None):
    """Words with what they stand for; the placeholder number `at` with `bad` rather than that."""
    out, number = [], -1
    for word in words:

        def value(match):
            nonlocal number
            number += 1
            return bad if number == at else values[match[1]]

        out.append(re.sub(r"\{(\w+)\}", value, word))
    return out


def placeholders(words):
    return [kind for word in words for kind in re.findall(r"\{(\w+)\}", word)]


def shown(args):
    """Words as a shell takes them, long ones cut."""
    words = [word if re.fullmatch(r"[\w./:,=$@+-]+", word) else repr(word) for word in map(str, args)]
    return " ".join(word if len(word) < 100 else f"{word[:20]}…({len(word)})" for word in words)


SHOP = """
import bursar
from pathlib import Path
folder = Path(sys.argv[1])
rt = bursar.open(folder / "home", name="shop")
rt.prices_load(folder / "prices.json")
rt.price("own", input="$2/M", output="$3/M")
rt.budget("acme", "$1000 alert 50%", owner="ada", cost_center="cc-100")
rt.budget("acme/support", "$20 alert 50%, 900 tool_calls", owner="grace", cost_center="cc-200", purpose="answers mail")
rt.budget("acme/research", "$4/day")
rt.budget("acme/empty")
LABELS = dict(customer="globex", feature="mail")
triage = rt.session("acme/support", "$15", agent="triage", labels=LABELS, ladder=["house", "small"])
for k in range(3):
    d = triage.reserve(None, input_tokens=1000 + k, max_output_tokens=500, complexity="routine")
    triage.settle(d, input_tokens=1000 + k, output_tokens=70)
with triage.tool("web_search", dict(q="x")): pass
reader = rt.session("acme/research", agent="reader", ladder=["own"])
d = reader.reserve("own", input_tokens=500, max_output_tokens=9)
reader.settle(d, input_tokens=500, output_tokens=9)
done = rt.session("acme/research", "$1", agent="done")
with triage.child("helper", "$1") as child: child.charge("$0.25")
triage.charge("$11")  # last: what it crosses is told when the keeper comes
triage.outcome("mail_answered", "$3.20", id="m-1")
triage.outcome("mail_answered", id="m-2")
rt.query("SELECT 1")
for s in (triage, reader, done): s.environ()
until = time.monotonic() + 10
while not list(rt.query("SELECT 1 FROM v_events WHERE code = 1")) and time.monotonic() < until: time.sleep(0.02)
print(triage.id, done.id)
os._exit(0)
"""
PRICES = {
    "format": "bursar-prices-1", "as_of": "2026-09-01", "source": "a test",
    "models": {"house": {"input": "$10/M", "output": "$50/M"}, "small": {"input": "$1/M", "output": "$5/M"}},
}  # fmt: skip
DEALS = "name,id,workflow,value\ndeal_won,d-1,acme/support,$7\ndeal_won,d-2,acme/nowhere,$8\n"


def shop(folder: Path, python, env):
    """Makes FOLDER/home and files beside it; what the placeholders stand for there."""
    (folder / "prices.json").write_text(json.dumps(PRICES, indent=1))
    (folder / "deals.csv").write_text(DEALS)
    (folder / "noise").write_bytes(b"\xfe\0\x1b[2J" * 9)
    (folder / "others").mkdir()
    (folder / "others/diary.txt").write_text("mine\n")
    script = folder / "shop.py"
    script.write_text("import os, sys, time\n" + SHOP)
    done = subprocess.run([python, str(script), str(folder)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    session, closed = done.stdout.split()
    return {**GOOD, "session": session, "number": session, "done": closed}
