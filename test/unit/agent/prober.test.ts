import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Prober } from '../../../src/agent/prober.ts';
import type { Flow } from '../../../src/datapath/host.ts';
import { moveExit } from '../../../src/gateway/move.ts';
import type { ExitGateways } from '../../../src/store/record.ts';
import { added, type FakeMachine, gatewayConfiguration, newNode } from '../support/fake-machine.ts';

const [podsNode, first, second] = ['172.18.0.5', '172.18.0.6', '172.18.0.7'];
const configuration = gatewayConfiguration();
const { addresses } = configuration.exits[0] ?? { addresses: [] };
const [address] = addresses;

/** A prober on a node with a pod of the exit, whose clock the test turns. */
async function started(t: TestContext, { pods = true } = {}) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const machine = newNode(t, podsNode);
  if (pods) await added(machine, 'a', '10.0.0.5', { configuration });
  let time = 0;
  const [said, errors]: [ExitGateways[][], string[]] = [[], []];
  const prober = new Prober({
    dataDir: '',
    openMachine: async () => machine,
    log: machine.log,
    report: (error) => errors.push(String(error)),
    now: () => time,
    changed: (states) => said.push([...states]),
  });
  t.after(() => prober[Symbol.dispose]());
  await prober.follow(configuration);
  /** Lets so many milliseconds go by, five at a time, and what they begin end. */
  const pass = async (milliseconds: number) => {
    for (const end = time + milliseconds; time < end; ) {
      time += 5;
      t.mock.timers.tick(5);
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    }
  };
  return { machine, prober, pass, said, errors };
}

const established: Flow = {
  ...{
    family: 4,
    protocol: 6,
    source: '10.0.0.5',
    sourcePort: 40_000,
    destination: '203.0.113.9',
    destinationPort: 80,
  },
  ...{ replySource: '203.0.113.9', replySourcePort: 80, replyDestination: '10.0.0.5', replyDestinationPort: 40_000 },
  established: true,
};
const at = (gateway: string | undefined) => `${address} at ${gateway}`;
const asked = ({ host }: FakeMachine) => host.calls.flatMap((call) => (call.startsWith('ask ') ? [call.slice(4)] : []));
const wayOf = ({ host }: FakeMachine) =>
  host.kernel
    .contents()
    .flatMap((object) => (object.kind === 'route' && object.type === 'unicast' ? [object.via ?? 'on link'] : []));

