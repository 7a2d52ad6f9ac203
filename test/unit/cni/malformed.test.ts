import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '../../../src/base/address.ts';
import { readAnnotations } from '../../../src/cni/annotations.ts';
import { readEnvironment } from '../../../src/cni/environment.ts';
import type { Reply } from '../../../src/cni/reply.ts';
import { rawMember } from '../../../src/cni/stdin.ts';
import { readChainEntry, readConfiguration } from '../../../src/config/read.ts';
import { decide } from '../../../src/policy/decision.ts';
import { consider } from '../../../src/policy/explain.ts';
import { programFor } from '../../../src/policy/program.ts';
import type { Packet } from '../../../src/policy/terms.ts';
import { wishesOf } from '../../../src/policy/wishes.ts';
import { Dice } from '../support/breaking.ts';
import { exitOf, portsOf, rangesOf, read, type Sample, type Written } from '../support/by-hand.ts';
import { addressOf } from '../support/by-hand-ranges.ts';
import { call, codeOf, given, newMachineInMemory, stateOfCalls } from '../support/calling.ts';
import type { FakeMachine } from '../support/fake-machine.ts';
import { type Input, kinds, malformedInputs, malformedLists, rightInput } from '../support/malformed.ts';

/** How many inputs of each sort; together with those of {@link verbCount} more than ten thousand. */
const addCount = 900 * kinds.length;
const verbCount = 600;
const seed = Number(process.env.EGRESS_SEED ?? Date.now() % 0x7fffffff);

/** Packets to the edges of what was written, inside and outside, and to where nothing was written of. */
function samplesFor(written: Written, dice: Dice): Sample[] {
  const edges = rangesOf(written).flatMap(({ first, last }) => [
    first,
    last,
    first - 1n,
    last + 1n,
    (first + last) / 2n,
  ]);
  const addresses = [
    ...Array.from({ length: 4 }, () => addressOf(edges.length > 0 ? dice.pick(edges) : 0n) ?? '8.8.8.8'),
    dice.pick(['8.8.8.8', '10.1.2.3', '203.0.113.9', '2001:db8:1::9', '2a00::1', '::ffff:10.0.0.1', '0.0.0.1', '::2']),
  ];
  const ports = portsOf(written).flatMap((text) => portSamples(text));
  const kinds = [
    {},
    { protocol: 'icmp' },
    { protocol: 'tcp', port: 443 },
    { protocol: 'udp', port: 5063 },
    ...ports,
  ] as const;
  return addresses.flatMap((text) => {
    const destination = parseAddress(text) ?? assert.fail(text);
    return [
      { destination },
      ...(ports.length > 0 ? [dice.pick(kinds), dice.pick(ports)] : [dice.pick(kinds)]).map((kind) => ({
        destination,
        ...kind,
      })),
    ];
  });
}

/** A port in a range, at its edges, and beside them. */
function portSamples(text: string): Omit<Sample, 'destination'>[] {
  const [protocol, range] = text.split(':') as ['tcp', string | undefined];
  if (range === undefined) return [{ protocol }];
  const [first = 0, last = first] = range.split('-').map(Number);
  return [first - 1, first, last, last + 1]
    .filter((port) => port >= 1 && port <= 65535)
    .map((port) => ({ protocol, port }));
}

/** Compares what was written with what was made of it, and with what explain says of it. */
function requireMeaning(machine: FakeMachine, input: Input, dice: Dice): void {
  const written = read(input);
  const entry = readChainEntry(JSON.parse(input.stdin));
  const configuration = readConfiguration(entry, () => input.policyFile);
  const annotations = readAnnotations(JSON.parse(input.stdin));
  const pod = { ...readEnvironment(input.variables).pod, ...(annotations && { annotations }) };
  const wishes = wishesOf(configuration, pod);
  const [record] = machine.store.list();
  const { matches, cluster: clusterCIDRs = [] } = record
    ? (machine.store.loadProgram(record.program) ?? assert.fail('the program is not kept'))
    : { matches: [] };
  const other = { namespace: dice.pick(['other', 'team-a', 'defend', '', 'x']), name: dice.pick(['web-0', 'db', '']) };
  for (const sample of samplesFor(written, dice)) {
    const packet: Packet = sample;
    const expected = exitOf(written, sample);
    const found = decide({ matches, subnets: record?.subnets ?? [] }, clusterCIDRs, packet);
    const what = JSON.stringify(sample);
    assert.equal(found.by === 'match' ? found.match.exit : 'node', expected, `the program takes ${what}`);
    if (found.by === 'cluster' || found.by === 'subnet') continue;
    const said = consider(configuration.policies, pod, wishes, packet).find(({ reason }) => reason === 'decides');
    if (record) assert.equal(said?.exit ?? 'node', expected, `explain says of ${what}`);
    const program = { matches: programFor(configuration.policies, other), subnets: record?.subnets ?? [] };
    const ofOther = decide(program, clusterCIDRs, packet);
    const plain = { ...written, named: [], wish: undefined };
    if (record)
      assert.equal(
        ofOther.by === 'match' ? ofOther.match.exit : 'node',
        exitOf(plain, sample, other),
        `another pod: ${what}`,
      );
  }
}

