// Counts the lines, words and bytes of a text.
export function count(text) {
  const lines = text === '' ? 0 : text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  const words = text.split(/\s+/).filter((word) => word !== '').length;
  const bytes = new TextEncoder().encode(text).length;
  return { lines, words, bytes };
}