describe('the prober', () => {
  test('asks the gateway in use about every tenth of a second, and says that it answers', async (t) => {
    const { machine, prober, pass, errors } = await started(t);
    machine.host.answeringGateways.add(at(first));
    await pass(1000);
    assert.deepEqual([...new Set(asked(machine))], [at(first)]);
    assert.ok(asked(machine).length >= 8 && asked(machine).length <= 12, `${asked(machine).length} questions`);
    assert.deepEqual(
      prober.states.map(({ exit, gateway, answers }) => [exit, gateway, answers]),
      [['shared', first, true]],
    );
    assert.deepEqual(errors, []);
  });

  test('leads the exit’s route to the gateway that has the address when the one in use is silent, and remembers it', async (t) => {
    const { machine, prober, pass, said, errors } = await started(t);
    machine.host.answeringGateways.add(at(first));
    await pass(500);
    assert.deepEqual(wayOf(machine), [first]);
    machine.host.answeringGateways.clear();
    machine.host.answeringGateways.add(at(second));
    await pass(600);
    assert.deepEqual(errors, []);
    assert.deepEqual(wayOf(machine), [second]);
    assert.deepEqual(machine.store.loadMoves(), { shared: second });
    const [state] = prober.states;
    assert.deepEqual([state?.gateway, state?.answers, state?.moved?.from], [second, true, first]);
    assert.deepEqual(said.at(-1), [state]);
    const before = asked(machine).length;
    await pass(300);
    assert.deepEqual([...new Set(asked(machine).slice(before))], [at(second)]);
  });

  // A look at the whole node took the time in which answers were waited for: 250 ms of a failover with one pod, more with many.
  test('tells nobody that a gateway is silent while another may be found at any moment', async (t) => {
    const { machine, pass, said } = await started(t);
    machine.host.answeringGateways.add(at(first));
    await pass(500);
    const before = said.length;
    machine.host.answeringGateways.clear();
    await pass(700);
    assert.equal(said.length, before);
    machine.host.answeringGateways.add(at(second));
    await pass(100);
    assert.deepEqual(
      said.slice(before).map(([state]) => [state?.gateway, state?.answers]),
      [[second, true]],
    );
  });

  test('leads the exit there though the disk is full, and says so', async (t) => {
    const { machine, pass, errors } = await started(t);
    machine.store.saveMoves = () => {
      throw new Error('ENOSPC');
    };
    machine.host.answeringGateways.add(at(second));
    await pass(600);
    assert.deepEqual([wayOf(machine), errors], [[second], ['Error: ENOSPC']]);
  });

  test('introduces connections again when a gateway that others led the exit to begins to answer, and only once', async (t) => {
    const { machine, prober, pass } = await started(t);
    machine.host.answeringGateways.add(at(first));
    await pass(300);
    assert.equal(machine.host.primed.length, 0);
    machine.host.flows.push(established);
    machine.host.answeringGateways.clear();
    await moveExit(machine, configuration, { exit: 'shared', to: second });
    await prober.follow(configuration);
    const before = machine.host.primed.length;
    await pass(200);
    assert.equal(machine.host.primed.length, before); // it does not serve yet: what it was told is lost
    machine.host.answeringGateways.add(at(second));
    await pass(300);
    assert.deepEqual(
      machine.host.primed.slice(before).map(({ flows, ends }) => [flows, ends !== undefined]),
      [[[established], true]],
    );
  });

  test('leaves all as it is while nobody answers, and says so once', async (t) => {
    const { machine, prober, pass, said } = await started(t);
    await pass(2000);
    assert.deepEqual(wayOf(machine), [first]);
    assert.deepEqual(
      prober.states.map(({ gateway, answers }) => [gateway, answers]),
      [[first, false]],
    );
    assert.deepEqual(
      said.map(([state]) => state?.answers),
      [true, false],
    );
  });

  test('looks for answers no more often than it asks when a gateway is silent for long, and follows one at once that answers', async (t) => {
    const { machine, pass } = await started(t);
    await pass(3000); // longer than it is decided whether another gateway takes over
    const before = { questions: asked(machine).length, looks: machine.host.looksForAnswers };
    await pass(2000);
    assert.equal(machine.host.looksForAnswers - before.looks, asked(machine).length - before.questions);
    assert.ok(asked(machine).length - before.questions <= 22);
    machine.host.answeringGateways.add(at(second));
    for (const now = asked(machine).length; asked(machine).length === now; ) await pass(5);
    assert.deepEqual(wayOf(machine), [second]); // within the five milliseconds of the question
  });

  test('asks nobody on a node whose pods use no gateway', async (t) => {
    const { machine, pass } = await started(t, { pods: false });
    await pass(500);
    assert.deepEqual(asked(machine), []);
  });

  test('asks nobody any more when it has ended', async (t) => {
    const { machine, prober, pass } = await started(t);
    await pass(200);
    prober[Symbol.dispose]();
    const before = asked(machine).length;
    await pass(500);
    assert.equal(asked(machine).length, before);
  });

  test('asks all gateways at once when one of them hints, and nobody for the hint of a stranger', async (t) => {
    const { machine, prober, pass } = await started(t);
    machine.host.answeringGateways.add(at(first));
    await pass(310);
    machine.host.hinted('02:e6:ac:12:00:09');
    const before = asked(machine).length;
    await pass(5);
    assert.equal(asked(machine).length, before);
    machine.host.answeringGateways.clear();
    machine.host.answeringGateways.add(at(second));
    machine.host.hinted('02:e6:ac:12:00:07');
    await pass(50);
    assert.deepEqual(asked(machine)[before], `${at(first)}, ${at(second)}`);
    assert.deepEqual(wayOf(machine), [second]);
    assert.equal(prober.states[0]?.answers, true);
  });

  test('is led by no answer that it did not ask for', async (t) => {
    const { machine, pass } = await started(t);
    machine.host.answeringGateways.add(at(first));
    machine.host.strayAnswers.push(Buffer.alloc(0), Buffer.alloc(12), Buffer.alloc(12, 0xff));
    await pass(500);
    assert.deepEqual(wayOf(machine), [first]);
  });
});
