#!/usr/bin/env python3
"""Runs the samples of README.md as they stand, each against the built library.

    tools/readme-samples.py build/lib/libbursar.so [README.md]

Blocks fenced as python, c and go are whole programs. The Python ones speak to the demo's server,
through OPENAI_BASE_URL, with the interpreter that runs this (it needs `openai`). What a program
prints is what the next block shows, where that is fenced as text. Exits non-zero when a sample
fails, prints nothing or anything else, or a language has none. With `--write` it is shown.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GO_MOD = """module sample

go 1.21

require github.com/bursar-dev/bursar/bindings/go v0.0.0

replace github.com/bursar-dev/bursar/bindings/go => {root}/bindings/go
"""


def run_python(source, library, folder):
    server = subprocess.Popen(
        [sys.executable, f"{ROOT}/demo/server.py", f"{ROOT}/Tests/data/agent-steps-sample.csv",
         "--pace", "0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        env = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "readme",
               "BURSAR_LIBRARY": library, "PYTHONPATH": f"{ROOT}/bindings/python/src"}
        return run([sys.executable, "-W", "error", write(folder, "sample.py", source)], env, folder)
    finally:
        for home in glob.glob(f"{folder}/*/home"):  # its memory
            with open(home) as file:
                os.unlink(re.search(r"^segment (.*)$", file.read(), re.MULTILINE)[1])
        server.stdin.close()
        server.wait()


def run_c(source, library, folder):
    program = os.path.join(folder, "sample")
    where = os.path.dirname(library)
    run([os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Werror",
         f"-I{ROOT}/include", write(folder, "sample.c", source), "-o", program, f"-L{where}",
         "-lbursar", f"-Wl,-rpath,{where}"])
    return run([program])


def run_go(source, library, folder):
    write(folder, "main.go", source)
    write(folder, "go.mod", GO_MOD.format(root=ROOT))
    where = os.path.dirname(library)
    path = run([f"{ROOT}/tools/go.sh"]).strip() + os.pathsep + os.environ["PATH"]
    env = {"PATH": path, "CGO_LDFLAGS": f"-L{where} -Wl,-rpath,{where}", "GOFLAGS": "-mod=mod",
           "GOPROXY": "off"}
    run(["go", "vet", "."], env, folder)
    return run(["go", "run", "."], env, folder)


RUN = {"python": run_python, "c": run_c, "go": run_go}


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def run(command, env=None, folder=None):
    """What a command prints; an error with all its output when it fails."""
    done = subprocess.run(
        command, env={**os.environ, **(env or {})}, cwd=folder, text=True, timeout=300,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise RuntimeError(f"{command[0]} answered {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__.split("\n\n")[1].strip())
    library = os.path.abspath(sys.argv[1])
    arguments = [a for a in sys.argv[2:] if a != "--write"]
    path = arguments[0] if arguments else os.path.join(ROOT, "README.md")
    with open(path) as file:
        text = file.read()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    shown = {source: answer for (_, source), (kind, answer) in zip(blocks, blocks[1:]) if kind == "text"}
    passed = failed = 0
    for language, runner in RUN.items():
        samples = [source for kind, source in blocks if kind == language]
        for source in samples or [""]:
            try:
                with tempfile.TemporaryDirectory() as folder:
                    said = runner(source, library, folder) if samples else ""
                if not said.strip():
                    raise RuntimeError("it printed nothing" if samples else "there is none")
                if source in shown and said != shown[source]:
                    if "--write" not in sys.argv:
                        raise RuntimeError(f"it printed\n{said}and what is shown is\n{shown[source]}")
                    at = text.index("```text\n", text.index(source)) + len("```text\n")
                    text = text[:at] + said + text[at + len(shown[source]):]
                print(f"README {language}: {said.strip()}")
                passed += 1
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                print(f"README {language}: FAILED: {error}", file=sys.stderr)
                failed += 1
    if "--write" in sys.argv:
        with open(path, "w") as file:
            file.write(text)
    print(f"README samples: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
