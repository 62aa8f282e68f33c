"""Runs a piece of Python code the way a notebook does.

Promise: whatever the code does short of ending the process, `run` returns: what was printed, the value of a last
expression, and how the code ended. Files that the code left open are written out before it returns.

Not here: the component's contract (`app`), cutting (`output`), where modules come from (`library`).
"""

import _io
import ast
import atexit
import builtins
import gc
import io
import json
import linecache
import os
import random
import sys
import tempfile
import traceback
import types

import library
from output import Output, text_stream

WORKSPACE = "/workspace"
SCRATCH = "/scratch"
# How the code is called in tracebacks.
FILE_NAME = "<code>"

# Python functions that call one another by way of C (a key of `sorted`, `__getattr__`, `__repr__`…) use the stack of
# the component, of which a host gives 1 MiB, and running out of that ends the call. Measured there: 400 calls fit.
RECURSION_CALLS_MAX = 300
# What code can raise that to, for functions that call each other directly: those use no stack until their traceback
# is freed. Measured: 5,000 fit, 20,000 do not.
RECURSION_CALLS_CEILING = 5_000

RECURSION_HINT = (
    f"calls nest {RECURSION_CALLS_MAX} deep here; sys.setrecursionlimit gives up to {RECURSION_CALLS_CEILING} to functions "
    "that call each other directly"
)
MODULE_HINT = "only the standard library and modules in the workspace can be imported; nothing can be installed"
THREAD_HINT = "threads are not available here: run the work one after the other"


OWN_FILES = {library.__file__, __file__}


class Ended:
    """How a run ended: `code` is nothing for success, `exception`, or `exit` for a failing exit code."""

    def __init__(self, text, code=None):
        self.text = text
        self.code = code


def arguments(text):
    """The arguments of `run` in `text`, a JSON object; a `ValueError` says what does not fit."""
    try:
        given = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(given, dict):
        raise ValueError("an object is expected")
    for name, value in given.items():
        if name not in ("code", "stdin"):
            raise ValueError(f"unknown argument {name!r}, expected code or stdin")
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a string")
    if "code" not in given:
        raise ValueError("code is missing")
    return given


def run(code, stdin="", workspace=WORKSPACE, scratch=SCRATCH):
    """Runs `code` with `stdin` to read from, in the folder `workspace`, and tells how it `Ended`."""
    output = Output()
    prepare(output, stdin, workspace, scratch)
    known = {id(each) for each in open_files()}
    module = fresh_main(code)
    failed = attempt(lambda: execute(code, module, output), output)
    # The instance goes away without Python's own way of ending.
    failed = attempt(lambda: finish(known), output) or failed
    return Ended(output.text(), failed)


def prepare(output, stdin, workspace, scratch):
    """Makes the interpreter, which may be a snapshot, ready for one run."""
    sys.stdout = sys.__stdout__ = text_stream(output)
    sys.stderr = sys.__stderr__ = text_stream(output)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "replace")), "utf-8")
    sys.argv = [""]
    sys.setrecursionlimit(RECURSION_CALLS_MAX)
    sys.setrecursionlimit = set_recursion_limit
    # Behind the standard library: no file in the workspace can stand in for a module of that.
    sys.path[:] = [workspace]
    sys.path_importer_cache.clear()
    # Compiled modules would be changes to the workspace that nobody asked for.
    sys.dont_write_bytecode = True
    # The snapshot holds one state of the generator, which would be that of every run.
    random.seed()
    tempfile.tempdir = scratch if os.path.isdir(scratch) else None
    if os.path.isdir(workspace):
        os.chdir(workspace)


def set_recursion_limit(limit, set_limit=sys.setrecursionlimit):
    """`sys.setrecursionlimit`, with a ceiling."""
    set_limit(min(limit, RECURSION_CALLS_CEILING))


def fresh_main(code):
    """An empty module `__main__` whose source is `code`."""
    module = types.ModuleType("__main__")
    module.__builtins__ = builtins
    sys.modules["__main__"] = module
    linecache.cache[FILE_NAME] = (len(code), None, code.splitlines(keepends=True), FILE_NAME)
    return module


def execute(code, module, output):
    """Runs the statements of `code`, and prints the value of its last one where that is an expression."""
    tree = ast.parse(code, FILE_NAME)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    statements = compile(tree, FILE_NAME, "exec", dont_inherit=True)
    value = last and compile(ast.Expression(last.value), FILE_NAME, "eval", dont_inherit=True)
    exec(statements, module.__dict__)
    if value is not None:
        result = eval(value, module.__dict__)
        if result is not None:
            shown = repr(result)
            output.end_line()
            output.write(shown.encode("utf-8", "backslashreplace") + b"\n")


def open_files():
    """Everything that is a file to Python, in the order to close it; what the snapshot holds is not looked at."""
    archive = getattr(sys.modules.get("zipfile"), "ZipFile", ())
    objects = gc.get_objects()
    archives = [each for each in objects if issubclass(type(each), archive)]
    # From the newest on: a file made around another one is closed before that.
    return archives + [each for each in reversed(objects) if issubclass(type(each), _io._IOBase)]


def finish(known):
    """Does what matters of the end of a Python process: `atexit`, then closing files left open, so that they are written.

    Nothing is freed: for a chain of some thousand objects that takes more stack than there is. Files whose `id` is in
    `known` are those of the run itself.
    """
    atexit._run_exitfuncs()
    first = None
    for each in open_files():
        if id(each) not in known:
            try:
                each.close()
            except Exception as error:
                first = first or error
    if first:
        raise first


def attempt(work, output):
    """Does `work`; says what it raised, in `output`, and gives the code of the failure, or nothing."""
    try:
        work()
    except SystemExit as exit:
        return exited(exit.code, output)
    except BaseException as error:
        output.end_line()
        output.write(described(error).encode("utf-8", "backslashreplace"))
        return "exception"
    return None


def exited(code, output):
    """What `sys.exit(code)` means, as Python itself reads it."""
    if code is None or code == 0:
        return None
    output.end_line()
    if not isinstance(code, int):
        code, words = 1, attempted(str, code)
        output.write(words.encode("utf-8", "backslashreplace") + b"\n")
    output.write(f"[exit code {code}]\n".encode())
    return "exit"


def attempted(shown, value):
    """`shown(value)`, where that may be the code's own and fail."""
    try:
        return shown(value)
    except BaseException:
        return f"<{type(value).__name__} that cannot be shown>"


def described(error):
    """The traceback of `error` without the frames that ran the code, and a hint where one helps."""
    try:
        shown = traceback.TracebackException.from_exception(error, compact=True)
        without_own_frames(shown)
        lines = "".join(shown.format())
    except BaseException as second:
        # The exception's own `__str__`, or the lack of memory or stack, got in the way.
        lines = f"{type(error).__name__}: its traceback cannot be shown ({type(second).__name__})\n"
    if isinstance(error, RecursionError):
        lines += f"[{RECURSION_HINT}]\n"
    if isinstance(error, ModuleNotFoundError):
        lines += f"[{MODULE_HINT}]\n"
    elif isinstance(error, RuntimeError) and attempted(str, error) == "can't start new thread":
        lines += f"[{THREAD_HINT}]\n"
    return lines


def without_own_frames(shown):
    """Drops the frames of this module and of `library` from a traceback and from those it was caused by."""
    waiting, seen = [shown], set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.stack[:] = [frame for frame in each.stack if frame.filename not in OWN_FILES]
        waiting += [each.__cause__, each.__context__, *(each.exceptions or ())]
