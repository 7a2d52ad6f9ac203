import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { statusSchema } from '../../src/report/status-schema.ts';
import { Cluster, internet } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Outcome } from '../support/run.ts';
import { egressBinary, program, tool } from '../support/tools.ts';
import { world } from '../support/world.ts';
import { type Schema, schemaProblems } from '../unit/conf/json-schema.ts';

const schema: Schema = JSON.parse(readFileSync(new URL('../../conf/status.schema.json', import.meta.url), 'utf8'));

/** What the published schema has against what is printed. */
async function problemsOf(node: LabNode): Promise<readonly string[]> {
  const status: unknown = JSON.parse((await node.egress('status', '--json')).stdout);
  statusSchema.parse(status);
  return schemaProblems(status, schema);
}

/** A command on a terminal of so many columns, of which Ctrl-C is typed after the text was there so often. */
const onTerminal = (
  node: LabNode,
  columns: number,
  words: readonly string[],
  [text, count]: readonly [string, number] = ['', 0],
): Promise<Outcome> =>
  node.machine.run([
    ...[tool('python3'), program('terminal.py'), String(columns), '12', text, String(count)],
    ...[egressBinary, ...words],
  ]);

const [enter, leave] = ['\x1b[?1049h\x1b[?25l', '\x1b[?25h\x1b[?1049l'];

describe('egress status', { ...labTest, concurrency: 2 }, () => {
  test('prints JSON that keeps to the published schema: with pods, on gateways, after a flush, and with nothing set up', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    const worker = cluster.workers[0] ?? assert.fail();
    assert.deepEqual(await problemsOf(worker), []);
    await cluster.up();
    const pod = await worker.started();
    await pod.askEach('udp');
    for (const node of cluster.all) assert.deepEqual(await problemsOf(node), []);
    await nft(worker, 'flush ruleset');
    assert.deepEqual(await problemsOf(worker), []);
    assert.notDeepEqual(schemaProblems({ node: 'n', exits: [], pods: [{}] }, schema), []);
  });

  test('counts rates since somebody looked, fits the terminal, and is whole without colours in a pipe', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started('default');
    const first = await node.egress('status');
    assert.doesNotMatch(first.stdout, /PACKETS\/S/);
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    const { rateSeconds, exits } = JSON.parse((await node.egress('status', '--json')).stdout);
    const packets = rateSeconds * exits[0].rate.packets;
    assert.ok(rateSeconds > 0 && packets > 1 && packets < 4, `${packets} packets, of which 2 were sent`);

    const piped = (await node.egress('status')).stdout;
    assert.ok(!piped.includes('\x1b'), piped);
    assert.match(piped, /192\.168\.0\.245, fd00:168::245 .* works /);
    const shown = await onTerminal(node, 80, ['status']);
    assert.ok(
      shown.stdout.startsWith('\x1b[1mEXIT\x1b[22m ') && shown.stdout.includes(' \x1b[32mworks\x1b[39m '),
      shown.stdout,
    );
    assert.match(shown.stdout, / 192\.168\.0\.245 \+1 /);
    const lines = stripVTControlCharacters(shown.stdout).split('\r\n');
    assert.deepEqual(
      lines.filter((line) => line.length > 80),
      [],
    );
    assert.match(shown.stdout, /Not shown in 80 columns: ID/);
  });

  test('says of an exit that this node cannot use why not, and check says it in one line for all pods', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    for (let i = 0; i < 4; i++) await node.started();
    await node.machine.ip(`address del ${world.exitAddress[0]}/32 dev eth1`);
    const lost = `${world.exitAddress[0]} is not an address of this node`;
    const { stdout } = await node.egress('status');
    assert.match(stdout, / FAILS /);
    assert.ok(stdout.includes(`Exit "partners" cannot be used here: ${lost}.\n`), stdout);
    const checked = (await node.egress('check')).stdout.trimEnd().split('\n');
    assert.equal(checked.length, 2, checked.join('\n'));
    assert.ok(checked[0]?.includes(` and 3 more: exit "partners" drops what is to leave with`), checked[0]);

    await nft(node, 'flush ruleset');
    const flushed = (await node.egress('check')).stdout.trimEnd().split('\n');
    assert.equal(flushed.length, 3, flushed.join('\n'));
    assert.match(flushed[0] ?? '', / and 3 more: table inet cni-egress is missing, and \d+ other objects of egress: /);
    const { attachments } = JSON.parse((await node.egress('check', '--json')).stdout);
    for (const { problems } of attachments) assert.ok(problems.length > 50, 'JSON has them all');
  });

  test('watches until Ctrl-C, and leaves the terminal as it was', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    const { code, stdout, stderr } = await onTerminal(node, 100, ['status', '--watch', '0.2'], ['egress status,', 3]);
    assert.deepEqual([code, stderr], [0, 'as before\n']);
    assert.ok(stdout.startsWith(enter) && stdout.endsWith(leave), JSON.stringify(stdout));
    assert.match(stdout, /PACKETS\/S/);
    const frames = stdout.split('\x1b[H').slice(1);
    assert.ok(frames.length >= 3, `${frames.length} pages`);
    for (const frame of frames) assert.ok(frame.split('\r\n').length <= 12, frame);
  });

  test('watches into a pipe, one look after the other, and forgets what it saw with the last pod', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const daemon = await node.machine.start([egressBinary, 'status', '--watch', '0.2'], 'PACKETS/S');
    await daemon.stop('SIGINT');
    assert.match(daemon.lines[0] ?? '', /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/);
    assert.ok(!daemon.lines.join('\n').includes('\x1b'));
    const json = await node.machine.start([egressBinary, 'status', '--watch', '0.2', '--json'], 'rateSeconds');
    await json.stop('SIGTERM');
    for (const line of json.lines) assert.deepEqual(schemaProblems(JSON.parse(line), schema), []);
    assert.ok((await node.records()).includes('counted.json'));
    await node.end(pod);
    assert.deepEqual(await node.records(), ['lock']);
    await node.egress('status');
    assert.deepEqual(await node.records(), ['lock']);
  });
});

describe('egress map', labTest, () => {
  test('draws the cluster from the policy file and what each node printed, and a node by itself', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    const worker = cluster.workers[0] ?? assert.fail();
    const pod = await worker.started();
    await pod.askEach('udp');
    const own = await worker.egress('map');
    assert.match(
      own.stdout,
      new RegExp(`^flowchart LR\\n[^]*<b>default</b><br/>${pod.name}  10\\.[^]*<b>internet</b>`),
    );
    const files: string[] = [];
    for (const [i, node] of cluster.all.entries()) {
      const file = join(lab.folder, `status-n${i}.json`);
      await writeFile(file, (await node.egress('status', '--json')).stdout);
      files.push(file);
    }
    const picture = join(lab.folder, 'map.svg');
    const draw = () => worker.egress('map', '--policy', '/etc/cni/egress/policy.json', '--output', picture, ...files);
    assert.deepEqual(await draw(), { code: 0, stdout: '', stderr: '' });
    const svg = await readFile(picture, 'utf8');
    for (const text of ['>Egress of n0, n1', `>${pod.name}  `, '>n0 (172.18.0.', `>${internet.addresses[0]}<`])
      assert.ok(svg.includes(text), text);
    const again = await draw();
    assert.equal(again.code, 2);
    assert.match(again.stderr, /--output: expected the name of a new file/);
  });
});
