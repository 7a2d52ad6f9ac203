import { canonicalJson } from '../base/canonical.ts';
import { elementsOf, membersOf, nextNonSpace, type Span } from '../base/json-text.ts';
import { pluginType } from './entry.ts';

/**
 * Files are edited as texts: everything but our entry stays byte for byte. Each character of such a text is one byte
 * (latin1), so that bytes stay that are no UTF-8. All functions here take valid JSON of a network configuration list.
 */

/** The list with our entry as its last plugin, and nowhere else; the same text when it is so already. */
export function withEntry(text: string, entry: string): string {
  const ours = [...plugins(text)].filter(isOurs);
  const [only] = ours;
  if (only !== undefined && ours.length === 1 && isLast(text, only) && saysTheSame(only.text, entry)) return text;
  return appended(withoutEntry(text), entry);
}

/** The list without any entry of ours; the same text when there is none. */
export function withoutEntry(text: string): string {
  const all = [...plugins(text)];
  const index = all.findIndex(isOurs);
  const found = all[index];
  if (found === undefined) return text;
  const [before, after] = [all[index - 1], all[index + 1]];
  // With the comma in front of it, and the white space there; the first one with the comma behind it.
  const start = before?.end ?? found.start;
  const end = before === undefined && after !== undefined ? after.start : found.end;
  return withoutEntry(text.slice(0, start) + text.slice(end));
}

/** Whether a plugin of the list is ours. */
export const hasEntry = (text: string): boolean => [...plugins(text)].some(isOurs);

/** Whether there is a plugin that is not ours. */
export const hasOthers = (text: string): boolean => [...plugins(text)].some((plugin) => !isOurs(plugin));

/** A plugin of a list: its place, and its text. */
export interface PluginText extends Span {
  readonly text: string;
}

/** The plugins of a list as they stand there; none when it has no list of plugins. */
export function* plugins(text: string): Generator<PluginText> {
  const list = pluginList(text);
  if (list === undefined || text[list.start] !== '[') return;
  for (const { start, end } of elementsOf(text, list.start)) yield { start, end, text: text.slice(start, end) };
}

/** Where the list of plugins stands. Of several the last counts, as for the runtimes' parser. */
export const pluginList = (text: string): Span | undefined =>
  [...membersOf(text)].findLast(({ key }) => key === 'plugins');

export const isOurs = ({ text }: PluginText): boolean =>
  (JSON.parse(text) as { type?: unknown } | null)?.type === pluginType;

const isLast = (text: string, { end }: Span): boolean => text[nextNonSpace(text, end)] === ']';

const saysTheSame = (a: string, b: string): boolean => canonicalJson(JSON.parse(a)) === canonicalJson(JSON.parse(b));

/** Set off like the last plugin: a list that has a line for each plugin has one for ours. */
function appended(text: string, entry: string): string {
  const last = [...plugins(text)].at(-1);
  if (last === undefined) throw new Error('A network configuration list without plugins cannot carry ours');
  const space = /[ \t\r\n]*$/.exec(text.slice(0, last.start))?.[0] ?? '';
  return `${text.slice(0, last.end)},${space}${entry}${text.slice(last.end)}`;
}