/** The stdout of a call that went well is the result that it got. */
function requirePassedOn({ stdout }: Reply, { stdin }: Input): void {
  assert.ok(stdout !== '' && stdin.includes(stdout), 'prevResult as it came');
  // As texts: what is nested too deeply cannot be compared in any other way.
  assert.equal(stdout, rawMember(stdin, 'prevResult'));
}

/** What happened how often. */
class Tally {
  readonly #counts = new Map<string, number>();

  count(...words: readonly string[]): void {
    const key = words.join(': ');
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  of(...words: readonly string[]): number {
    return this.#counts.get(words.join(': ')) ?? 0;
  }

  tell(t: TestContext): void {
    for (const [key, count] of [...this.#counts].sort()) t.diagnostic(`${key}: ${count}`);
  }
}

/** Runs a judgement on each input. Of those that fail it tells some, with what was given. */
async function forEachInput(
  machine: FakeMachine,
  inputs: Iterable<Input>,
  judge: (input: Input) => Promise<void>,
): Promise<void> {
  const failures: string[] = [];
  for (const input of inputs) {
    try {
      await judge(input);
    } catch (error) {
      failures.push(`${(error as Error).message.slice(0, 1000)}\n${JSON.stringify(input).slice(0, 3000)}`);
      await call(machine, rightInput(), 'DEL');
    }
    if (failures.length > 4) break;
  }
  assert.equal(failures.length, 0, `EGRESS_SEED=${seed}\n${failures.join('\n\n')}`);
}

const dice = (): Dice => {
  const [stream] = fc.sample(fc.infiniteStream(fc.nat(), { noHistory: true }), { seed, numRuns: 1 });
  return new Dice(stream ?? assert.fail('there is no stream'));
};

describe('malformed inputs', () => {
  test(`of ${addCount} each is accepted as it was written or refused with one error, and nothing is left`, async (t) => {
    t.diagnostic(`EGRESS_SEED=${seed} repeats this run`);
    const [machine, tally, choices] = [newMachineInMemory(t), new Tally(), dice()];
    const before = stateOfCalls(machine);
    await forEachInput(machine, malformedInputs(seed, addCount), async (input) => {
      const reply = await call(machine, input);
      const command = input.variables.CNI_COMMAND ?? '';
      if (reply.exitCode !== 0) {
        tally.count(input.kind, codeOf(reply, given(input)));
        tally.count(input.kind, 'refused');
      } else if (command === 'ADD') {
        assert.ok(!input.hopeless, 'a key that is there twice was accepted');
        requirePassedOn(reply, input);
        // By what was kept of the policy file.
        if (input.kind === 'policy file') assert.deepEqual(await call(machine, input), reply);
        requireMeaning(machine, input, choices);
        const isSteered = machine.store.list().length > 0;
        if (isSteered) assert.deepEqual(await call(machine, input, 'DEL'), { stdout: '', exitCode: 0 });
        tally.count(input.kind, 'accepted', isSteered ? 'with a program' : 'left alone');
        tally.count(input.kind, 'accepted');
      }
      assert.equal(stateOfCalls(machine), before, 'something is left');
    });
    tally.tell(t);
    for (const kind of kinds)
      assert.ok(
        tally.of(kind, 'accepted') > 20 && tally.of(kind, kind === 'CNI_ARGS' ? 'annotation-refused' : 'refused') > 20,
        kind,
      );
  });

  for (const command of ['CHECK', 'DEL', 'GC', 'ADD'] as const) {
    const what = command === 'ADD' ? 'a repeated ADD' : command;
    test(`of ${verbCount} for ${what} none takes from a pod what it does not name`, async (t) => {
      const [machine, tally] = [newMachineInMemory(t), new Tally()];
      const right = rightInput();
      const start = async () => assert.equal((await call(machine, right)).exitCode, 0);
      await start();
      const before = stateOfCalls(machine);
      const inputs = command === 'GC' ? malformedLists(seed, verbCount) : malformedInputs(seed + 1, verbCount);
      await forEachInput(machine, inputs, async (input) => {
        if (input.kind === 'environment' && input.variables.CNI_COMMAND !== 'ADD') return;
        const reply = await call(machine, input, command);
        const outcome = reply.exitCode === 0 ? 'accepted' : codeOf(reply, given(input));
        tally.count(command, outcome);
        const mayChange = outcome === 'accepted' && command !== 'CHECK' && (command !== 'GC' || isNoneValid(input));
        if (!mayChange) return assert.equal(stateOfCalls(machine), before, 'something has changed');
        if (command !== 'ADD') assert.equal(reply.stdout, '');
        await call(machine, right, 'DEL');
        await call(machine, input, 'DEL');
        assert.deepEqual(machine.store.list(), []);
        await start();
        assert.equal(stateOfCalls(machine), before);
      });
      tally.tell(t);
    });
  }
});

/** Whether a list of GC was written that does not hold the one pod. No list at all says nothing. */
function isNoneValid({ stdin }: Input): boolean {
  const document = JSON.parse(stdin);
  const list = document['cni.dev/valid-attachments'];
  if (list === undefined || document.name !== 'pods') return false;
  for (const each of list ?? []) assert.deepEqual([typeof each.containerID, typeof each.ifname], ['string', 'string']);
  return !list?.some((each: Record<string, unknown>) => each.containerID === '5f1c' && each.ifname === 'eth0');
}
