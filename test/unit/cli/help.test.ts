import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { EgressError, errorTable } from '../../../src/base/errors.ts';
import { counterTopics } from '../../../src/cli/help/counters.ts';
import { errorTopics } from '../../../src/cli/help/errors.ts';
import { logTopics } from '../../../src/cli/help/log-lines.ts';
import { topicFor, topics } from '../../../src/cli/help/topics.ts';
import { runOnFiles } from '../support/files-only.ts';

const root = new URL('../../../', import.meta.url);
const sources = globSync(['src/**/*.ts', 'cmd/*.ts'], { cwd: root })
  .filter((file) => !file.startsWith('src/cli/help/'))
  .map((file) => readFileSync(new URL(file, root), 'utf8'));

/** The parts of all texts in the sources that are there word for word, with what is put in between them left out. */
const texts: readonly (readonly string[])[] = sources.flatMap((source) =>
  [...source.matchAll(/'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`/g)].map(([, plain, template]) =>
    (plain ?? template ?? '')
      .split(/\$\{(?:[^{}]|\{[^}]*\})*\}/)
      .map((part) => part.replace(/^[^\w]+$/, ''))
      .filter((part) => part !== ''),
  ),
);

/** Whether one of the texts of the sources, of some length, is in it. */
const isSaidSomewhere = (example: string): boolean =>
  texts.some((parts) => {
    if (parts.join('').length < 12) return false;
    let at = 0;
    return parts.every((part) => {
      at = example.indexOf(part, at);
      return at >= 0;
    });
  });

describe('help', () => {
  test('has a page for every code, by its name and its number', () => {
    for (const [code, { number, title }] of Object.entries(errorTable)) {
      assert.equal(topicFor(code).title, `${title} (${number})`);
      assert.equal(topicFor(String(number)), topicFor(code));
    }
    assert.equal(errorTopics.length, Object.keys(errorTable).length);
  });

  test('has a page for every reason of the metrics of drops, and every line of status about them', () => {
    const samples = readFileSync(new URL('src/agent/samples.ts', root), 'utf8');
    const reasons = [...samples.matchAll(/reason: '(\w+)'/g)].map(([, reason = '']) => reason);
    assert.ok(reasons.length >= 5);
    for (const reason of reasons) assert.equal(topicFor(reason).kind, 'counter');
    const status = readFileSync(new URL('src/cli/status-text.ts', root), 'utf8');
    for (const { names } of counterTopics) {
      const line = names.at(-1) ?? '';
      assert.ok(status.toLowerCase().includes(line), line);
      assert.equal(topicFor(line).names, names);
    }
  });

  test('has a page for every message of the logs, and for none that there is not', () => {
    const said = sources.flatMap((source) =>
      [...source.matchAll(/\blog\.(?:info|warn|debug)\((?:[^;]*?)\n?\);/g)].flatMap(([call]) =>
        [...call.matchAll(/'([^'\n]+)'/g)].map(([, text = '']) => text),
      ),
    );
    const pages = new Set(logTopics.flatMap(({ names }) => names));
    const known = sources.join('\n');
    assert.deepEqual(
      [...pages].filter((message) => !known.includes(`'${message}'`)),
      [],
      'nobody says so',
    );
    const messages = said.filter((text) => text.includes(' ') && !text.endsWith('.'));
    assert.ok(messages.length > 10);
    assert.deepEqual(
      [...new Set(messages)].filter((message) => !pages.has(message)),
      [],
      'no page for it',
    );
  });

  for (const {
    names: [code = ''],
    example,
  } of errorTopics) {
    test(`shows of ${code} what egress says in fact`, () => {
      const never = 'egress does not answer with it';
      const isUsed = sources.some((source) => new RegExp(`'${code}',|Error\\('${code}'`).test(source));
      assert.equal(example.startsWith(never), !isUsed, example);
      if (isUsed) assert.ok(isSaidSomewhere(example), example);
    });
  }

  test('has whole sentences: each begins with a capital or a word of ours, and only causes end with a full stop', () => {
    for (const {
      names: [name],
      cause,
      remedy,
    } of topics) {
      assert.match(cause, /^[A-Z“e].*[.]$/s, name);
      assert.match(remedy, /^[\p{L}].*[^.]$/su, name);
    }
  });

  test('names no word twice', () => {
    const names = topics.flatMap((topic) => topic.names);
    assert.equal(new Set(names).size, names.length);
  });

  test('takes words in any case, and the begin of a message', () => {
    assert.equal(topicFor('Exit-Interface'), topicFor('103'));
    assert.equal(topicFor('node.json and our table are both gone').kind, 'log line');
  });

  test('knows what was meant', () => {
    assert.throws(() => topicFor('exit-intreface'), { message: /did you mean "exit-interface"\?$/ });
    assert.throws(
      () => topicFor('quux'),
      (error) => error instanceof EgressError && error.message.endsWith('egress help --list names all that there is'),
    );
  });

  test('prints a page, or the list of all', async () => {
    const nothing = () => undefined;
    const page = await runOnFiles(nothing, 'help', 'could', 'not', 'be', 'repaired');
    assert.match(
      page.stdout,
      /^could not be repaired\n\nCause: {4}.*\nRemedy: {3}.*\.\n\nExample: {2}.*\n {10}→ .*\n$/,
    );
    const list = await runOnFiles(nothing, 'help');
    for (const {
      names: [name = ''],
    } of topics)
      assert.ok(list.stdout.includes(`\n  ${name}`), name);
    assert.equal((await runOnFiles(nothing, 'help', '--list')).stdout, list.stdout);
    const json = await runOnFiles(nothing, 'help', 'guard', '--json');
    assert.deepEqual(JSON.parse(json.stdout), topicFor('guard'));
  });
});
