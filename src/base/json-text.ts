/** A part of a text: from `start` to before `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A member of an object: its key, and where its value stands. */
export interface Member extends Span {
  readonly key: string;
}

/**
 * The members of the JSON object that begins at or behind `from`, in their order, repeated keys too. The text must be
 * valid JSON: parse it first.
 */
export function* membersOf(text: string, from = 0): Generator<Member> {
  let at = text.indexOf('{', from) + 1;
  for (;;) {
    const keyStart = nextNonSpace(text, at);
    if (text[keyStart] !== '"') return;
    const keyEnd = endOfString(text, keyStart);
    const start = nextNonSpace(text, nextNonSpace(text, keyEnd) + 1);
    const end = endOfValue(text, start);
    yield { key: JSON.parse(text.slice(keyStart, keyEnd)) as string, start, end };
    at = nextNonSpace(text, end) + 1;
  }
}

/** Where the elements of the JSON list that begins at `from` stand, in their order. The text must be valid JSON. */
export function* elementsOf(text: string, from: number): Generator<Span> {
  let start = nextNonSpace(text, from + 1);
  while (text[start] !== ']') {
    const end = endOfValue(text, start);
    yield { start, end };
    const comma = nextNonSpace(text, end);
    if (text[comma] === ']') return;
    start = nextNonSpace(text, comma + 1);
  }
}

/** Bytes; of longer texts a second one would take more memory than the time is worth. */
const longestCompact = 64 * 1024;

/**
 * The value of a valid JSON text that is written without spaces, and without a key that an object has twice: as programs write it.
 * `undefined` for any other: that has to be looked through.
 */
export function compactValue(text: string): { readonly value: unknown } | undefined {
  if (text.length > longestCompact || !'{['.includes(text[0] ?? ' ')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return JSON.stringify(value) === text ? { value } : undefined;
  } catch {
    return undefined; // nested too deeply to be written
  }
}

/** The place of the first character at or behind `from` that is no white space of JSON. */
export function nextNonSpace(text: string, from: number): number {
  let at = from;
  while (' \t\r\n'.includes(text[at] ?? '.')) at++;
  return at;
}

/** The place behind the closing quote of the string that begins at `start`. */
export function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Behind the value that begins at `start`. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; ; at++) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at) - 1;
    else if (character === '{' || character === '[') depth++;
    else if (depth === 0 && (character === undefined || ',}] \t\r\n'.includes(character))) return at;
    else if (character === '}' || character === ']') depth--;
    if (depth === 0 && (character === '}' || character === ']' || character === '"')) return at + 1;
  }
}
