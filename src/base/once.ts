/**
 * A function that remembers its result for an object for as long as the object lives. Its other arguments have to be
 * the same for the same object: only the first ones count.
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
