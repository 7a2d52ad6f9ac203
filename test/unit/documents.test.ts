import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import type { Command } from 'commander';
import { parseAllDocuments } from 'yaml';
import { commandLine } from '../../src/cli/program.ts';
import { judgePolicy } from '../../src/config/read.ts';
import { warningsOf } from '../../src/config/warnings.ts';
import { startupTaint } from '../../src/installer/node-taint.ts';
import {
  anchorsOf,
  blocks,
  clusterCommandsInText,
  codeInText,
  documents,
  egressCommandsInText,
  linksOf,
  placeOf,
  root,
  shownCommands,
  textOf,
} from '../support/documents.ts';
import { findNothing, ofClusters, shown, trials, untriedInText } from '../support/readme-commands.ts';

// What people read is so: what they copy works, what they are shown is what is said, what they are led to is there.

/** The parser of command lines; nothing of its surroundings is used. */
const program = commandLine({ write: () => {} } as unknown as Parameters<typeof commandLine>[0]);

/** All commands that documents tell people to give, in blocks and in sentences, with their place. */
const allCommands = [
  ...shownCommands.map(({ place, command }) => ({ place, command })),
  ...codeInText.map(({ document, code }) => ({ place: document, command: code })),
];

describe('documents', () => {
  test('are found: those of folders, and those that stand beside README.md', () => {
    for (const expected of ['README.md', 'CONTRIBUTING.md', 'conf/limits.md', 'src/datapath/README.md'])
      assert.ok(documents.includes(expected), expected);
    assert.ok(blocks.length > 20);
  });

  for (const document of documents) {
    test(`${document} leads to files and headings that are there`, () => {
      const lost = linksOf(document).filter((target) => !isThere(document, target));
      assert.deepEqual(lost, []);
    });
  }

  test('show pictures that are readable on dark and light ground', () => {
    const pictures = documents.flatMap((document) =>
      linksOf(document)
        .filter((target) => target.endsWith('.svg'))
        .map((target) => join(root, dirname(document), target)),
    );
    assert.ok(pictures.length > 0);
    for (const picture of pictures) {
      const text = readFileSync(picture, 'utf8');
      assert.match(text, /@media \(prefers-color-scheme: dark\)/, picture);
      assert.match(text, /<title .*<desc /s, picture);
    }
  });
});

test('the picture of README.md shows the addresses that the demo prints', () => {
  const addresses = (text: string) => [...new Set(text.match(/\b\d+\.\d+\.\d+\.\d+\b/g))].sort();
  const drawn = addresses(readFileSync(join(root, 'conf/pictures/before-and-after.svg'), 'utf8'));
  const [demo] = blocks.filter(({ text }) => text.startsWith('Before, with'));
  assert.ok(drawn.length > 6);
  assert.deepEqual(
    drawn.filter((address) => !addresses(demo?.text ?? '').includes(address)),
    [],
  );
});

function isThere(document: string, target: string): boolean {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? document : join(dirname(document), path);
  if (!existsSync(join(root, file))) return false;
  return anchor === undefined || anchorsOf(file).includes(anchor);
}

describe('commands in documents', () => {
  test('are each tried by a test, or have a reason why not', () => {
    const unknown = shownCommands.filter(({ command }) => trials[command] === undefined);
    assert.deepEqual(unknown, [], 'give each a row in test/support/readme-commands.ts');
    const given = new Set(shownCommands.map(({ command }) => command));
    assert.deepEqual(
      Object.keys(trials).filter((command) => !given.has(command)),
      [],
      'no document has these any more',
    );
  });

  test('that stand in sentences are given in the lab, or have a reason why not', () => {
    assert.ok(egressCommandsInText.length > 30);
    assert.deepEqual(
      [...Object.keys(untriedInText), ...findNothing].filter((command) => !egressCommandsInText.includes(command)),
      [],
      'no document has these any more',
    );
  });

  test('of kubectl and helm that stand in sentences are given in a whole cluster, or have a reason why not', () => {
    assert.deepEqual(clusterCommandsInText.toSorted(), Object.keys(ofClusters).toSorted());
  });

  test('are tried by tests that are there', () => {
    const tests = [...Object.values(trials), ...Object.values(ofClusters), ...Object.values(shown)].flatMap((trial) =>
      'test' in trial ? [trial.test] : [],
    );
    assert.deepEqual(
      tests.filter((file) => !existsSync(join(root, file))),
      [],
    );
  });

  test('name commands of egress, and options that these have', () => {
    const wrong = allCommands.flatMap(({ place, command }) =>
      egressCallsIn(command).flatMap((words) => mistakeIn(words).map((mistake) => `${place}: ${command}: ${mistake}`)),
    );
    assert.deepEqual(wrong, []);
  });

  test('would be told from what egress does not know', () => {
    assert.deepEqual(mistakeIn(['status', '--jsn']), ['egress status has no option --jsn']);
    assert.deepEqual(mistakeIn(['exit', 'remove', 'a']), ['egress exit has no command "remove"']);
    assert.deepEqual(mistakeIn(['exit', 'move', 'a', '--to', '192.0.2.1']), []);
    assert.deepEqual(mistakeIn(['staus']), ['egress has no command "staus"']);
  });

  test('name scripts of package.json', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object };
    const named = allCommands.flatMap(({ command }) =>
      [...command.matchAll(/\bnpm run (?:-s )?([\w-]+)/g)].map(([, script = '']) => script),
    );
    assert.ok(named.includes('demo'));
    assert.deepEqual(
      named.filter((script) => !(script in scripts)),
      [],
    );
  });

  test('name files of the repository that are there', () => {
    const paths = allCommands
      .filter(({ command }) => /^(kubectl|helm|node_modules|sh|modprobe|grep|dist\/egress) /.test(command))
      .flatMap(({ place, command }) =>
        [...command.matchAll(/(?<=^|\s)((?:install|test|conf|src)\/[\w./-]+)/g)].map(([, path = '']) => ({
          place,
          path,
        })),
      );
    assert.ok(paths.some(({ path }) => path === 'install/kustomize'));
    assert.deepEqual(
      paths.filter(({ path }) => !existsSync(join(root, path))),
      [],
    );
  });

  test('name the taint that the installer takes away', () => {
    const named = allCommands.filter(({ command }) => command.includes('taint'));
    assert.ok(named.some(({ command }) => command.includes(`${startupTaint}=:NoSchedule`)));
  });
});

