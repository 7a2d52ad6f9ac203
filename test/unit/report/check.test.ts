import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { printCheck } from '../../../src/cli/check.ts';
import { bringUp } from '../../../src/gateway/gateway.ts';
import type { NodeCheck } from '../../../src/node/check-node.ts';
import { type CheckResult, checkAll, isFine } from '../../../src/report/check.ts';
import { added, gatewayConfiguration, newMachine, newNode, noCounters } from '../support/fake-machine.ts';

const report = (attachments: readonly CheckResult[], node: Partial<NodeCheck> = {}) => ({
  attachments,
  node: { problems: [], warnings: [], ...node },
});
const result = (pod: string, ...problems: string[]) => ({ attachment: `pods/${pod}/eth0`, pod, problems });

describe('a check, printed,', () => {
  test('has a line for each problem, and one that sums up', () => {
    assert.equal(
      printCheck(
        report([
          result('default/web-0', 'chain nat is missing', 'sysctl net/x is 1, expected 2'),
          result('default/web-1'),
          result('5f1c0d', 'element 10.0.0.9 of pods4 is missing'),
        ]),
      ),
      `default/web-0: chain nat is missing
default/web-0: sysctl net/x is 1, expected 2
5f1c0d: element 10.0.0.9 of pods4 is missing
2 of 3 attachments are not as they should be.
`,
    );
  });

  test('is one line when all is well', () => {
    assert.equal(printCheck(report([result('a'), result('b')])), '2 attachments are as they should be.\n');
    assert.equal(printCheck(report([])), '0 attachments are as they should be.\n');
  });
});

test('every attachment of the node is checked, and named by its pod or its container', async (t) => {
  const machine = newMachine(t);
  machine.host.counters = noCounters;
  await added(machine, 'a', '10.0.0.5');
  await added(machine, 'b', '10.0.0.6', { pod: { namespace: 'default' } });
  assert.deepEqual(await checkAll(machine), {
    attachments: [
      { attachment: 'pods/a/eth0', pod: 'default/pod-a', problems: [] },
      { attachment: 'pods/b/eth0', pod: 'default/b', problems: [] },
    ],
    node: { problems: [], warnings: [] },
  });
  await added(machine, 'c', '10.0.0.5');
  assert.deepEqual(
    (await checkAll(machine)).attachments.map(({ problems }) => problems),
    [
      [
        '10.0.0.5 of checked4',
        '10.0.0.5 . 10.0.0.5 of ends4',
        '10.0.0.5 of steered4',
        '10.0.0.5 of programs4',
        '10.0.0.5 of pods4',
      ].map((element) => `element ${element} is not as expected`),
      [],
      [],
    ],
  );
});

describe('of the node as a whole', () => {
  const filter = { family: 'ip', table: 'filter', chain: 'FORWARD', hook: 'forward', devices: [] } as const;

  test('a gateway is checked: its device, what it serves, and whether it forwards at all', async (t) => {
    const machine = newNode(t, '172.18.0.6');
    machine.host.counters = noCounters;
    await bringUp(machine, gatewayConfiguration());
    assert.deepEqual((await checkAll(machine)).node, { gateway: [], problems: [], warnings: [] });
    const { tunnel } = machine.host.kernel.outside;
    assert.ok(tunnel);
    machine.host.kernel.outside.setUp({ ...tunnel, mac: '02:e6:00:00:00:01' });
    machine.host.kernel.sysctls.set('net/ipv4/conf/egress0/forwarding', '0');
    const report = await checkAll(machine);
    assert.equal(isFine(report), false);
    assert.equal(
      printCheck(report),
      `gateway: tunnel device egress0: MAC address is 02:e6:00:00:00:01, expected 02:e6:ac:12:00:06
gateway: net/ipv4/conf/egress0/forwarding is 0, so the node forwards nothing that comes in by egress0: set it to 1
0 attachments are as they should be.
This node is a gateway, and not as it should be.
`,
    );
  });

  test('a filter of others that drops everything is a problem, one that has rules is a warning', async (t) => {
    const machine = newNode(t, '172.18.0.6');
    machine.host.counters = noCounters;
    await bringUp(machine, gatewayConfiguration());
    machine.host.filters.push(
      { ...filter, policy: 'drop', rules: 2 },
      { ...filter, family: 'ip6', policy: 'drop', rules: 2 },
    );
    const doubtful = await checkAll(machine);
    assert.equal(isFine(doubtful), true);
    assert.deepEqual(doubtful.node.warnings, [
      'chain FORWARD of table ip filter has the policy drop: what its rules do not accept does not leave, and they are not judged here',
    ]);
    machine.host.filters.splice(0, 2, { ...filter, policy: 'drop', rules: 0 });
    const certain = await checkAll(machine);
    assert.equal(isFine(certain), false);
    assert.match(printCheck(certain), /^node: chain FORWARD of table ip filter drops all that pods send by exits: /);
  });
});
