import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { EgressError, type ErrorCode } from '../../../src/base/errors.ts';
import * as commands from '../../../src/cli/gateway.ts';
import type { Configuration } from '../../../src/config/configuration.ts';
import { added, type FakeMachine, gatewayConfiguration, newNode, stateOf } from '../support/fake-machine.ts';

const policy = '/policy.json';
const options = { policy };
const configured = gatewayConfiguration();
const [podsNode, first, second] = ['172.18.0.5', '172.18.0.6', '172.18.0.7'];

const isError = (code: ErrorCode, details: RegExp) => (error: unknown) => {
  assert.ok(error instanceof EgressError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, details);
  return true;
};

/** `egress gateway`, and what it wrote. */
async function gateway(
  machine: FakeMachine,
  configuration: Configuration,
  given: commands.GatewayOptions,
): Promise<string> {
  const written: string[] = [];
  await commands.gateway(machine, configuration, given, (text) => written.push(text));
  return written.join('');
}

/** `egress exit move`, and what it wrote. */
async function move(
  machine: FakeMachine,
  configuration: Configuration,
  wanted: { readonly exit: string; readonly to: string },
  given: commands.GatewayOptions,
): Promise<string> {
  const written: string[] = [];
  await commands.move(machine, configuration, wanted, given, (text) => written.push(text));
  return written.join('');
}

async function nodeWithPod(t: TestContext, address: string) {
  const machine = newNode(t, address);
  await added(machine, 'a', '10.0.0.5', { configuration: configured });
  return machine;
}

/** The text without the number of changes, which is that of another test. */
const withoutCount = (text: string) => text.replace(/^\d+ things? changed\.\n$/m, '');

describe('the configuration of the commands for gateways', () => {
  const files: Readonly<Record<string, string>> = {
    [policy]: JSON.stringify({
      nodes: [{ address: podsNode }, { address: first }],
      exits: [{ name: 'shared', gateways: [first], addresses: ['192.0.2.50'] }],
    }),
  };
  const read = (path: string) => files[path];

  test('is that of the policy file, and the address of the node as it is told', () => {
    const told = commands.configurationIn({ policy, node: 'FD00:18:0::5' }, read);
    assert.deepEqual([told.exits[0]?.name, told.node], ['shared', 'fd00:18::5']);
    assert.equal(commands.configurationIn(options, read).node, undefined);
  });

  test('is not there without the file', () => {
    assert.throws(
      () => commands.configurationIn({ policy: '/other.json' }, read),
      isError('try-again', /\/other\.json does not exist/),
    );
  });

  test('is refused with the option when the node’s address is none', () => {
    assert.throws(
      () => commands.configurationIn({ policy, node: 'node-1' }, read),
      isError('invalid-argument', /^--node: .*"node-1"/),
    );
  });
});

describe('egress gateway', () => {
  test('says which exits it serves, and how many things changed', async (t) => {
    const machine = newNode(t, first);
    const text = await gateway(machine, configured, options);
    assert.equal(withoutCount(text), 'Exit "shared" is served here and leaves by eth1, with 192.0.2.50.\n');
    assert.match(text, /^\d{2,3} things changed\.$/m);
    assert.match(await gateway(machine, configured, options), /^0 things changed\.$/m);
  });

  test('says where the exits of its pods leave that it does not serve', async (t) => {
    const machine = await nodeWithPod(t, second);
    const text = await gateway(machine, configured, options);
    assert.equal(text, `Exit "shared" leaves from ${first}, with 192.0.2.50.\n0 things changed.\n`);
  });

  test('says that there is nothing as a standby without pods', async (t) => {
    const text = await gateway(newNode(t, second), configured, options);
    assert.equal(withoutCount(text), 'No exit is served or used on this node.\n');
  });

  test('says what it serves, and then fails with the reasons for what it cannot serve', async (t) => {
    const machine = newNode(t, first);
    const exits = ['eth1', 'eth98', 'eth99'].map((device, i) => ({
      ...{ name: device, id: 50 + i, gateways: [first], interface: device, addresses: [`192.0.2.${50 + i}`] },
    }));
    const written: string[] = [];
    await assert.rejects(
      commands.gateway(machine, gatewayConfiguration({ exits, policies: [] }), options, (text) => written.push(text)),
      isError('exit-interface', /^Exit "eth98" .*; Exit "eth99" /),
    );
    assert.match(written.join(''), /^Exit "eth1" is served here/);
  });

  test('--down stops to serve, and says what is left', async (t) => {
    const machine = newNode(t, first);
    await gateway(machine, configured, options);
    const text = await gateway(machine, configured, { ...options, down: true });
    assert.equal(withoutCount(text), 'No exit is served or used on this node.\n');
    assert.deepEqual(machine.host.kernel.contents(), []);
  });

  test('--dry-run prints the commands, and changes nothing', async (t) => {
    const machine = newNode(t, first);
    const before = stateOf(machine);
    const text = await gateway(machine, configured, { ...options, dryRun: true });
    assert.match(text, /^ip address add 192\.0\.2\.50\/32 dev eth1 scope global$/m);
    assert.deepEqual(stateOf(machine), before);
  });

  test('--down --dry-run prints what takes down, and changes nothing', async (t) => {
    const machine = newNode(t, first);
    await gateway(machine, configured, options);
    const before = stateOf(machine);
    const text = await gateway(machine, configured, { ...options, down: true, dryRun: true });
    assert.match(text, /^delete table inet cni-egress$/m);
    assert.doesNotMatch(text, /^ip link add/m);
    assert.deepEqual(stateOf(machine), before);
  });
});

describe('egress exit move', () => {
  test('says where the exit leaves now', async (t) => {
    const machine = await nodeWithPod(t, podsNode);
    assert.equal(
      await move(machine, configured, { exit: 'shared', to: second }, options),
      `Exit "shared" leaves from ${second}, with 192.0.2.50.\n1 thing changed.\n`,
    );
  });

  test('takes the address in any form', async (t) => {
    const exits = [
      { name: 'shared', gateways: ['fd00:18::6', 'fd00:18::7'], interface: 'eth1', addresses: ['192.0.2.50'] },
    ];
    const nodes = [{ address: 'fd00:18::5' }];
    const machine = newNode(t, 'fd00:18::5');
    await move(machine, gatewayConfiguration({ exits, nodes }), { exit: 'shared', to: 'FD00:18:0:0::7' }, options);
    assert.deepEqual(machine.store.loadMoves(), { shared: 'fd00:18::7' });
  });

  test('is refused with the option when the gateway is no address', async (t) => {
    const machine = newNode(t, podsNode);
    await assert.rejects(
      move(machine, configured, { exit: 'shared', to: 'gateway-2' }, options),
      isError('invalid-argument', /^--to: expected an IP address, got "gateway-2"/),
    );
  });

  test('--dry-run prints the commands, and changes nothing', async (t) => {
    const machine = await nodeWithPod(t, podsNode);
    const before = stateOf(machine);
    assert.equal(
      await move(machine, configured, { exit: 'shared', to: second }, { ...options, dryRun: true }),
      `ip route replace default via ${second} dev egress0 onlink table 500050 metric 1024\n`,
    );
    assert.deepEqual(stateOf(machine), before);
  });
});
