"""What `make install` puts there: the command beside its library, its man page, completions of three shells.

INSTALLED names the prefix. A shell that this machine has not is passed over, and that is said.
"""

import json
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from homes import COMMAND, HomeCase
from terminal import Terminal

PREFIX = Path(os.environ.get("INSTALLED", "/no/such"))


@unittest.skipUnless(PREFIX.exists(), "make test-cli installs it first")
class Installed(HomeCase):
    def setUp(self):
        super().setUp()
        self.env["PATH"] = f"{PREFIX}/bin:{self.env['PATH']}"
        self.bursar("budget", "declare", "acme/support", "$5/day", check=True)
        self.bursar("budget", "declare", "acme/research", "$5/day", check=True)

    def output(self, *command, **more):
        result = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=60, **more)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_finds_its_library(self):
        del self.env["LD_LIBRARY_PATH"]
        self.assertIn("acme/support", self.output(PREFIX / "bin/bursar", "status"))

    # ---- The man page ----

    def test_man_page_has_no_warnings(self):
        page = PREFIX / "share/man/man1/bursar.1"
        text = self.output("groff", "-Tutf8", "-mandoc", "-ww", page)
        self.assertIn("BURSAR(1)", text)
        self.env.update(MANWIDTH="80", MAN_KEEP_FORMATTING="", LC_ALL="C.UTF-8")
        text = self.output("man", "--warnings=all", "-l", page)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_man_page_has_every_command_option_and_code(self):
        text = (PREFIX / "share/man/man1/bursar.1").read_text()
        root = json.loads(self.output(COMMAND, "--experimental-dump-help"))["command"]
        stack, count = [("bursar", s) for s in root["subcommands"]], 0
        while stack:
            above, spec = stack.pop()
            if spec["commandName"] == "help":
                continue
            name = f"{above} {spec['commandName']}"
            stack += [(name, s) for s in spec.get("subcommands", [])]
            if not spec.get("subcommands"):
                self.assertIn(f".Ss {name}\n", text)
                count += 1
            for argument in spec.get("arguments", []):
                for flag in argument.get("names", []):
                    if flag["kind"] == "long":
                        self.assertIn("Fl \\-" + flag["name"].replace("-", "\\-"), text)
        self.assertGreater(count, 25)
        for code in ("122", "123", "124", "64", "75"):
            self.assertRegex(text, rf"\.It {code}\b")

    # ---- Completion ----

    OFFERED = [
        ("bursar budg", "budget"), ("bursar budget to", "topup"), ("bursar kill --wa", "--wait"), ("bursar kill acme/s", "acme/support"),
        ("bursar budget topup acme/re", "acme/research"), ("bursar report --path acme/s", "acme/support"),
    ]  # fmt: skip

    def test_bash_completes(self):
        script = PREFIX / "share/bash-completion/completions/bursar"
        said = self.output("bash", "--norc", "-c", f"source {script}; complete -p bursar")
        function = re.search(r"-F (\S+)", said)[1]
        for typed, wanted in [*self.OFFERED, (f"bursar pause --home {self.home} acme/s", "acme/support")]:
            words = typed.split(" ")
            if "--home" in words:
                self.env["BURSAR_HOME"] = "/no/such"
            said = self.output(
                "bash", "--norc", "-c",
                f'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${{#COMP_LINE}}; '
                f'{function} bursar "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"; printf "%s\\n" "${{COMPREPLY[@]}}"',
                "bash", script, *words)  # fmt: skip
            self.assertIn(wanted, [line.strip() for line in said.splitlines()], typed)
            self.assertNotIn("revive", said)

    @unittest.skipUnless(shutil.which("zsh"), "there is no zsh here")
    def test_zsh_completes(self):
        functions = PREFIX / "share/zsh/site-functions"
        (self.folder / "start").write_text(
            f"PS1='ready> '; fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D; unsetopt beep\n")
        self.type_at(["zsh", "-f", "-i"])

    @unittest.skipUnless(shutil.which("fish"), "there is no fish here")
    def test_fish_completes(self):
        script = PREFIX / "share/fish/vendor_completions.d/bursar.fish"
        (self.folder / "start").write_text(
            f"source {script}; set -g fish_autosuggestion_enabled 0; function fish_prompt; printf 'ready> '; end\n")
        self.type_at(["fish", "--no-config", "--private"])

    def type_at(self, shell):
        """Types the words and a tab, in a shell that is somebody's."""
        self.env["HOME"] = str(self.folder)
        terminal = Terminal(shell, self.env, str(self.folder))
        self.addCleanup(terminal.close)
        terminal.type("source start\n")
        terminal.shows("ready>")
        for typed, wanted in self.OFFERED:
            whole = re.compile(re.escape(typed[: typed.rindex(" ") + 1] + wanted) + r"( |$)", re.M)
            terminal.type(f"\x15\x0c{typed}\t")
            terminal.until(lambda text: whole.search(text))


if __name__ == "__main__":
    unittest.main()
