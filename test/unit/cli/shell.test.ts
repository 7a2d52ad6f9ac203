import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { errorTable } from '../../../src/base/errors.ts';
import { commandLine } from '../../../src/cli/program.ts';
import { allOf, type CommandWords, wordsOf } from '../../../src/cli/shell/words.ts';
import { runOnFiles } from '../support/files-only.ts';

const program: CommandWords = wordsOf(commandLine({ write: () => {} } as never));
const commands = allOf(program);

const printed = async (...words: readonly string[]) => (await runOnFiles(() => undefined, ...words)).stdout;

/** What bash completes for a line whose last word is unfinished. */
async function completed(line: string): Promise<readonly string[]> {
  const words = line.split(' ');
  const script = `${await printed('completion', 'bash')}
compopt() { :; } # there is no completion under way here
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${words.length - 1}
_egress; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const said = execFileSync('bash', ['-c', script], { encoding: 'utf8', cwd: '/' });
  return said.split('\n').filter(Boolean);
}

describe('in bash', () => {
  const below = (command: CommandWords) => command.commands.map(({ name }) => name);

  for (const command of commands) {
    test(`"${['egress', ...command.path].join(' ')}" completes to all that it takes`, async () => {
      const words = ['egress', ...command.path].join(' ');
      const options = command.options.map(({ long }) => long);
      assert.deepEqual([...(await completed(`${words} --`))].sort(), [...options].sort());
      if (command.commands.length > 0) {
        assert.deepEqual(await completed(`${words} `), [...below(command), ...options]);
      }
    });
  }

  test('a begun word is finished, and a command that is known is not offered again', async () => {
    assert.deepEqual(await completed('egress sta'), ['status']);
    assert.deepEqual(await completed('egress exit m'), ['move']);
    assert.deepEqual(await completed('egress status --j'), ['--json']);
    assert.deepEqual(await completed('egress completion f'), ['fish']);
    assert.deepEqual(await completed('egress status status'), []);
  });

  test('options with values complete to files, folders, or what nobody knows', async () => {
    assert.deepEqual(await completed('egress status --data-dir et'), ['etc']);
    assert.deepEqual(
      await completed('egress validate etc/host'),
      execFileSync('bash', ['-c', 'compgen -f etc/host'], { cwd: '/', encoding: 'utf8' }).trim().split('\n'),
    );
    assert.deepEqual(await completed('egress gateway --node 1'), []);
  });
});

describe('zsh and fish', () => {
  test('are told of every command and option, with what each is for', async () => {
    const [zsh, fish] = [await printed('completion', 'zsh'), await printed('completion', 'fish')];
    for (const { path, summary, options } of commands.slice(1)) {
      const [name = ''] = path.slice(-1);
      const said = summary.replaceAll("'", "'\\''");
      assert.ok(zsh.includes(`'${name}:${said.replaceAll(':', '\\:')}'`), name);
      assert.ok(fish.includes(`-a ${name} -d '${summary.replace(/['\\]/g, '\\$&')}'`), name);
      const own = zsh.slice(zsh.indexOf(`${['_egress', ...path].join('_')}() {`)).split('\n}\n')[0] ?? '';
      const here = fish.split('\n').filter((line) => line.includes(`__fish_seen_subcommand_from ${name}`));
      for (const { long, value } of options) {
        assert.ok(own.includes(`'${long}${value ? '=' : ''}[`), `${name} ${long}`);
        assert.ok(
          here.some((line) => line.includes(` -l ${long.slice(2)} `)),
          `${name} ${long}`,
        );
      }
    }
  });
});

describe('the manual page', () => {
  test('has every command with its options, and every error', async () => {
    const page = (await printed('man')).replaceAll('\\-', '-');
    for (const { path, options } of commands.filter(({ commands, path }) => commands.length + path.length > 0)) {
      if (commands.some((each) => each.path.length > path.length && path.every((word, i) => each.path[i] === word)))
        continue;
      const from = page.indexOf(`.SS "egress ${path.join(' ')}`);
      assert.ok(from > 0, path.join(' '));
      const own = page.slice(from, page.indexOf('\n.S', from + 1));
      for (const { long } of options) assert.ok(own.includes(long), `${path} ${long}`);
    }
    for (const [code, { number }] of Object.entries(errorTable))
      assert.ok(page.includes(`.B "${number} ${code}"`), code);
  });

  test('has no line that roff would take for a request of its own', async () => {
    const requests = (await printed('man')).split('\n').filter((line) => /^[.']/.test(line));
    assert.deepEqual([...new Set(requests.map((line) => line.split(' ')[0]))].sort(), [
      '.B',
      '.I',
      '.PP',
      '.SH',
      '.SS',
      '.TH',
      '.TP',
    ]);
  });
});
