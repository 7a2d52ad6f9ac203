import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { adopt } from '../../../src/cli/adopt.ts';
import type { CliSurroundings } from '../../../src/cli/command.ts';
import { newMachine } from '../support/fake-machine.ts';
import { quietWork } from '../support/quiet-work.ts';

const exit = { name: 'partners', interface: 'eth1', addresses: ['192.168.0.245'] };
const egress = { type: 'egress', exits: [exit], policies: [{ name: 'all', namespaces: ['*'], exit: 'partners' }] };

/** What a dry run prints on a node with one pod on the network `pods`, and with these network configurations. */
async function printed(t: TestContext, files: Readonly<Record<string, readonly unknown[]>>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'egress-adopt-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [confDir, resultsDir] = [join(folder, 'net.d'), join(folder, 'results')];
  for (const each of [confDir, resultsDir]) mkdirSync(each);
  for (const [name, plugins] of Object.entries(files)) {
    writeFileSync(join(confDir, name), JSON.stringify({ cniVersion: '1.1.0', name: 'pods', plugins }));
  }
  const cached = {
    ...{ kind: 'cniCacheV1', containerId: 'a1b2c3d4', ifName: 'eth0', networkName: 'pods' },
    cniArgs: [
      ['K8S_POD_NAMESPACE', 'default'],
      ['K8S_POD_NAME', 'web'],
    ],
    result: { interfaces: [{ name: 'veth1' }], ips: [{ address: '10.0.0.5/24' }] },
  };
  writeFileSync(join(resultsDir, 'pods-a1b2c3d4-eth0'), JSON.stringify(cached));
  const texts: string[] = [];
  const surroundings = {
    write: (text: string) => texts.push(text),
    openWork: () => quietWork,
    setExitCode: () => assert.fail('a pod could not have its own'),
    openMachine: async () => newMachine(t),
    readFile: (path: string) => (path.startsWith(folder) ? readFileSync(path, 'utf8') : undefined),
  } satisfies Partial<Record<keyof CliSurroundings, unknown>>;
  await adopt({ confDir, resultsDir, dryRun: true }, surroundings as unknown as CliSurroundings);
  return texts.join('');
}

const adopted = 'default/web would have partners now\n0 running pods have no policy.\n';
const alone = '0 running pods have no policy.\n';

describe('pods are adopted', () => {
  test('whatever else is in the list of plugins', async (t) => {
    assert.equal(await printed(t, { '10-pods.conflist': [null, { type: 'bridge' }, egress] }), adopted);
  });

  test('by the first file of their network, as the runtime goes by it', async (t) => {
    assert.equal(await printed(t, { '10-pods.conflist': [egress], '20-pods.conflist': [{ type: 'bridge' }] }), adopted);
    assert.equal(await printed(t, { '10-pods.conflist': [{ type: 'bridge' }], '20-pods.conflist': [egress] }), alone);
  });

  test('not while egress leaves, when ADD would pass them through', async (t) => {
    assert.equal(await printed(t, { '10-pods.conflist': [{ ...egress, draining: true }] }), alone);
  });
});
