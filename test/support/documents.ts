import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

// What people read: every Markdown file of the repository, taken apart.

/** The folder of the repository. */
export const root = resolve(import.meta.dirname, '../..');

const foreign = new Set(['node_modules', 'dist', '.cache', '.git']);

/** The paths of all documents, from the folder of the repository. */
export const documents: readonly string[] = globSync('**/*.md', {
  cwd: root,
  exclude: (name) => foreign.has(name),
}).sort();

/** The text of a document. */
export const textOf = (document: string): string => readFileSync(join(root, document), 'utf8');

/** A fenced block. */
export interface Block {
  readonly document: string;
  /** Of its first line behind the fence, from 1. */
  readonly line: number;
  /** `json`, `sh`, … or an empty text. */
  readonly language: string;
  readonly text: string;
}

/** The place of a block, as editors open it. */
export const placeOf = ({ document, line }: Block): string => `${document}:${line}`;

/** All fenced blocks of all documents, without the indentation of their fences. */
export const blocks: readonly Block[] = documents.flatMap(blocksOf);

function blocksOf(document: string): readonly Block[] {
  const text = textOf(document);
  return [...text.matchAll(/^( *)```(\w*)\n(.*?)^\1```$/gms)].map(
    ({ index, 1: pad = '', 2: language = '', 3: body = '' }) => ({
      document,
      line: text.slice(0, index).split('\n').length + 1,
      language,
      text: body.replaceAll(new RegExp(`^${pad}`, 'gm'), ''),
    }),
  );
}

/** A command that a block tells people to give. */
export interface ShownCommand {
  readonly place: string;
  /** Without the remark behind it. */
  readonly command: string;
}

/** All commands of all blocks of the language `sh`, in the order of the documents. */
export const shownCommands: readonly ShownCommand[] = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap((block) =>
    block.text
      .split('\n')
      .map((line, i) => ({ place: `${block.document}:${block.line + i}`, command: line.replace(/ +# .*/, '').trim() }))
      .filter(({ command }) => command !== ''),
  );

/** A piece of a sentence that is set as code. */
export interface CodeInText {
  readonly document: string;
  readonly code: string;
}

/** All code within sentences and tables of all documents. */
export const codeInText: readonly CodeInText[] = documents.flatMap((document) =>
  [...withoutBlocks(document).matchAll(/`([^`]+)`/g)].map(([, code = '']) => ({
    document,
    code: code.replaceAll(/\s+/g, ' ').trim(),
  })),
);

/**
 * The commands of egress within sentences and tables of what users read, each once: not those of rooms of the program, which are for
 * who changes it, nor those of the list of changes.
 */
export const egressCommandsInText: readonly string[] = [
  ...new Set(
    codeInText
      .filter(({ document }) => !/^(src|test|cmd)\/|^CHANGELOG/.test(document))
      .map(({ code }) => code)
      .filter((code) => /^(dist\/)?egress [a-z-]/.test(code)),
  ),
];

/** The commands of kubectl and helm within sentences and tables of what users read, each once. */
export const clusterCommandsInText: readonly string[] = [
  ...new Set(
    codeInText
      .filter(({ document }) => !/^(src|test|cmd)\/|^CHANGELOG/.test(document))
      .map(({ code }) => code)
      .filter((code) => /^(kubectl|helm) [a-z-]/.test(code)),
  ),
];

/** All targets of links and pictures of a document, but those on the web. */
export function linksOf(document: string): readonly string[] {
  const text = withoutBlocks(document).replaceAll(/`[^`]*`/g, '');
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => !/^https?:/.test(target));
}

/** The names by which the headings of a document can be linked to, as GitHub makes them. */
export const anchorsOf = (document: string): readonly string[] =>
  [...withoutBlocks(document).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

function withoutBlocks(document: string): string {
  return textOf(document).replaceAll(/^( *)```.*?^\1```$/gms, '');
}
