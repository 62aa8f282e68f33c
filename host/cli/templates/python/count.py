"""Counts the lines, words and bytes of a text."""


def count(text: str) -> dict[str, int]:
    """What is in a text."""
    return {"lines": len(text.splitlines()), "words": len(text.split()), "bytes": len(text.encode())}
