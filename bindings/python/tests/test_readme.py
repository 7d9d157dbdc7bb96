"""The samples of the README run as they are written; a bundled library is found."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import bursar

HERE = os.path.dirname(os.path.abspath(__file__))


class Readme(unittest.TestCase):
    def test_its_samples_run(self):
        with open(os.path.join(HERE, "..", "README.md"), encoding="utf-8") as file:
            samples = re.findall(r"```python\n(.*?)```", file.read(), re.S)
        self.assertEqual(2, len(samples))
        names, said = {}, io.StringIO()
        with contextlib.redirect_stdout(said):
            for sample in samples:
                exec(compile(sample, "README.md", "exec"), names)
        self.assertIn("acme/support runaway", said.getvalue())
        self.assertIn("extractor", said.getvalue())


class Bundle(unittest.TestCase):
    def test_the_library_is_found_beside_the_package(self):
        package = os.path.dirname(bursar.__file__)
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "bursar")
            shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
            os.makedirs(os.path.join(copy, "_lib"), exist_ok=True)
            shutil.copy(os.environ["BURSAR_LIBRARY"], os.path.join(copy, "_lib", "libbursar.so"))
            environment = {**os.environ, "PYTHONPATH": folder}
            del environment["BURSAR_LIBRARY"]
            said = subprocess.check_output(
                [sys.executable, "-c", "import bursar; print(bursar.runtime().health().nodes >= 0)"],
                env=environment, text=True)
        self.assertEqual("True\n", said)


if __name__ == "__main__":
    unittest.main()
