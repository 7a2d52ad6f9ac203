import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Journal } from '../../../src/agent/journal.ts';
import type { Round } from '../../../src/agent/round.ts';

const round = (changes: Partial<Round>): Round => ({
  ...{ changes: [], adopted: [], collected: [], refused: [], failures: [], isWhole: true, isConfigured: true },
  ...changes,
});

const table = { verb: 'add', object: { kind: 'table', name: 'cni-egress' } } as unknown as Round['changes'][number];

/** What a journal says of rounds. */
function said(...rounds: readonly (readonly [Partial<Round>, Parameters<Journal['tell']>[1]?, boolean?])[]): string[] {
  const lines: string[] = [];
  const say = (fields: object, message: string) => lines.push(`${message} ${JSON.stringify(fields)}`);
  const journal = new Journal({ debug: () => {}, info: say, warn: say });
  for (const [changes, since = { noticed: undefined, fine: undefined }, changed = false] of rounds)
    journal.tell(round(changes), since, changed);
  return lines;
}

const mended = ['table inet cni-egress is missing'];

describe('a journal', () => {
  test('says nothing of a round that did nothing', () => assert.deepEqual(said([{}]), []));

  test('says what was put back, and how long it was wrong, as far as that is known', () => {
    const line = (fields: object) =>
      `put back what somebody had taken or changed ${JSON.stringify({ mended, ...fields })}`;
    assert.deepEqual(said([{ changes: [table] }]), [
      `set up what was not there when the agent began ${JSON.stringify({ mended })}`,
    ]);
    assert.deepEqual(said([{ changes: [table] }, { noticed: 12.4, fine: 300 }]), [line({ wrongForMs: 12 })]);
    assert.deepEqual(said([{ changes: [table] }, { noticed: undefined, fine: 300 }]), [
      line({ wrongForMsAtMost: 300 }),
    ]);
  });

  test('says of what a changed configuration called for that nobody took it', () => {
    assert.deepEqual(said([{ changes: [table] }, { noticed: 1, fine: 2 }, true]), [
      `the node is as the configuration says now ${JSON.stringify({ applied: mended })}`,
    ]);
  });

  test('says a failure once, and its end', () => {
    assert.deepEqual(said([{ failures: ['a', 'b'] }], [{ failures: ['b'] }], [{ failures: ['b'] }], [{}]), [
      'could not be done {"failure":"a"}',
      'could not be done {"failure":"b"}',
      'is no more {"failure":"a"}',
      'is no more {"failure":"b"}',
    ]);
  });

  test('names pods by namespace and name, and else by their container', () => {
    const pod = { network: 'pods', containerId: 'c1', ifname: 'eth0', exits: ['partners'] };
    const lines = said([
      {
        adopted: [
          { ...pod, pod: { namespace: 'default', name: 'web' } },
          { ...pod, pod: {} },
        ],
      },
    ]);
    assert.match(lines[0] ?? '', /^a pod from before has its exits now \{"pod":"default\/web",/);
    assert.match(lines[1] ?? '', /"pod":"c1",/);
  });
});
