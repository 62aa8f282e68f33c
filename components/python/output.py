"""What a run prints, kept in bounded memory.

Promise: whatever is written, in whatever pieces, at most `HEAD_BYTES_MAX` from the beginning and `TAIL_BYTES_MAX`
from the end are kept, and a cut says how much is missing. The text is always valid Unicode.

Not here: what is written (`execution`).
"""

import io

# Together with the mark of a cut these stay below 64 KiB, where the host cuts the text of an outcome.
HEAD_BYTES_MAX = 47 * 1024
TAIL_BYTES_MAX = 16 * 1024


class Output:
    """Bytes as written: the beginning and the end of them."""

    def __init__(self, head_bytes_max=HEAD_BYTES_MAX, tail_bytes_max=TAIL_BYTES_MAX):
        self._head_bytes_max = head_bytes_max
        self._tail_bytes_max = tail_bytes_max
        self._head = bytearray()
        self._tail = bytearray()
        self._beyond = 0

    def write(self, data):
        """Keeps of `data`, bytes, what there is room for."""
        room = self._head_bytes_max - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._beyond += len(data)
            self._tail += data[-self._tail_bytes_max :]
            # Trimmed now and then only, so that writing byte by byte costs no more than writing at once.
            if len(self._tail) > 2 * self._tail_bytes_max:
                del self._tail[: -self._tail_bytes_max]

    def end_line(self):
        """Ends the line that was begun, if any."""
        last = self._tail[-1:] or self._head[-1:]
        if last not in (b"", b"\n"):
            self.write(b"\n")

    def text(self):
        """All that was kept."""
        tail = self._tail[-self._tail_bytes_max :]
        missing = self._beyond - len(tail)
        if missing == 0:
            return (self._head + tail).decode("utf-8", "replace")
        mark = f"\n[{missing} bytes left out here: print less, or write it to a file]\n"
        # A cut may have split a character: the halves are dropped, and nothing else is.
        return self._head.decode("utf-8", "ignore") + mark + tail.decode("utf-8", "ignore")


class Stream(io.RawIOBase):
    """The binary stream beneath `sys.stdout` and `sys.stderr`; both write to one `Output`, in order."""

    def __init__(self, output):
        self._output = output

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        self._output.write(data)
        return len(data)


def text_stream(output):
    """A text stream like `sys.stdout` that writes to `output` at once."""
    return io.TextIOWrapper(Stream(output), "utf-8", "backslashreplace", newline="\n", write_through=True)
