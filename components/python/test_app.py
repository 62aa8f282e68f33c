"""Runs code as the component does, with this machine's Python: `python3 -m unittest` in this folder."""

import atexit
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import textwrap
import unittest
import warnings

# A run takes the standard library off `sys.path`: what code imports here has to be there already.
import __future__, dataclasses, gzip, importlib, inspect, pickle, threading, zipfile  # noqa: E401, F401

import execution
import library
import output
import snapshot

sys.dont_write_bytecode = True
SAVED = ["stdout", "stderr", "stdin", "__stdout__", "__stderr__", "__stdin__", "argv", "setrecursionlimit"]


class Case(unittest.TestCase):
    """A test whose interpreter is put back afterwards: a component's is used for one call only."""

    def setUp(self):
        # unittest shows what Python by itself does not.
        warnings.simplefilter("ignore", ResourceWarning)
        saved = {name: getattr(sys, name) for name in SAVED}
        path, main, limit = sys.path[:], sys.modules["__main__"], sys.getrecursionlimit()
        folder = tempfile.TemporaryDirectory()
        cwd, tempdir = os.getcwd(), tempfile.tempdir
        self.workspace = pathlib.Path(folder.name, "workspace")
        self.workspace.mkdir()
        self.scratch = pathlib.Path(folder.name, "scratch")
        self.scratch.mkdir()

        def put_back():
            for name, value in saved.items():
                setattr(sys, name, value)
            sys.path[:], sys.modules["__main__"] = path, main
            sys.setrecursionlimit(limit)
            os.chdir(cwd)
            tempfile.tempdir = tempdir
            folder.cleanup()

        self.addCleanup(put_back)

    def run_code(self, code, stdin=""):
        ended = execution.run(textwrap.dedent(code), stdin, str(self.workspace), str(self.scratch))
        ended.text.encode("utf-8")
        return ended

    def check(self, code, expected, failed=None, stdin=""):
        ended = self.run_code(code, stdin)
        self.assertEqual((ended.text, ended.code), (expected, failed), code)


class Values(Case):
    def test_prints_and_values(self):
        for code, expected in [
            ("1 + 1", "2\n"),
            ("", ""),
            ("# nothing", ""),
            ("None", ""),
            ("x = 3", ""),
            ("x = 3\nx", "3\n"),
            ("print('a', end='')\n'b'", "a\n'b'\n"),
            ("'just a string'", "'just a string'\n"),
            ("for i in range(2):\n  i", ""),
            ("def f(): return 7\nf()", "7\n"),
            ("import sys\nprint('o'); print('e', file=sys.stderr); print('o')", "o\ne\no\n"),
            ("import sys\nsys.stdout.buffer.write(b'\\xc3\\xa4\\n')\nNone", "ä\n"),
            ("__name__", "'__main__'\n"),
            ("'\\ud800'", "'\\ud800'\n"),
            ("print('\\ud800')", "\\ud800\n"),
            ("from __future__ import annotations\ndef f(x: Unknown): pass\nf.__annotations__", "{'x': 'Unknown'}\n"),
            ("from dataclasses import dataclass\n@dataclass\nclass P:\n  x: int\nP(1)", "P(x=1)\n"),
            ("import pickle\nclass C: pass\ntype(pickle.loads(pickle.dumps(C()))).__name__", "'C'\n"),
            ("import inspect\ndef f(): return 1\ninspect.getsource(f)", "'def f(): return 1\\n'\n"),
            ("import sys\nsys.argv", "['']\n"),
        ]:
            self.check(code, expected)

    def test_stdin(self):
        self.check("input('name? ') + input()", "name? \n'ab'\n", stdin="a\nb\n")
        self.check("import sys\nsys.stdin.read()", "'ä\\nb'\n", stdin="ä\nb")
        self.check("import sys\nlist(sys.stdin)", "[]\n")
        self.assertIn("EOFError", self.run_code("input()").text)

    def test_each_run_starts_afresh(self):
        self.check("x = 1", "")
        self.assertIn("NameError: name 'x' is not defined", self.run_code("x").text)

    def test_random_is_not_that_of_the_snapshot(self):
        drawn = set()
        for _ in range(3):
            random.seed(1)
            drawn.add(self.run_code("import random\nrandom.random()").text)
        self.assertEqual(len(drawn), 3)
        self.check("import random\nrandom.seed(1)\nrandom.random()", f"{random.Random(1).random()!r}\n")


