import type fc from 'fast-check';
import { globWords, junk, portWords, Raw, rangeWords, words } from './malformed-words.ts';

/** JSON in which each {@link Raw} is its text. */
export function jsonText(value: unknown): string {
  if (value instanceof Raw) return value.text;
  if (Array.isArray(value)) return `[${value.map(jsonText).join()}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  return `{${Object.entries(value).map(memberText).join()}}`;
}

const memberText = ([key, value]: readonly [string, unknown]): string => `${JSON.stringify(key)}:${jsonText(value)}`;

/** Where the choices of one input come from. */
export class Dice {
  readonly #stream: Iterator<number>;
  /** Texts that were made and have no meaning at all. Some are lost again, by what is broken after them. */
  readonly hopeless: string[] = [];

  constructor(stream: fc.Stream<number>) {
    this.#stream = stream[Symbol.iterator]();
  }

  /** A whole number below a bound. */
  below(bound: number): number {
    return (this.#stream.next().value ?? 0) % bound;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** True once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }
}

type Path = readonly (string | number)[];

/** The value with one or two things in it wrong, or at least odd. */
export function brokenTimes(value: unknown, dice: Dice): unknown {
  let broken = value;
  for (let times = 1 + dice.below(2); times > 0; times--) broken = brokenOnce(broken, dice);
  return broken;
}

function brokenOnce(value: unknown, dice: Dice): unknown {
  const place = dice.pick(placesIn(value));
  return changedAt(value, place, (part) => {
    if (Array.isArray(part)) return brokenList(part, dice);
    if (part !== null && typeof part === 'object' && !(part instanceof Raw)) return brokenObject(part, dice);
    if (typeof part === 'string' && !dice.once(3)) return brokenString(part, dice);
    return dice.once(3) ? [part] : dice.pick(junk);
  });
}

/** The value with one of its texts wrong by little. */
export function withBrokenText(value: unknown, dice: Dice): unknown {
  const places = placesIn(value).filter((path) => typeof valueAt(value, path) === 'string');
  return changedAt(value, dice.pick(places), (part) => brokenString(String(part), dice));
}

function brokenList(list: readonly unknown[], dice: Dice): unknown {
  const [at, odd] = [dice.below(list.length + 1), dice.pick(junk)];
  return dice.pick([
    () => [],
    () => list.toSpliced(at, 1),
    () => list.toSpliced(at, 0, odd),
    () => list[0],
    () => odd,
    () => [...list, ...list],
    () => [list],
    () => ({ ...list }),
  ])();
}

function brokenObject(object: object, dice: Dice): unknown {
  const members = Object.entries(object);
  const [key, value] = dice.pick(members.length > 0 ? members : [['name', 1]]);
  const odd = dice.pick(junk);
  const others = members.filter(([other]) => other !== key);
  const from = (all: readonly (readonly [string, unknown])[]) => Object.fromEntries(all);
  return dice.pick([
    () => from(others),
    () => from([...others, [nearMiss(key, dice), value]]),
    () => from([...members, [nearMiss(key, dice), dice.once(2) ? value : odd]]),
    () => from([...members, [dice.pick(['__proto__', 'constructor', 'toString', '', ...words]), odd]]),
    () => from([...others, [key, odd]]),
    () => from([...others, [key, [value]]]),
    () => twice(members, key, dice.once(2) ? value : odd, dice),
    () => odd,
    () => [object],
    () => ({}),
  ])();
}

/** The object with a key a second time, and maybe another value. */
function twice(members: readonly (readonly [string, unknown])[], key: string, value: unknown, dice: Dice): Raw {
  const text = `{${[...members, [key, value] as const].map(memberText).join()}}`;
  if (members.length > 0) dice.hopeless.push(text);
  return new Raw(text);
}

const nearMiss = (key: string, dice: Dice): string =>
  dice.pick([
    key.slice(0, -1),
    `${key}s`,
    key.toUpperCase(),
    ` ${key}`,
    `${key}\u0000`,
    key.replace(/[aeo]/, 'x'),
    `${key}\u0301`,
    key.replace('/', '.'),
  ]);

function brokenString(text: string, dice: Dice): string {
  const [at, odd] = [
    dice.below(text.length + 1),
    dice.pick(['0', '1', '/', '.', ':', '-', ',', '*', ' ', '\n', '%', '\u0000', '٣', '\u202e', '\ud800', 'e', '::']),
  ];
  return dice.pick([
    () => text.slice(0, at) + odd + text.slice(at),
    () => text.slice(0, at) + odd + text.slice(at + 1),
    () => text.slice(0, at) + text.slice(at + 1),
    () => text.slice(0, at),
    () => text.slice(at),
    () => text.toUpperCase(),
    () => `${text},${dice.pick(wordsLike(text))}`,
    () => dice.pick(wordsLike(text)),
    () => dice.pick(wordsLike(text)),
    () => dice.pick(words),
  ])();
}

/** What may stand where the text stands. */
function wordsLike(text: string): readonly string[] {
  if (/^(tcp|udp|sctp|icmp)/.test(text)) return portWords;
  return /^[\da-f]*[.:]/.test(text) ? rangeWords : globWords;
}

function placesIn(value: unknown, path: Path = []): Path[] {
  if (value === null || typeof value !== 'object' || value instanceof Raw) return [path];
  const entries: [string | number, unknown][] = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return [path, ...entries.flatMap(([key, part]) => placesIn(part, [...path, key]))];
}

const valueAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((part, key) => (part as Record<string | number, unknown>)[key], value);

function changedAt(value: unknown, [key, ...rest]: Path, change: (part: unknown) => unknown): unknown {
  if (key === undefined) return change(value);
  if (Array.isArray(value)) return value.map((item, i) => (i === key ? changedAt(item, rest, change) : item));
  return Object.fromEntries(
    Object.entries(value as object).map(([own, part]) => [own, own === key ? changedAt(part, rest, change) : part]),
  );
}
