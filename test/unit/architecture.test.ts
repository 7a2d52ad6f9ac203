import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, test } from 'node:test';

interface Row {
  /** Folders of src/ that it may import from. Each stands in a row above, so there is no way around in circles. */
  readonly imports: readonly string[];
  /** Folders that it may take types from, and nothing that is there at run time (`import type`). */
  readonly types?: readonly string[];
  /** Packages, and modules of Node. */
  readonly packages?: readonly string[];
}

const pure = ['base', 'nftables', 'policy', 'config', 'datapath'];

/** Who may import from whom, from the ground up. cmd/ may import everything, and nobody may import cmd/. */
const table: Readonly<Record<string, Row>> = {
  base: { imports: [], packages: ['@noble/hashes'] },
  files: { imports: ['base'], packages: ['node:fs', 'node:path'] },
  loop: { imports: ['base'] },
  nftables: { imports: ['base'] },
  policy: { imports: ['base'], packages: ['@noble/hashes'] },
  config: { imports: ['base', 'policy'], packages: ['zod'] },
  datapath: { imports: ['base', 'nftables'], types: ['policy'] },
  election: { imports: ['base'] },
  kernel: {
    imports: ['base', 'nftables', 'datapath'],
    types: ['election', 'files'],
    packages: ['netlink', 'node:fs', 'node:module', 'node:os', 'node:util'],
  },
  store: { imports: ['base', 'files'], types: ['policy', 'datapath'], packages: ['zod', 'node:fs', 'node:path'] },
  sources: { imports: ['base', 'policy', 'config', 'files', 'store'] },
  // The engine: it changes a node, and knows no runtime. The sockets are handed in.
  node: {
    imports: ['base', 'nftables', 'policy', 'datapath', 'store'],
    types: ['config', 'sources'],
  },
  cni: { imports: ['base', 'policy', 'config', 'sources', 'node'], types: ['datapath', 'store'] },
  runtimes: { imports: ['base', 'policy', 'config', 'files', 'loop', 'sources', 'node', 'cni'], types: ['store'] },
  gateway: { imports: [...pure, 'store', 'node'] },
  // What is outdated is told from what the configurations of runtimes say now.
  report: { imports: [...pure, 'files', 'store', 'sources', 'node', 'runtimes'], packages: ['node:path', 'zod'] },
  import: { imports: ['base', 'policy', 'config'], packages: ['zod'] },
  kubernetes: {
    imports: ['base', 'loop', 'policy', 'config', 'import'],
    packages: ['node:http', 'node:https', 'yaml', 'zod'],
  },
  installer: {
    imports: ['base', 'files', 'loop', 'config', 'store', 'cni', 'kubernetes'],
    packages: ['node:crypto', 'node:fs', 'node:path'],
  },
  // What it repeats is in the rooms above; sockets and files are handed in.
  agent: {
    imports: [
      ...pure,
      'files',
      'loop',
      'election',
      'store',
      'sources',
      'node',
      'runtimes',
      'gateway',
      'report',
      'kubernetes',
    ],
    packages: ['node:http', 'prom-client'],
  },
  cli: {
    imports: [
      ...pure,
      'files',
      'loop',
      'election',
      'store',
      'sources',
      'node',
      'cni',
      'runtimes',
      'gateway',
      'report',
      'import',
      'kubernetes',
      'installer',
      'agent',
    ],
    packages: ['node:path', 'node:timers', 'commander', 'cli-table3', 'yaml'],
  },
};

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
  readonly line: number;
}

const root = resolve(import.meta.dirname, '../..');
const sources = globSync('src/**/*.ts', { cwd: root }).sort();
const read = (file: string) => withoutComments(readFileSync(join(root, file), 'utf8'));

/** The text with comments blanked, so that the line numbers stay. */
function withoutComments(text: string): string {
  const token = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
  return text.replace(token, (part) => (part.startsWith('/') ? part.replace(/[^\n]/g, ' ') : part));
}

