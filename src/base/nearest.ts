/**
 * The end of an error about an unknown word: the word that was probably meant, or else all known words, each with the
 * `prefix` that they share.
 */
export function suggestion(word: string, known: readonly string[], prefix = ''): string {
  const near = nearest(word, known);
  if (near !== undefined) return `did you mean "${prefix}${near}"?`;
  return known.length === 0 ? 'there is none' : choices(known, prefix);
}

/** The end of an error about a word that cannot be used here: the words that can, at least one. */
export const choices = (known: readonly string[], prefix = ''): string =>
  `expected one of ${known.map((each) => `"${prefix}${each}"`).join(', ')}`;

/** The known word with the fewest edits to the given one, when few enough to be a slip: one in every three letters. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const limit = (each: string) => Math.max(word.length, each.length) / 3;
  const ranked = known
    // No distance is below the difference in length: a word that is much too long is not read through.
    .filter((each) => Math.abs(word.length - each.length) <= limit(each))
    .map((each) => ({ each, distance: editDistance(word.toLowerCase(), each.toLowerCase()) }))
    .filter(({ each, distance }) => distance <= limit(each))
    .sort((a, b) => a.distance - b.distance);
  return ranked[0]?.each;
}

/** How many letters must be inserted, removed or replaced to make one word the other (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...to].entries()) {
      const replaced = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
