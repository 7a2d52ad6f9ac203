import type { Document, Node, Pair } from 'yaml';
import type { Problem } from '../config/problem.ts';

/** Characters of a file whose lines are looked for: a ConfigMap has no more, and a larger file takes seconds. */
const longest = 1_000_000;

/** The problems of a document with the lines of their places. JSON is YAML, too. */
export async function withLines(text: string, problems: readonly Problem[]): Promise<readonly Problem[]> {
  const isPlaced = problems.some(({ pointer }) => pointer !== '');
  if (!isPlaced || text.length > longest || !text.trim().includes('\n')) return problems;
  const { LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  return problems.map((problem) => {
    const at = problem.pointer === '' ? undefined : offsetOf(document, problem.pointer);
    return at === undefined ? problem : { ...problem, line: lines.linePos(at).line };
  });
}

/** Where a place of the document begins, or what is nearest around it, for something that is missing. */
function offsetOf({ contents }: Document.Parsed, pointer: string): number | undefined {
  let [node, at]: [unknown, number | undefined] = [contents, undefined];
  for (const part of pointer.slice(1).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    const member: unknown = (node as { items?: unknown[] } | null)?.items?.findLast((item, i) =>
      isPair(item) ? String((item.key as { value?: unknown } | null)?.value) === key : String(i) === key,
    );
    if (member === undefined) return at;
    at = (isPair(member) ? member.key : (member as Node))?.range?.[0] ?? at;
    node = isPair(member) ? member.value : member;
  }
  return at;
}

const isPair = (item: unknown): item is Pair<Node | null, unknown> =>
  typeof item === 'object' && item !== null && 'key' in item && 'value' in item;
