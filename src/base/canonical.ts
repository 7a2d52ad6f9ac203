/** JSON with the keys in order and absent values left out: equal data has equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** Whether data has equal {@link canonicalJson}, without making it. Values that JSON cannot write do not count. */
export function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) return Array.isArray(a) && Array.isArray(b) && isEqualList(a, b);
  const [left, right] = [presentIn(a), presentIn(b)];
  const members = new Map(right);
  return left.length === right.length && left.every(([key, value]) => isEqual(value, members.get(key)));
}

const isEqualList = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((part, i) => isEqual(part, b[i]));

const presentIn = (data: object) => Object.entries(data).filter(([, value]) => value !== undefined);