/** The words behind each `egress` of a command, up to the end of that call. Placeholders stay in it. */
function egressCallsIn(command: string): readonly (readonly string[])[] {
  const calls = command.matchAll(/(?:^|[(|;] ?|-- )(?:\S*\/)?egress ([^|;)]*)/g);
  return [...calls].map(([, words = '']) => words.split(' ').filter(Boolean)).filter((words) => words.length > 0);
}

/** What egress would not understand of words that are given to it. */
function mistakeIn(words: readonly string[], command: Command = program, called = 'egress'): readonly string[] {
  const [first = '', ...more] = words;
  const next = command.commands.find((each) => each.name() === first);
  if (next !== undefined) return mistakeIn(more, next, `${called} ${first}`);
  if (command.commands.length > 0 && /^[a-z]/.test(first)) return [`${called} has no command "${first}"`];
  const known = command.options.flatMap(({ long, short }) => [long, short]);
  const options = words.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.split('=')[0] ?? '');
  return options
    .filter((option) => !['--help', '-h', ...known].includes(option))
    .map((option) => `${called} has no option ${option}`);
}

describe('blocks in documents', () => {
  test('that show output are each compared with the real one, or are drawings', () => {
    const firstLines = blocks
      .filter(({ language }) => language === '')
      .map((block) => ({
        place: placeOf(block),
        line: block.text.split('\n')[0] ?? '',
      }));
    assert.deepEqual(
      firstLines.filter(({ line }) => shown[line] === undefined),
      [],
      'give each a row in test/support/readme-commands.ts',
    );
    assert.deepEqual(
      Object.keys(shown).filter((line) => !firstLines.some((each) => each.line === line)),
      [],
    );
  });

  const policies = blocks.filter(
    ({ language, text }) => ['json', 'yaml'].includes(language) && /["\s](exits|policies)["\s]*:/.test(text),
  );

  test('that are policies are found', () => assert.ok(policies.length >= 8));

  for (const block of policies) {
    test(`at ${placeOf(block)} are a whole policy file, without mistakes and warnings`, () => {
      const judged = judgePolicy(block.document, parseAllDocuments(block.text)[0]?.toJS(), []);
      assert.ok('value' in judged, JSON.stringify(judged));
      assert.deepEqual(warningsOf(block.document, judged.value), []);
    });
  }

  test('of JSON and YAML can be read', () => {
    for (const block of blocks.filter(({ language }) => language === 'json')) JSON.parse(block.text);
    for (const block of blocks.filter(({ language }) => language === 'yaml'))
      for (const { errors } of parseAllDocuments(block.text)) assert.deepEqual(errors, [], placeOf(block));
  });

  test('have a language that a test knows', () => {
    const known = ['', 'json', 'yaml', 'sh'];
    assert.deepEqual(blocks.filter(({ language }) => !known.includes(language)).map(placeOf), []);
  });
});

test('conf/operating.md explains each column of "egress status"', () => {
  const source = readFileSync(join(root, 'src/cli/status-text.ts'), 'utf8');
  const columns = [...source.matchAll(/column\('([^']+)'/g)].map(([, title = '']) => title);
  assert.ok(columns.includes('HEALTH'));
  const named = ['EXIT', 'POD', 'BYTES/S'];
  assert.deepEqual(
    columns.filter((title) => !named.includes(title) && !textOf('conf/operating.md').includes(`\n| ${title} `)),
    [],
  );
});

test('README.md is short enough to be read at once', () => {
  assert.ok(textOf('README.md').split('\n').length <= 270);
});
