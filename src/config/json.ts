import { compactValue, endOfString, nextNonSpace } from '../base/json-text.ts';
import { pointerOf } from './problem.ts';

/** The value of a JSON document. A byte order mark, which some editors write, is no part of it (RFC 8259, section 8.1). */
export const parseJson = (text: string): unknown => JSON.parse(text.replace(/^\uFEFF/, ''));

/** Where a string begins, or a structural character. Not a whole string: a pattern has no room for megabytes of it. */
const token = /["{}[\],]/g;

/** An object or a list that the scan is in, and where in it. */
interface Frame {
  at: string | number;
  readonly keys: Set<string>;
}

/**
 * Where a valid JSON text has a key a second time in one object, as JSON pointers. JSON.parse keeps the last one without
 * a word: half of the policies would be gone.
 */
export function repeatedKeys(json: string): string[] {
  if (compactValue(json)) return [];
  const frames: Frame[] = [];
  const repeated: string[] = [];
  const tokens = new RegExp(token);
  for (let found = tokens.exec(json); found !== null; found = tokens.exec(json)) {
    const [[text], frame] = [found, frames.at(-1)];
    if (text === '{' || text === '[') frames.push({ at: text === '[' ? 0 : '', keys: new Set() });
    else if (text === '}' || text === ']') frames.pop();
    else if (text === ',' && typeof frame?.at === 'number') frame.at++;
    else if (text === '"') {
      tokens.lastIndex = endOfString(json, found.index);
      if (frame === undefined || json[nextNonSpace(json, tokens.lastIndex)] !== ':') continue;
      frame.at = JSON.parse(json.slice(found.index, tokens.lastIndex)) as string;
      if (frame.keys.has(frame.at)) repeated.push(pointerOf(frames.map(({ at }) => at)));
      frame.keys.add(frame.at);
    }
  }
  return repeated;
}
