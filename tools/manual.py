#!/usr/bin/env python3
"""Writes bursar.1 (mdoc) from what the command says of itself, and docs/operations.md's tables.

    tools/manual.py build/bin/bursar > bursar.1

The date is $SOURCE_DATE_EPOCH, or today.
"""

import collections
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMON = ("home", "json", "csv", "no-color", "quiet", "help", "version")


def line(text):
    """Text as roff has it: `words` in bold, nothing a request or an escape."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fP", text).replace("…", "\\&...")
    text = re.sub(r"(?<=[a-z0-9`)][.:?]) (?=[A-Z])", "\n", text)  # a sentence a line
    return "\n".join("\\&" + part if part.startswith(".") else part for part in text.split("\n"))


def prose(text):
    """Paragraphs; lines that are indented are examples."""
    out = []
    for part in text.strip("\n").split("\n\n"):
        out.append(".Pp")
        example = []
        for words in part.split("\n"):
            if words.startswith("  ") or (example and example[-1].endswith("\\")):
                example.append(words.strip())
            else:
                out.append(line(words))
        if example:
            out += [".Bd -literal -offset indent", *map(line, example), ".Ed"]
    return out


def names(argument):
    return [("-" if n["kind"] == "long" else "") + n["name"] for n in argument.get("names", [])]


def options(arguments):
    out = [".Bl -tag -width Ds"]
    for a in arguments:
        value = f" Ar {line(a['valueName'])}" if a["kind"] == "option" else ""
        if a["kind"] == "positional":
            out.append(f".It Ar {line(a['valueName'])}")
        else:
            flags = sorted(names(a), key=len)
            out.append(".It " + " , ".join(f"Fl {line(f)}" for f in flags) + value)
        text = a.get("abstract", "")
        if a.get("defaultValue") and "Default" not in text:
            text += f" Default: {a['defaultValue']}."
        if text:
            out.append(line(text))
    return out + [".El"]


common = {}  # options that many commands have, by name, as most of them say it


def is_common(argument):
    known = common.get(argument.get("preferredName", {}).get("name"))
    return known is not None and known["abstract"] == argument.get("abstract")


def command(spec, above):
    """A subcommand's section, and those of what is below it."""
    name = f"{above} {spec['commandName']}"
    below = [s for s in spec.get("subcommands", []) if s.get("shouldDisplay", True) and s["commandName"] != "help"]
    out = []
    if not below:
        own = [a for a in spec.get("arguments", []) if a.get("shouldDisplay", True)]
        listed = [a for a in own if not is_common(a)]
        synopsis = [".Op Ar options"] if any(a["kind"] != "positional" for a in own) else []
        for a in own:
            if a["kind"] == "positional":
                dots = " ..." if a["isRepeating"] else ""
                synopsis.append((".Op Ar " if a["isOptional"] else ".Ar ") + line(a["valueName"]) + dots)
        out += [f".Ss {name}", f".Nm {name}", *synopsis, ".Pp", line(spec["abstract"])]
        if spec.get("discussion"):
            out += prose(spec["discussion"])
        if listed:
            out += options(listed)
    for s in below:
        out += command(s, name)
    return out


def tables(page):
    """The tables of the page: rows of two cells."""
    found, table = [], []
    for row in page.splitlines() + [""]:
        if row.startswith("|"):
            table.append([cell.strip() for cell in row.strip("|").split("|")])
        elif table:
            found.append((table[0], table[2:]))
            table = []
    return found


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.split("\n\n")[1].strip())
    bursar = sys.argv[1]
    root = json.loads(subprocess.run(
        [bursar, "--experimental-dump-help"], check=True, capture_output=True, text=True).stdout)["command"]
    version = subprocess.run([bursar, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    when = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
    with open(os.path.join(ROOT, "docs", "operations.md")) as file:
        found = tables(file.read())
    seen = collections.Counter()
    texts = {}
    stack = [root]
    while stack:
        spec = stack.pop()
        stack += spec.get("subcommands", [])
        for a in spec.get("arguments", []):
            name = a.get("preferredName", {}).get("name")
            if name in COMMON and "abstract" in a:
                seen[name, a["abstract"]] += 1
                texts[name, a["abstract"]] = a
    for key, _ in seen.most_common():
        common.setdefault(key[0], texts[key])
    out = [
        f".Dd {time.strftime('%B', when)} {when.tm_mday}, {when.tm_year}", ".Dt BURSAR 1", f".Os {version}",
        ".Sh NAME", ".Nm bursar", ".Nd budgets for AI agents, from the command line",
        ".Sh SYNOPSIS", ".Nm", ".Ar command", ".Op Ar options", ".Op Ar arguments",
        ".Sh DESCRIPTION", line(root["abstract"]),
        *prose("Budgets live in a home, a directory that every process of the machine may open. A path such as "
               "`acme/support` stands for a budget and all below it, a number for one session. Limits are written "
               "as in `$500/month alert 80%, 20 steps/min`."),
        ".Pp", "These options are those of many commands:",
        *options([common[name] for name in COMMON if name in common]),
        ".Sh COMMANDS",
    ]  # fmt: skip
    for s in root["subcommands"]:
        if s.get("shouldDisplay", True) and s["commandName"] != "help":
            out += command(s, "bursar")
    out += [
        ".Sh ENVIRONMENT", ".Bl -tag -width Ds",
        ".It Ev BURSAR_HOME", "The home, where", ".Fl \\-home", "does not name one.",
        ".It Ev BURSAR_SESSION", "The session that", ".Nm bursar run", "hands to its command.",
        ".It Ev NO_COLOR", "No colours, when set.",
        ".It Ev TZ", "The zone of times that people read and write. Periods are in UTC.",
        ".El", ".Sh FILES", ".Bl -tag -width Ds",
        ".It Pa ~/.bursar", "The home, where nothing names one.",
        ".It Pa ~/.bursar/ledger.db", "Its ledger: an SQLite database.",
        ".El", ".Sh EXIT STATUS",
    ]  # fmt: skip
    for head, rows in found:
        if head[0] == "code":
            of = "The command" if "other" in head[1] else "bursar run"
            out += [".Pp", "Of every other command:" if of == "The command" else "Of", *([] if of == "The command" else [".Nm bursar run :"])]
            out += [".Bl -tag -width 124"]
            for code, meaning in rows:
                out += [f".It {line(code)}", line(meaning)]
            out += [".El"]
    out += [".Sh EXAMPLES", ".Bl -tag -width Ds"]
    for what, typed in found[0][1]:
        out += [f".It {line(what)}", line(typed)]
    out += [".El", ".Sh SEE ALSO", ".Xr sqlite3 1 ,", ".Xr timeout 1 ,", ".Xr top 1"]
    print("\n".join(out))


if __name__ == "__main__":
    main()
