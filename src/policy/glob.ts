/**
 * Whether a whole text fits a glob: `*` stands for any characters or none, `?` for exactly one, all else for itself.
 * Not a regular expression: `*a*a*a*b` would take one minutes to refuse.
 */
export function fitsGlob(glob: string, text: string): boolean {
  let [at, star, retryFrom] = [0, -1, 0];
  for (let i = 0; i < text.length; ) {
    if (glob[at] === '*') {
      [star, retryFrom] = [at++, i];
    } else if (glob[at] === '?' || glob[at] === text[i]) {
      at++;
      i++;
    } else if (star >= 0) {
      // The last `*` takes one character more; earlier ones need no second try.
      at = star + 1;
      i = ++retryFrom;
    } else return false;
  }
  return /^\**$/.test(glob.slice(at));
}

/**
 * Whether every text that fits the inner glob fits the outer one, too. Some pairs are not recognized, like `?*` and
 * `a*`: true is always right.
 */
export const includesGlob = (outer: string, inner: string): boolean =>
  // The inner glob, read as a text, stands for all its texts: `*` of the outer one takes anything, `?` not another's `*`.
  fitsGlob(outer, inner) && !(outer.includes('?') && inner.includes('*'));
