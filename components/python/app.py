"""The component's side of the tool `python`: from a call to an outcome, and what the snapshot holds.

Promise: arguments that do not fit are a failure that says so; an exception of the code is a failure with its
traceback; no call raises.

Not here: running code (`execution`), importing what the snapshot lacks (`library`).
"""

# Before all imports, so that the memory this takes for a while is used again by them: all of it is in the snapshot.
import library

# Where componentize-py puts the standard library while it makes the snapshot.
PACKED = library.install("/python")

# Imported by much of what models write, so they start with the snapshot; all others are unpacked when imported.
import abc, argparse, array, base64, bisect, calendar, cmath, collections.abc, contextlib, copy, csv, dataclasses  # noqa: E401
import datetime, decimal, difflib, enum, fnmatch, fractions, functools, glob, hashlib, heapq, html, inspect  # noqa: E401
import itertools, json, logging, math, numbers, operator, pathlib, pickle, pprint, random, re, secrets  # noqa: E401
import shutil, statistics, string, struct, tempfile, textwrap, time, timeit, tomllib, typing, unicodedata  # noqa: E401
import unittest, urllib.parse, uuid, xml.etree.ElementTree, zipfile, zlib  # noqa: E401

import sys

from wit_world import exports
from wit_world.imports.types import ErrorKind, Failure, Outcome_Failed, Outcome_Returned, Part_Text

import execution
import snapshot


def failed(kind, code, message):
    return Outcome_Failed(Failure(kind, code, message, False))


class Tool(exports.Tool):
    """What the world `tool-component` exports as `tool`."""

    def call(self, name, arguments):
        if name != "python":
            return failed(ErrorKind.INVALID_ARGUMENTS, "unknown-tool", f"this component offers python, not {name}")
        try:
            given = execution.arguments(arguments)
        except ValueError as error:
            return failed(ErrorKind.INVALID_ARGUMENTS, "arguments", f"the arguments of python do not fit: {error}")
        ended = execution.run(**given)
        if ended.code:
            return failed(ErrorKind.FAILED, ended.code, ended.text)
        return Outcome_Returned([Part_Text(ended.text or "[no output]")])


PACKED.drop(sys.modules)
snapshot.settle()
