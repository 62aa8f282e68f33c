"""The standard library inside the component.

A component made by componentize-py is a snapshot: it has the modules that were imported when it was built, and no
files to import others from. So all others are kept compiled and compressed in memory, and unpacked when imported.

Promise: `import` finds every module of the standard library that can work in a component, before it looks into the
workspace; nothing is unpacked that is not imported.

Not here: which modules are imported beforehand (`app`).
"""

import importlib.machinery
import marshal
import os
import sys
import zlib

# What needs a screen, another process or the network's TLS, installs things, or is about Python's own development.
LEFT_OUT = {
    "__hello__", "__phello__", "_aix_support", "_android_support", "_apple_support", "_ios_support", "_osx_support",
    "_pyrepl", "antigravity", "ctypes", "curses", "dbm", "ensurepip", "idlelib", "lib2to3", "multiprocessing", "pydoc_data",
    "site-packages", "ssl", "test", "this", "tkinter", "turtle", "turtledemo", "venv", "webbrowser",
}  # fmt: skip


class Library:
    """A finder and loader (PEP 451) of the modules that `pack` kept."""

    def __init__(self):
        self._packed = {}

    def pack(self, folder):
        """Keeps every module below `folder`."""
        for parent, folders, files in os.walk(folder):
            relative = os.path.relpath(parent, folder)
            parts = [] if relative == "." else relative.split(os.sep)
            folders[:] = sorted(name for name in folders if name.isidentifier() and not self._is_left_out(parts, name))
            for file in sorted(files):
                stem, extension = os.path.splitext(file)
                if extension == ".py" and stem.isidentifier() and not self._is_left_out(parts, stem):
                    self._keep(os.path.join(parent, file), parts, stem)

    @staticmethod
    def _is_left_out(parts, name):
        return name == "__pycache__" or (not parts and name in LEFT_OUT)

    def _keep(self, path, parts, stem):
        is_package = stem == "__init__"
        name = ".".join(parts if is_package else [*parts, stem])
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        self._packed[name] = (is_package, zlib.compress(marshal.dumps(code), 9))

    def names(self):
        """The modules that can be imported from here."""
        return self._packed.keys()

    def drop(self, names):
        """Forgets modules, those that are imported already."""
        for name in names:
            self._packed.pop(name, None)

    def find_spec(self, name, path=None, target=None):
        """The spec of a module, or nothing when it is not here."""
        if name not in self._packed:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin="the component", is_package=self._packed[name][0])

    def create_module(self, spec):
        """Modules are made the usual way."""
        return None

    def exec_module(self, module):
        """Unpacks the module and runs it."""
        exec(marshal.loads(zlib.decompress(self._packed[module.__name__][1])), module.__dict__)


def install(folder):
    """Makes the modules below `folder` importable without it, before anything else is searched."""
    library = Library()
    library.pack(folder)
    # After built-in and frozen modules, before any folder.
    finders = sys.meta_path
    at = finders.index(importlib.machinery.PathFinder) if importlib.machinery.PathFinder in finders else len(finders)
    finders.insert(at, library)
    return library