class Files(Case):
    def test_the_workspace_is_the_current_directory(self):
        (self.workspace / "a.txt").write_text("hello")
        self.check("open('a.txt').read()", "'hello'\n")
        self.check("import os\nos.listdir('.')", "['a.txt']\n")

    def test_files_left_open_are_written(self):
        self.check("f = open('kept', 'w')\nn = f.write('x' * 10)\ndef g(): return f", "")
        self.assertEqual((self.workspace / "kept").read_text(), "x" * 10)
        failed = self.run_code("f = open('failed', 'w')\nf.write('y')\n1 / 0")
        self.assertEqual((failed.code, (self.workspace / "failed").read_text()), ("exception", "y"))
        self.run_code("import sys\ndef main():\n  f = open('exit', 'w')\n  f.write('z')\n  sys.exit()\nmain()")
        self.assertEqual((self.workspace / "exit").read_text(), "z")

    def test_archives_left_open_are_finished(self):
        code = "import zipfile, gzip\nz = zipfile.ZipFile('a.zip', 'w')\nz.writestr('m', 'x')\ng = gzip.open('a.gz', 'wt')\ng.write('t')\nNone"
        self.check(code, "")
        self.assertEqual(zipfile.ZipFile(self.workspace / "a.zip").read("m"), b"x")
        self.assertEqual(gzip.open(self.workspace / "a.gz").read(), b"t")

    def test_a_long_chain_of_objects_is_not_freed(self):
        class_code = "class N:\n  def __init__(self, n): self.n = n\n  def __del__(self): print('freed')\n"
        self.check(class_code + "h = None\nfor i in range(9): h = N(h)", "")
        del sys.modules["__main__"].N.__del__

    def test_modules_of_the_workspace_can_be_imported_and_leave_no_bytecode(self):
        (self.workspace / "mine.py").write_text("VALUE = 5")
        self.check("import mine\nmine.VALUE", "5\n")
        self.addCleanup(sys.modules.pop, "mine", None)
        self.assertEqual([path.name for path in self.workspace.iterdir()], ["mine.py"])

    def test_temporary_files_are_not_in_the_workspace(self):
        ended = self.run_code("import tempfile\nf = tempfile.NamedTemporaryFile()\nprint(f.name)")
        self.assertTrue(ended.text.startswith(str(self.scratch)), ended.text)
        self.assertEqual(list(self.workspace.iterdir()), [])

    def test_what_atexit_prints_is_kept(self):
        self.check("import atexit\natexit.register(print, 'bye')\nNone", "bye\n")
        atexit._clear()


class Failures(Case):
    def fails(self, code, *expected, failed="exception"):
        ended = self.run_code(code)
        self.assertEqual(ended.code, failed, code)
        for part in expected:
            self.assertIn(part, ended.text, code)
        self.assertNotIn("execution.py", ended.text)
        return ended.text

    def test_tracebacks_begin_with_the_code(self):
        text = self.fails("print('before')\ndef f():\n    return 1 / 0\nf()", "return 1 / 0", "ZeroDivisionError: ")
        self.assertTrue(text.startswith('before\nTraceback (most recent call last):\n  File "<code>", line 4'), text)

    def test_every_kind_of_exception(self):
        for code, expected in [
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("raise GeneratorExit", "GeneratorExit"),
            ("raise BaseException('x')", "BaseException: x"),
            ("raise MemoryError", "MemoryError"),
            ("x = = 1", "SyntaxError: invalid syntax"),
            ("if 1:\nx", "IndentationError"),
            ("a\0b", "null bytes"),
            ("import nothing_like_it", "nothing can be installed]"),
            ("class E(Exception):\n  def __str__(self): raise ValueError\nraise E", "<exception str() failed>"),
            ("class R:\n  def __repr__(self): raise ValueError('in repr')\nR()", "ValueError: in repr"),
            ("try:\n  1/0\nexcept ZeroDivisionError as e:\n  raise KeyError('k') from e", "direct cause"),
            ("raise ExceptionGroup('g', [ValueError('v')])", "ValueError: v"),
            ("def f(): return f()\nf()", "RecursionError"),
            ("def f(n): return sorted([1, 2], key=f)\nf(1)", "RecursionError"),
            ("class A:\n  def __getattr__(self, n): return getattr(self, n + 'x')\nA().y", "RecursionError"),
            ("import threading\ndef no(*a, **k): raise RuntimeError(\"can't start new thread\")\nno()", "[threads are not"),
            ("raise type('E', (Exception,), {})('\\ud800')", "E: "),
        ]:
            self.fails(code, expected)

    def test_deep_recursion_is_named_with_what_can_be_done(self):
        self.fails("def f(): f()\nf()", "[calls nest 300 deep here; sys.setrecursionlimit gives up to 5000")
        self.check("import sys\nsys.setrecursionlimit(10**6)\nsys.getrecursionlimit()", "5000\n")
        self.check("import sys\nsys.setrecursionlimit(2000)\ndef f(n): return n and f(n - 1)\nf(1500)", "0\n")

    def test_exits(self):
        for code, expected, failed in [
            ("import sys\nsys.exit()", "", None),
            ("exit(0)", "", None),
            ("raise SystemExit(None)", "", None),
            ("import sys\nprint('x', end='')\nsys.exit(3)", "x\n[exit code 3]\n", "exit"),
            ("raise SystemExit('why')", "why\n[exit code 1]\n", "exit"),
            ("raise SystemExit(True)", "[exit code True]\n", "exit"),
        ]:
            self.check(code, expected, failed)

    def test_stdout_replaced_or_closed_does_no_harm(self):
        self.check("import sys, io\nsys.stdout = io.StringIO()\nprint('lost')\n5", "5\n")
        self.check("import sys\nsys.stdout.close()\n5", "5\n")


