import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Right } from '../../../src/agent/right.ts';

/** What is answered to who asks for the right: it is had, another one has it, or it cannot be asked for. */
type Answer = 'had' | 'taken' | Error;

/** A right with these answers, one after the other, and the last again and again; and what was said and called. */
function asked(...answers: readonly Answer[]) {
  const log: string[] = [];
  const left = [...answers];
  const controller = new AbortController();
  const right = new Right('/data/agent/lock', {
    claim: () => {
      const [answer] = left;
      if (left.length > 1) left.shift();
      else if (answer === 'taken') controller.abort();
      if (answer instanceof Error) throw answer;
      return answer === 'had' ? { [Symbol.dispose]: () => log.push('given back') } : undefined;
    },
    report: (error, consequence) => log.push(`${(error as Error).message}: ${consequence}`),
    waits: () => log.push('waits'),
    began: () => log.push('began'),
    pause: 0,
  });
  return { right, log, have: () => right.have(controller.signal) };
}

const taken = /^Another agent looks after this node: it has locked \/data\/agent\/lock: This one waits/;

describe('the right to look after a node', () => {
  test('is had once, and given back in the end', async () => {
    const { right, log, have } = asked('had', 'taken');
    assert.deepEqual([await have(), await have(), log, right.isHeld], [true, true, ['began'], true]);
    right[Symbol.dispose]();
    assert.deepEqual(log, ['began', 'given back']);
  });

  test('is waited for while another one has it, which is said once', async () => {
    const { log, have } = asked('taken', 'taken', 'had');
    assert.equal(await have(), true);
    assert.equal(log.filter((line) => taken.test(line)).length, 1);
    assert.equal(log.at(-1), 'began');
  });

  test('is not had when the agent is told to end before', async () => {
    const { log, have } = asked('taken');
    assert.equal(await have(), false);
    assert.ok(!log.includes('began'));
  });

  for (const code of ['EROFS', 'ENOSPC', 'EACCES']) {
    test(`keeps nobody from the node where it cannot be asked for (${code}): said once, and asked for again`, async () => {
      const { right, log, have } = asked(new Error(`${code}: open`), new Error(`${code}: open`), 'had');
      assert.deepEqual([await have(), right.isHeld], [true, false]);
      assert.deepEqual([await have(), await have(), right.isHeld], [true, true, true]);
      assert.equal(log.filter((line) => line.startsWith(`${code}: open: The agent goes on`)).length, 1);
      assert.equal(log.filter((line) => line === 'began').length, 1);
    });
  }

  test('is waited for when it turns out that another one has it', async () => {
    const { log, have } = asked(new Error('ENOSPC: open'), 'taken', 'had');
    assert.equal(await have(), true);
    assert.equal(await have(), true);
    assert.deepEqual(
      log.filter((line) => line === 'waits' || line === 'began'),
      ['began', 'waits', 'began'],
    );
  });
});
