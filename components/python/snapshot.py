"""Makes a snapshot that calls change little of: each page that a call writes to is copied for that call.

Promise: code that runs later finds the interpreter as it was imported; the heap grows by a bounded number of bytes.

Not here: what is imported (`app`), running code (`execution`).
"""

import functools
import gc
import random
import sys

import execution
import output

# Often enough that the interpreter specialises what it runs, which writes to the code.
WARM_UP_RUNS = 16
# Prints, defines, raises: what nearly all code does.
WARM_UP_CODE = """
import json
def f(n):
    return [str(each) for each in range(n)]
class C:
    pass
print(len(json.dumps({"a": f(3)})), C().__class__.__name__, f"{1.5:.1f}")
f(2)
"""
WARM_UP_FAILURE = "def f():\n    raise KeyError('k')\nf()"

# The largest hole that is looked for, and what all that fills holes takes at most, in bytes.
HOLE_BYTES_MAX = 64 * 1024
FILLING_BYTES_MAX = 16 * 1024 * 1024
# Left free at the end of the heap, in bytes: what a usual call takes, in one piece.
ROOM_BYTES = 1024 * 1024
# Blocks that fill holes.
BLOCKS_MAX = 100_000

_filling = []


def settle():
    """Called last before the snapshot is taken."""
    for _ in range(WARM_UP_RUNS):
        warm_up()
    gc.collect()
    # What is new goes to the end of the heap from now on, next to each other, and not into holes all over it.
    fill_holes()
    # What the snapshot holds is never garbage: collections during a call need not look at it, nor touch its memory.
    gc.freeze()


def warm_up():
    """Does what every call does, except what would last: a call prepares anew what is left prepared here."""
    path = sys.path[:]
    execution.prepare(output.Output(), "", execution.WORKSPACE, execution.SCRATCH)
    sys.path[:] = path
    execution.open_files()
    for code in (WARM_UP_CODE, WARM_UP_FAILURE):
        kept = output.Output()
        module = execution.fresh_main(code)
        module.print = functools.partial(print, file=output.text_stream(kept))
        execution.attempt(functools.partial(execution.execute, code, module, kept), kept)
        kept.text()
    execution.arguments('{"code": "1", "stdin": ""}')
    random.seed()


def fill_holes(filling_bytes_max=FILLING_BYTES_MAX):
    """Fills the heap's holes with zeros, from the largest on, and gives the number of bytes that this took.

    The allocator takes from the end of the heap only when no hole is large enough, so a block of bytes beyond one
    that was put there says that there are no more holes of its size.
    """
    room = bytes(ROOM_BYTES)
    end, taken = id(room), 0
    # Made beforehand: growing it would take from the end.
    found = [None] * BLOCKS_MAX
    count = 0
    for size in [*range(HOLE_BYTES_MAX, 4096, -1024), *range(4096, 0, -16), 2]:
        while taken < filling_bytes_max and count < BLOCKS_MAX:
            block = bytes(size)
            if id(block) > end:
                break
            found[count] = block
            count += 1
            taken += size
    _filling.append(found[:count])
    del room, found
    # What was there is no part of the snapshot.
    bytes(2 * ROOM_BYTES)
    return taken
