import assert from 'node:assert/strict';
import test from 'node:test';
import { count } from '../src/count.js';

test('counts lines, words and bytes', () => {
  assert.deepEqual(count('one two\nthree'), { lines: 2, words: 3, bytes: 13 });
  assert.deepEqual(count(''), { lines: 0, words: 0, bytes: 0 });
  assert.deepEqual(count(' ä\n'), { lines: 1, words: 1, bytes: 4 });
});
