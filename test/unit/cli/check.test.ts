import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkAll, printCheck } from '../../../src/cli/check.ts';
import { added, newMachine } from '../support/fake-machine.ts';

const result = (pod: string, ...problems: string[]) => ({ attachment: `pods/${pod}/eth0`, pod, problems });

describe('a check, printed,', () => {
  test('has a line for each problem, and one that sums up', () => {
    assert.equal(
      printCheck([
        result('default/web-0', 'chain nat is missing', 'sysctl net/x is 1, expected 2'),
        result('default/web-1'),
        result('5f1c0d', 'element 10.0.0.9 of pods4 is missing'),
      ]),
      `default/web-0: chain nat is missing
default/web-0: sysctl net/x is 1, expected 2
5f1c0d: element 10.0.0.9 of pods4 is missing
2 of 3 attachments are not as they should be.
`,
    );
  });

  test('is one line when all is well', () => {
    assert.equal(printCheck([result('a'), result('b')]), '2 attachments are as they should be.\n');
    assert.equal(printCheck([]), '0 attachments are as they should be.\n');
  });
});

test('every attachment of the node is checked, and named by its pod or its container', async (t) => {
  const machine = newMachine(t);
  await added(machine, 'a', '10.0.0.5');
  await added(machine, 'b', '10.0.0.6', { pod: { namespace: 'default' } });
  assert.deepEqual(await checkAll(machine), [
    { attachment: 'pods/a/eth0', pod: 'default/pod-a', problems: [] },
    { attachment: 'pods/b/eth0', pod: 'default/b', problems: [] },
  ]);
  await added(machine, 'c', '10.0.0.5');
  assert.deepEqual(
    (await checkAll(machine)).map(({ problems }) => problems),
    [['element 10.0.0.5 of pods4 is not as expected'], [], []],
  );
});