/** Every import, re-export and dynamic import of a text without comments. */
function importsIn(text: string): Import[] {
  const statement = /\b(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'/g;
  return [...text.matchAll(statement)].map((match) => ({
    from: match[2] ?? match[3] ?? '',
    typeOnly: match[1] !== undefined,
    line: lineAt(text, match.index + match[0].length),
  }));
}

const lineAt = (text: string, index: number) => text.slice(0, index).split('\n').length;

/** The folder of src/ that a file is in; a path that is nowhere in src/ stays as it is. */
const folderOf = (path: string) => /^src\/([^/]+)\//.exec(path)?.[1] ?? path;

/** `@scope/name` or `name`, with `node:fs` for `node:fs/promises`. */
const packageOf = (specifier: string) => /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;

function isAllowed(file: string, { from, typeOnly }: Import): boolean {
  const folder = folderOf(file);
  const { imports = [], types = [], packages = [] } = table[folder] ?? {};
  if (!from.startsWith('.')) return packages.includes(packageOf(from));
  const target = folderOf(relative(root, resolve(root, dirname(file), from)));
  return target === folder || imports.includes(target) || (typeOnly && types.includes(target));
}

describe('the import table', () => {
  test('has a row for every folder of src/, and src/ holds nothing but folders and a README', () => {
    const entries = existsSync(join(root, 'src')) ? readdirSync(join(root, 'src')) : [];
    assert.deepEqual(
      entries.filter((entry) => entry !== 'README.md' && !(entry in table)),
      [],
    );
  });

  test('lets a folder import only from those above it', () => {
    const rows = Object.keys(table);
    for (const [folder, { imports }] of Object.entries(table)) {
      const above = rows.slice(0, rows.indexOf(folder));
      assert.deepEqual(
        imports.filter((name) => !above.includes(name)),
        [],
        folder,
      );
    }
  });

  test('is kept by every file', () => {
    const offences = sources.flatMap((file) =>
      importsIn(read(file))
        .filter((found) => !isAllowed(file, found))
        .map(({ from, typeOnly, line }) => `${file}:${line} imports ${typeOnly ? 'types ' : ''}from '${from}'`),
    );
    assert.deepEqual(offences, []);
  });
});

describe('the READMEs of src/', () => {
  const text = (file: string) => readFileSync(join(root, file), 'utf8');
  const readmes = globSync('src/**/README.md', { cwd: root }).sort();

  test('map the rooms in the order of the import table, on one screen', () => {
    const map = text('src/README.md');
    assert.deepEqual(
      [...map.matchAll(/^\| \[`(\w+)`\]\((\w+)\/README\.md\)/gm)].map(([, name, folder]) => [name, folder]),
      Object.keys(table).map((name) => [name, name]),
    );
    assert.ok(map.split('\n').length <= 80);
  });

  test('begin in each room with what is in it, and say which file to open first', () => {
    for (const name of Object.keys(table)) {
      const [title = '', , ...rest] = text(`src/${name}/README.md`).split('\n');
      assert.ok(title.startsWith(`# ${name}: `), title);
      assert.match(rest.join('\n').split('\n## ', 1)[0] ?? '', /\bOpen `[\w-]+\.ts`/i, name);
    }
  });

  test('name only files that are there', () => {
    const isThere = (readme: string, file: string) =>
      [dirname(readme), 'src', '.'].some((folder) => existsSync(join(root, folder, file)));
    const missing = readmes.flatMap((readme) =>
      [...text(readme).matchAll(/`([\w/.-]+\.ts)`/g)]
        .filter(([, file = '']) => !isThere(readme, file))
        .map(([, file]) => `${readme} names ${file}`),
    );
    assert.deepEqual(missing, []);
  });
});

/** All files that a file loads when it starts: what `import()` loads, and types, do not count. */
function loadedBy(file: string, seen = new Set<string>()): ReadonlySet<string> {
  seen.add(file);
  const text = read(file).replaceAll(/\bimport\(/g, 'later(');
  for (const { from, typeOnly } of importsIn(text)) {
    const target = relative(root, resolve(root, dirname(file), from));
    if (!typeOnly && from.startsWith('.') && !seen.has(target)) loadedBy(target, seen);
  }
  return seen;
}

test('the start of the plugin loads no room that only commands need', () => {
  const rooms = Object.keys(table);
  const later = rooms.slice(rooms.indexOf('runtimes'));
  const loaded = loadedBy('cmd/plugin.ts');
  assert.ok(loaded.has('src/node/add.ts'));
  assert.deepEqual(
    [...loaded].filter((file) => later.includes(folderOf(file))),
    [],
  );
});

test('what only an examination of the host asks of the kernel is loaded by no other command', () => {
  const isOfExamination = (file: string) => file.startsWith('src/kernel/examine/');
  assert.ok(sources.some(isOfExamination));
  for (const start of ['cmd/plugin.ts', 'cmd/operator.ts', 'src/cli/program.ts'])
    assert.deepEqual([...loadedBy(start)].filter(isOfExamination), [], start);
});

test('the client of Prometheus is loaded by an agent that shows metrics, and by no other command', () => {
  const users = sources.filter((file) => importsIn(read(file)).some(({ from }) => from === 'prom-client'));
  const loaded = loadedBy('src/cli/program.ts');
  assert.ok(loaded.has('src/agent/agent.ts'));
  assert.notDeepEqual(users, []);
  assert.deepEqual(
    users.filter((file) => loaded.has(file)),
    [],
  );
});

test('nothing in src/ touches the process: its arguments, environment, streams and exit code are the business of cmd/', () => {
  const offences = sources.flatMap((file) => {
    const text = read(file);
    return [...text.matchAll(/\bprocess\.[a-z]\w*/g)].map(
      (match) => `${file}:${lineAt(text, match.index)} ${match[0]}`,
    );
  });
  assert.deepEqual(offences, []);
});

test('the search for imports finds them in every form, and none in comments', () => {
  const text = `import a from 'a';
    import type { B } from './b.ts';
    import {
      type C,
      d,
    } from '../c.ts';
    export * from 'e';
    export type { F } from 'f';
    import 'g'; // import 'no';
    /* import 'no' */ const h = await import('h');
    export const text = 'from';`;
  assert.deepEqual(
    importsIn(withoutComments(text)).map(({ from, typeOnly, line }) => [from, typeOnly, line]),
    [
      ['a', false, 1],
      ['./b.ts', true, 2],
      ['../c.ts', false, 6],
      ['e', false, 7],
      ['f', true, 8],
      ['g', false, 9],
      ['h', false, 10],
    ],
  );
});
