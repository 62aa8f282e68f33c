"""Makes a snapshot that calls change little of: each page of memory that a call writes to is copied for that call.

A component made by componentize-py starts each call from the interpreter as it was when the component was built.
"""

import gc

# Often enough that the interpreter specialises what it runs, which writes to the code.
WARM_UP_CALLS = 16
# The largest hole that is looked for, and what all that fills holes takes at most, in bytes.
HOLE_BYTES_MAX = 64 * 1024
FILLING_BYTES_MAX = 16 * 1024 * 1024
# Left free at the end of the heap, in bytes: what a usual call takes, in one piece.
ROOM_BYTES = 1024 * 1024
# Blocks that fill holes.
BLOCKS_MAX = 100_000

_filling = []


def settle(call):
    """Called last before the snapshot is taken, with a call that is like most."""
    for _ in range(WARM_UP_CALLS):
        call()
    gc.collect()
    # What is new goes to the end of the heap from now on, next to each other, and not into holes all over it.
    fill_holes()
    # What the snapshot holds is never garbage: collections during a call need not look at it, nor touch its memory.
    gc.freeze()


def fill_holes():
    """Fills the heap's holes with zeros, from the largest on: a block beyond the room says that its size has none left."""
    room = bytes(ROOM_BYTES)
    end, taken, count = id(room), 0, 0
    # Made beforehand: growing it would take from the end.
    found = [None] * BLOCKS_MAX
    for size in [*range(HOLE_BYTES_MAX, 4096, -1024), *range(4096, 0, -16), 2]:
        while taken < FILLING_BYTES_MAX and count < BLOCKS_MAX:
            block = bytes(size)
            if id(block) > end:
                break
            found[count] = block
            count += 1
            taken += size
    _filling.append(found[:count])
