import unittest

from count import count


class Counting(unittest.TestCase):
    def test_counts_lines_words_and_bytes(self):
        self.assertEqual(count("one two\nthree"), {"lines": 2, "words": 3, "bytes": 13})
        self.assertEqual(count(""), {"lines": 0, "words": 0, "bytes": 0})
        self.assertEqual(count(" ä\n"), {"lines": 1, "words": 1, "bytes": 4})


if __name__ == "__main__":
    unittest.main()
