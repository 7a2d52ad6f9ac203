import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { parse } from 'yaml';
import { defaults } from '../../../src/config/defaults.ts';

const text = readFileSync(new URL('../../../conf/egress-agent.service', import.meta.url), 'utf8');

/** All values of a key, in their order. */
const valuesOf = (key: string): readonly string[] =>
  [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);

const analyze = 'systemd-analyze';
const isMissing = spawnSync(analyze, ['--version']).error !== undefined;
/** It comes with systemd, which need not run. */
const skip = isMissing && process.env.CI !== 'true' ? `not run: there is no ${analyze}` : false;

/** What systemd-analyze says of the service, with a program that is there. */
function analyzed(t: TestContext, unit: string, ...args: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'egress-service-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'egress-agent.service');
  writeFileSync(path, unit.replace('/opt/cni/bin/egress', process.execPath));
  const { status, stdout, stderr } = spawnSync(analyze, [...args, path], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

describe('egress-agent.service', () => {
  test('is valid: systemd knows each of its keys and values', { skip }, (t) => {
    assert.deepEqual(analyzed(t, text, 'verify'), { status: 0, stdout: '', stderr: '' });
  });

  for (const [right, wrong] of [
    ['RestrictRealtime=yes', 'RestrictRealTime=yes'],
    ['AF_PACKET', 'AF_PACKETS'],
    ['@system-service', '@systemservice'],
  ] as const) {
    test(`would not be valid with ${wrong}`, { skip }, (t) => {
      const { stderr } = analyzed(t, text.replace(right, wrong), 'verify');
      assert.match(stderr, /egress-agent\.service:\d+: /);
    });
  }

  test('is exposed no more than it has to be, as systemd judges it', { skip }, (t) => {
    // In tenths: 2.7 when this was written, of which most is for the host's network. A line less is seen here.
    const { status, stdout, stderr } = analyzed(t, text, 'security', '--offline=true', '--threshold=28');
    assert.equal(status, 0, `${stdout}${stderr}`);
  });

  test('has the rights of the container that the DaemonSet runs', () => {
    const manifest = readFileSync(new URL('../../../install/kustomize/daemon-set.yaml', import.meta.url), 'utf8');
    const { containers } = parse(manifest).spec.template.spec;
    const { add } = containers.find(({ name }: { name: string }) => name === 'agent').securityContext.capabilities;
    assert.deepEqual(valuesOf('CapabilityBoundingSet'), [add.map((name: string) => `CAP_${name}`).join(' ')]);
    assert.deepEqual(valuesOf('NoNewPrivileges'), ['yes']);
  });

  test('may write to the data folder and to parameters of the network, and nowhere else', () => {
    assert.deepEqual(valuesOf('ProtectSystem'), ['strict']);
    assert.deepEqual(
      valuesOf('StateDirectory').map((folder) => `/var/lib/${folder}`),
      [defaults.dataDir],
    );
    assert.deepEqual(valuesOf('ReadWritePaths'), ['/proc/sys/net']);
  });

  test('does not forbid what the binary cannot do without', () => {
    assert.deepEqual(valuesOf('MemoryDenyWriteExecute'), []);
    assert.match(text, /^# MemoryDenyWriteExecute: .*V8/m);
    assert.deepEqual(valuesOf('SystemCallFilter'), ['@system-service bpf']);
  });
});
