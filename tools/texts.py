#!/usr/bin/env python3
"""Packs the literals of a program, in LLVM's own text: texts.py < program.ll > packed.ll

Only literals that go nowhere but to the function that unpacks them ([UInt8].append in
Sources/BursarCore/Support/Text.swift), as they stand or through functions that only hand
them on. Their length stands beside them in every call, and is changed with them."""
import re
import sys

from bytepairs import pack

UNPACKS = "s5UInt8VRszlE6appendyys12StaticStringVF"  # the end of its mangled name
NAME = r'@(?:"[^"]*"|[\w.$]+)'
LITERAL = re.compile(rf'({NAME}) = (.*constant )\[(\d+) x i8\] c"(.*)\\00"(.*)')
CALL = re.compile(rf"call [^@(]*(?:\([^)]*\) )?({NAME})\(")


def arguments(line, start):
    """Where each argument begins and ends, of the list that opens before `start`."""
    spans, depth, quoted, at = [], 0, False, start
    for i in range(start, len(line)):
        c = line[i]
        if c == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif c in "([{":
            depth += 1
        elif depth and c in ")]}":
            depth -= 1
        elif not depth and c in ",)":
            spans.append((at, i))
            at = i + 1
            if c == ")":
                return spans
    sys.exit(f"texts.py: no end of the arguments: {line[:200]}")


def called(line):
    match = CALL.search(line)
    return (match[1], arguments(line, match.end())) if match else (None, [])


lines = sys.stdin.read().split("\n")
literals = {}  # by name: its line, and its bytes
for number, line in enumerate(lines):
    if match := LITERAL.fullmatch(line):
        text = re.sub(r"\\([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), match[4]).encode("latin-1")
        if len(text) + 1 == int(match[3]):
            literals[match[1]] = (number, text)

# What is done with each parameter, and with each literal.
bodies, uses, function = {}, {name: [] for name in literals}, None
for number, line in enumerate(lines):
    if line.startswith("define "):
        match = re.search(rf"({NAME})\(", line)
        function = match[1]
        spans = arguments(line, match.end())
        names = [line[a:b].split()[-1] if a < b else "" for a, b in spans]
        bodies[function] = (names, {name: [] for name in names})
    elif line.startswith("}"):
        function = None
    elif function:
        parameters = bodies[function][1]
        for token in set(re.findall(r"%[\w.]+", line)) & parameters.keys():
            parameters[token].append(number)
    if "@" in line and not LITERAL.fullmatch(line):
        for name in set(re.findall(NAME, line)) & literals.keys():
            uses[name].append(number)

takers = {(name, 0) for name in bodies if name.strip('"').endswith(UNPACKS)}
if len(takers) != 1:
    sys.exit("texts.py: the function that unpacks is not there, or not alone")


def handed_on(line, text, length):
    """True when the call takes the text only where a taker expects one, its length beside it."""
    callee, spans = called(line)
    values = [line[a:b] for a, b in spans]
    at = [k for k, value in enumerate(values) if text(value)]
    return bool(at) and all(
        (callee, k) in takers and k + 1 < len(values) and length(values[k + 1]) for k in at
    )


def mentions(line, name):
    return len(re.findall(re.escape(name) + r"(?![\w.])", line))


def is_value(name):
    return lambda value: value.split()[-1:] == [name]


growing = True
while growing:
    growing = False
    for function, (names, parameters) in bodies.items():
        for k in range(len(names) - 1):
            text, length = names[k : k + 2]
            if (function, k) in takers or not parameters[text]:
                continue
            if parameters[text] == parameters[length] and all(
                handed_on(lines[n], is_value(text), is_value(length))
                and mentions(lines[n], text) == mentions(lines[n], length)
                for n in parameters[text]
            ):
                takers.add((function, k))
                growing = True


def is_literal(name):
    return lambda value: mentions(value, name) > 0


packable = [
    name
    for name, (_, text) in literals.items()
    if len(text) > 1
    and uses[name]
    and all(handed_on(lines[n], is_literal(name), is_value(str(len(text)))) for n in uses[name])
]
packed, pairs = pack([literals[name][1] for name in packable])
for name, new in zip(packable, packed):
    number, old = literals[name]
    head, _, tail = LITERAL.fullmatch(lines[number]).group(2, 4, 5)
    new = bytes(new)
    text = "".join(f"\\{byte:02X}" for byte in new)
    lines[number] = f'{name} = {head}[{len(new)} x i8] c"{text}"{tail}'
    for n in uses[name]:
        line = lines[n]
        spans = called(line)[1]
        for k in reversed(range(len(spans) - 1)):
            if is_literal(name)(line[slice(*spans[k])]):
                a, b = spans[k + 1]
                line = line[:a] + re.sub(r"\d+$", str(len(new)), line[a:b]) + line[b:]
        lines[n] = line

table = [sum(s << 8 * k for k, s in enumerate(pairs.get(symbol, (0, 0)))) for symbol in range(256)]
for number, line in enumerate(lines):
    if line.startswith("@bursar__text_pairs = "):
        values = ", ".join(f"i16 {value}" for value in table)
        lines[number] = line.replace("zeroinitializer", f"[{values}]")
        break
else:
    sys.exit("texts.py: there are no pairs to fill in")
plain = sum(len(literals[name][1]) + 1 for name in packable)
note = f"{len(packable)} literals, {plain} bytes, packed in {sum(map(len, packed)) + 512}"
print(f"texts.py: {note}", file=sys.stderr)
print("\n".join(lines), end="")
