"""The header, the ctypes tables, the library's symbols and a C compiler must agree."""

import ctypes as C
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from bursar import _abi, words
from support import ROOT

with open(os.path.join(ROOT, "include", "bursar.h")) as file:
    HEADER = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)

SCALARS = {
    "int32_t": C.c_int32, "int64_t": C.c_int64, "uint32_t": C.c_uint32, "uint8_t": C.c_uint8,
    "double": C.c_double, "uint64_t": C.c_uint64, "size_t": C.c_size_t, "char": C.c_char, "bursar_text_t": _abi.Text,
}
for base, name in re.findall(r"typedef (int\d+_t) (bursar_\w+_t);", HEADER):
    SCALARS[name] = SCALARS[base]


def python_name(c_name):
    """bursar_open_options_t -> OpenOptions"""
    return "".join(word.capitalize() for word in c_name[7:-2].split("_"))


def structs():
    """name -> [(field, C type, array length or None)] of the header."""
    found = {}
    for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} (bursar_\w+_t);", HEADER, re.S):
        fields = []
        for declaration in filter(None, (line.strip() for line in body.split(";"))):
            kind, names = re.match(r"((?:const )?\w+)\s+(.*)", declaration, re.S).groups()
            for one in names.split(","):
                one = re.sub(r"BURSAR_\w+", "", one)
                pointer = "*" in one
                field, length = re.match(r"[\s*]*(\w+)(?:\[(\d+)\])?", one).groups()
                fields.append((field, kind + ("*" if pointer else ""), length and int(length)))
        found[name] = fields
    return found


def functions():
    """name -> (return type, [argument types]) of the header, in its order."""
    found = {}
    pattern = r"BURSAR_API\s+([^;(]*?)\s*\b(bursar_\w+)\(([^;]*)\);"
    for result, name, arguments in re.findall(pattern, HEADER):
        clean = [re.sub(r"BURSAR_\w+|\s+", " ", a) for a in arguments.split(",")]
        types = []
        for argument in [] if arguments.strip() == "void" else clean:
            stars = argument.count("*")
            kind = re.sub(r"\bconst\b|\*", " ", argument).split()[0]
            types.append(kind + "*" * stars)
        result = re.sub(r"BURSAR_\w+", " ", result)
        found[name] = (re.sub(r"\bconst\b|\s", "", result), types)
    return found


class Drift(unittest.TestCase):
    def test_every_constant_is_mirrored_with_its_value(self):
        header = {}
        for name, value in re.findall(r"#define BURSAR_(\w+) (\(?-?\d+\)?u?)\b", HEADER):
            header[name] = int(value.strip("()u"))
        mirror = {n: getattr(words, n) for n in dir(words) if re.match(r"[A-Z_]+$", n)
                  and isinstance(getattr(words, n), int)}
        for prefix, kind in words.PREFIXES.items():
            mirror.update({prefix + m.name: int(m) for m in kind})
        self.assertGreater(len(header), 120)
        self.assertEqual(header, mirror)

    def test_every_function_is_mirrored_in_order_with_its_types(self):
        header = functions()
        self.assertEqual(list(header), list(_abi.FUNCTIONS))
        for name, (result, types) in header.items():
            restype, argtypes = _abi.FUNCTIONS[name]
            self.assertEqual(restype, C.c_char_p if result == "char*" else SCALARS[result], name)
            self.assertEqual(len(types), len(argtypes), name)
            for kind, argtype in zip(types, argtypes):
                self.assertIn(argtype, self.ctypes_of(kind), f"{name}: {kind}")

    def ctypes_of(self, kind):
        if kind == "bursar_event_fn":
            return [_abi.event_fn]
        if kind in ("bursar_runtime_t*", "bursar_query_t*", "void*"):
            return [C.c_void_p]
        if kind.endswith("**"):
            return [C.POINTER(inner) for inner in self.ctypes_of(kind[:-1])]
        if kind == "char*":
            return [C.c_char_p, C.c_void_p]
        if kind.endswith("*"):
            inner = kind[:-1]
            return [C.POINTER(SCALARS[inner] if inner in SCALARS
                              else getattr(_abi, python_name(inner)))]
        return [SCALARS[kind]]

    def test_every_struct_is_mirrored_field_by_field(self):
        header = structs()
        mirrored = {n for n, v in vars(_abi).items() if isinstance(v, type)
                    and issubclass(v, C.Structure) and hasattr(v, "_fields_")}
        self.assertEqual({python_name(n) for n in header}, mirrored)
        for name, fields in header.items():
            mirror = getattr(_abi, python_name(name))._fields_
            self.assertEqual([f[0] for f in fields], [f[0] for f in mirror], name)
            for (field, kind, length), (_, ctype) in zip(fields, mirror):
                if kind == "void*":
                    wanted = C.c_void_p
                elif kind == "const char*":
                    wanted = C.c_char_p
                elif kind.endswith("*"):
                    wanted = C.POINTER(getattr(_abi, python_name(kind.replace("const ", "")[:-1])))
                else:
                    wanted = SCALARS[kind]
                if length:
                    wanted = wanted * length
                self.assertEqual(wanted, ctype, f"{name}.{field}")

    def test_a_c_compiler_lays_out_every_struct_the_same(self):
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            self.skipTest("no C compiler")
        lines = ['#include "bursar.h"', "#include <stdio.h>", "int main(void) {", 'puts("{");']
        for name, fields in structs().items():
            lines.append(f'printf("\\"{name}\\": %zu,\\n", sizeof({name}));')
            for field, _, _ in fields:
                lines.append(f'printf("\\"{name}.{field}\\": %zu,\\n", offsetof({name}, {field}));')
        lines += ['puts("\\"end\\": 0}");', "return 0; }"]
        with tempfile.TemporaryDirectory() as folder:
            source, probe = os.path.join(folder, "probe.c"), os.path.join(folder, "probe")
            with open(source, "w") as file:
                file.write("\n".join(lines))
            subprocess.run([compiler, "-I", os.path.join(ROOT, "include"), source, "-o", probe],
                           check=True)
            layout = json.loads(subprocess.check_output([probe]))
        for name, fields in structs().items():
            mirror = getattr(_abi, python_name(name))
            self.assertEqual(layout[name], C.sizeof(mirror), name)
            for field, _, _ in fields:
                self.assertEqual(layout[f"{name}.{field}"], getattr(mirror, field).offset, field)

    def test_the_library_exports_the_header_and_nothing_else(self):
        nm = shutil.which("nm")
        if nm is None:
            self.skipTest("no nm")
        out = subprocess.check_output([nm, "-D", "--defined-only", _abi.library().path], text=True)
        symbols = {line.split()[-1].split("@")[0] for line in out.splitlines()}
        self.assertEqual(set(_abi.FUNCTIONS), {s for s in symbols if s.startswith("bursar_")})
        self.assertEqual(set(), {s for s in symbols if not s.startswith("bursar_")
                                 and not s.startswith("_")} - {"libbursar"})

    def test_the_version_is_the_header_s(self):
        self.assertEqual(words.VERSION_NUMBER, _abi.library().call.bursar_version_number())
        import bursar
        wanted = f"{words.VERSION_MAJOR}.{words.VERSION_MINOR}.{words.VERSION_PATCH}"
        self.assertEqual(wanted, bursar.__version__)


class Words(unittest.TestCase):
    def test_a_number_of_a_newer_library_is_tolerated(self):
        self.assertEqual(99, words.Reason(99))
        self.assertEqual("UNKNOWN_99", words.Reason(99).name)


if __name__ == "__main__":
    unittest.main()