class Outputs(unittest.TestCase):
    def test_the_beginning_and_the_end_are_kept(self):
        for pieces in (1, 7, 1000):
            kept = output.Output(head_bytes_max=100, tail_bytes_max=50)
            data = b"".join(b"%05d " % number for number in range(1000))
            for at in range(0, len(data), pieces):
                kept.write(data[at : at + pieces])
            head, mark, tail = kept.text().split("\n")
            self.assertEqual((head, tail), (data[:100].decode(), data[-50:].decode()))
            self.assertEqual(mark, "[5850 bytes left out here: print less, or write it to a file]")

    def test_what_fits_is_whole_and_characters_are_not_split(self):
        kept = output.Output(head_bytes_max=3, tail_bytes_max=3)
        for piece in ("ä".encode()[:1], "ä".encode()[1:], b"a", b"bc"):
            kept.write(piece)
        self.assertEqual(kept.text(), "äabc")
        kept = output.Output(head_bytes_max=3, tail_bytes_max=3)
        kept.write("ääääää".encode())
        self.assertEqual(kept.text().split("\n")[0::2], ["ä", "ä"])

    def test_a_flood_stays_below_the_limit_of_an_outcome_and_keeps_the_traceback(self):
        case = Failures("test_exits")
        case.setUp()
        try:
            ended = case.run_code("for i in range(200_000): print(i)\n1 / 0")
        finally:
            case.doCleanups()
        self.assertLess(len(ended.text.encode()), 64 * 1024)
        self.assertTrue(ended.text.startswith("0\n1\n") and ended.text.endswith("ZeroDivisionError: division by zero\n"))


class Arguments(unittest.TestCase):
    def test_what_fits(self):
        self.assertEqual(execution.arguments('{"code": "1", "stdin": "2"}'), {"code": "1", "stdin": "2"})

    def test_what_does_not_fit_is_named(self):
        for text, expected in [
            ("", "Expecting value"),
            ("[]", "an object"),
            ("{}", "code is missing"),
            ('{"code": 1}', "code must be a string"),
            ('{"code": "", "more": ""}', "unknown argument 'more'"),
            ("[" * 100_000, "nested too deeply"),
        ]:
            with self.assertRaisesRegex(ValueError, expected):
                execution.arguments(text)


class Libraries(unittest.TestCase):
    def test_packed_modules_are_imported_without_their_files_and_before_others(self):
        script = """
            import pathlib, sys, tempfile
            sys.path.insert(0, {here!r})
            import library
            folder = pathlib.Path(tempfile.mkdtemp())
            (folder / "packed" / "inner").mkdir(parents=True)
            (folder / "test").mkdir()
            (folder / "packed/__init__.py").write_text("from . import sub")
            (folder / "packed/sub.py").write_text("VALUE = 6")
            (folder / "packed/inner/__init__.py").write_text("NAME = __name__")
            (folder / "test/__init__.py").write_text("")
            packed = library.install(str(folder))
            assert sorted(packed.names()) == ["packed", "packed.inner", "packed.sub"], packed.names()
            import shutil
            shutil.rmtree(folder)
            import packed, packed.inner
            assert (packed.sub.VALUE, packed.inner.NAME, packed.__path__) == (6, "packed.inner", [])
        """
        here = os.path.dirname(os.path.abspath(__file__))
        subprocess.run([sys.executable, "-B", "-c", textwrap.dedent(script).format(here=here)], check=True)


class Snapshots(Case):
    def test_filling_holes_ends(self):
        self.assertLess(snapshot.fill_holes(1 << 20), (1 << 20) + snapshot.HOLE_BYTES_MAX)
        snapshot._filling.clear()

    def test_what_warms_up_runs_and_leaves_nothing_behind(self):
        self.check(snapshot.WARM_UP_CODE, "22 C 1.5\n['0', '1']\n")
        self.assertEqual(self.run_code(snapshot.WARM_UP_FAILURE).code, "exception")
        before = set(sys.modules)
        snapshot.warm_up()
        self.assertEqual(set(sys.modules), before)
        self.check("sorted(name for name in globals() if not name.startswith('__'))", "[]\n")


class Declarations(unittest.TestCase):
    def test_the_schema_and_the_manifest_are_json(self):
        here = pathlib.Path(__file__).parent
        [tool] = json.loads((here / "tool.json").read_text())
        self.assertEqual((tool["name"], tool["category"]), ("python", "execute"))
        self.assertEqual(set(tool["parameters"]["properties"]), {"code", "stdin"})
        manifest = json.loads((here / "manifest.json").read_text())
        self.assertEqual(manifest["capabilities"], ["filesystem write /workspace", "filesystem write /scratch"])


if __name__ == "__main__":
    unittest.main()
