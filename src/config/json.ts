import { pointerOf } from './problem.ts';

/** The value of a JSON document. A byte order mark, which some editors write, is no part of it (RFC 8259, section 8.1). */
export const parseJson = (text: string): unknown => JSON.parse(text.replace(/^\uFEFF/, ''));

/** A string with the colon that makes it a key, or a structural character. */
const token = /("(?:[^"\\]|\\.)*")\s*(:)?|[{}[\],]/g;

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
  const frames: Frame[] = [];
  const repeated: string[] = [];
  for (const [text, string, colon] of json.matchAll(token)) {
    const frame = frames.at(-1);
    if (text === '{' || text === '[') frames.push({ at: text === '[' ? 0 : '', keys: new Set() });
    else if (text === '}' || text === ']') frames.pop();
    else if (text === ',' && typeof frame?.at === 'number') frame.at++;
    else if (string !== undefined && colon !== undefined && frame) {
      frame.at = JSON.parse(string) as string;
      if (frame.keys.has(frame.at)) repeated.push(pointerOf(frames.map(({ at }) => at)));
      frame.keys.add(frame.at);
    }
  }
  return repeated;
}
