/**
 * A function that is asked once for an object: what it made is kept for as long as the object is. Of what else it is given
 * the first counts, which has to be the same for the same object.
 */
export function once<K extends object, More extends readonly unknown[], V>(
  make: (from: K, ...more: More) => V,
): (from: K, ...more: More) => V {
  const made = new WeakMap<K, { readonly value: V }>();
  return (from, ...more) => {
    const known = made.get(from) ?? { value: make(from, ...more) };
    made.set(from, known);
    return known.value;
  };
}
