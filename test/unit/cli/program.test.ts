import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { CommanderError } from 'commander';
import { EgressError } from '../../../src/base/errors.ts';
import { commandLine } from '../../../src/cli/program.ts';
import { added, type FakeMachine, newMachine, stateOf } from '../support/fake-machine.ts';

/** How a command ended, and what it did. */
interface Outcome {
  readonly stdout: string;
  readonly exitCode: number;
  readonly dataDirs: readonly string[];
  readonly error: unknown;
}

/** Runs a command line on a machine; without one nothing may be opened. */
async function run(words: readonly string[], machine?: FakeMachine): Promise<Outcome> {
  const [written, dataDirs] = [[] as string[], [] as string[]];
  let exitCode = 0;
  const program = commandLine({
    version: '1.2.3',
    write: (text) => written.push(text),
    setExitCode: (code) => {
      exitCode = code;
    },
    colors: false,
    openMachine: async ({ dataDir }) => {
      dataDirs.push(dataDir);
      assert.ok(machine, 'nothing was expected to be opened');
      return machine;
    },
  });
  // Quiet: what commander says of a wrong call goes to stderr by default.
  for (const command of [program, ...program.commands]) command.configureOutput({ writeErr: () => {} });
  const error = await program.parseAsync([...words], { from: 'user' }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { stdout: written.join(''), exitCode, dataDirs, error };
}

const codeOf = ({ error }: Outcome) => (error instanceof CommanderError ? error.code : error);

describe('--help', () => {
  /** What each command takes, and nothing is left out. */
  const options: Readonly<Record<string, readonly string[]>> = {
    status: ['--data-dir <dir>', '--json'],
    check: ['--data-dir <dir>', '--json'],
    gc: ['--data-dir <dir>', '--json', '--dry-run'],
    version: ['--json'],
  };

  test('lists every command', async () => {
    const outcome = await run(['--help']);
    assert.equal(codeOf(outcome), 'commander.helpDisplayed');
    const listed = [...outcome.stdout.matchAll(/^ {2}(\w+) /gm)].map((match) => match[1]);
    assert.deepEqual(listed.sort(), Object.keys(options).sort());
  });

  for (const [command, expected] of Object.entries(options)) {
    test(`of ${command} says what it does, and lists its options with what they are for`, async () => {
      const { stdout } = await run([command, '--help']);
      assert.match(stdout, new RegExp(`^Usage: egress ${command} \\[options\\]\n\n\\w`));
      const listed = [...stdout.matchAll(/^ {2}(-.*?) {2,}\w/gm)].map((match) => match[1]);
      assert.deepEqual(listed.sort(), [...expected, '-h, --help'].sort());
    });
  }
});

describe('a wrong call', () => {
  /** Words → what commander calls the mistake. */
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['commander.unknownCommand', ['stauts']],
    ['commander.unknownOption', ['status', '--jsno']],
    ['commander.unknownOption', ['--version']],
    ['commander.optionMissingArgument', ['status', '--data-dir']],
    ['commander.excessArguments', ['gc', 'pods']],
  ];
  for (const [code, words] of rows) {
    test(`like "egress ${words.join(' ')}" is refused and does nothing`, async () => {
      const outcome = await run(words);
      assert.equal(codeOf(outcome), code);
      assert.deepEqual([outcome.stdout, outcome.dataDirs], ['', []]);
    });
  }
});

/** A machine with a pod, whose interface is gone or not. */
async function machineWithPod(t: TestContext, options: { readonly isDead: boolean }): Promise<FakeMachine> {
  const machine = newMachine(t);
  await added(machine, 'a', '10.0.0.5');
  if (options.isDead) machine.host.links.delete('veth1');
  const none = { packets: 0n, bytes: 0n };
  machine.host.counters = { steered: new Map(), left: new Map(), pods: new Map(), dropped: none, guarded: none };
  return machine;
}

describe('egress', () => {
  test('status prints tables, or JSON', async (t) => {
    const machine = await machineWithPod(t, { isDead: false });
    assert.match((await run(['status'], machine)).stdout, /^EXIT .*\npartners /);
    const { exits } = JSON.parse((await run(['status', '--json'], machine)).stdout) as { exits: { name: string }[] };
    assert.deepEqual(
      exits.map(({ name }) => name),
      ['partners'],
    );
  });

  test('check ends with 0 when all is well and with 1 when not, also with JSON', async (t) => {
    const machine = await machineWithPod(t, { isDead: false });
    const codes = async () => [
      (await run(['check'], machine)).exitCode,
      (await run(['check', '--json'], machine)).exitCode,
    ];
    assert.deepEqual(await codes(), [0, 0]);
    machine.host.kernel.deleteTables();
    assert.deepEqual(await codes(), [1, 1]);
    assert.match((await run(['check'], machine)).stdout, /^default\/pod-a: table inet cni-egress is missing$/m);
  });

  test('gc takes down what belongs to pods whose interface is gone', async (t) => {
    const machine = await machineWithPod(t, { isDead: true });
    assert.equal((await run(['gc'], machine)).stdout, 'pods/a/eth0 taken down\n');
    assert.deepEqual([stateOf(machine).kernel, stateOf(machine).store], [{}, {}]);
    assert.equal((await run(['gc'], machine)).stdout, '');
  });

  test('gc leaves living pods alone', async (t) => {
    const machine = await machineWithPod(t, { isDead: false });
    const before = stateOf(machine);
    assert.deepEqual(JSON.parse((await run(['gc', '--json'], machine)).stdout), { attachments: [], commands: '' });
    assert.deepEqual(stateOf(machine), before);
  });

  test('gc --dry-run prints the commands that it stands for, and changes nothing', async (t) => {
    const machine = await machineWithPod(t, { isDead: true });
    const before = stateOf(machine);
    assert.equal(
      (await run(['gc', '--dry-run'], machine)).stdout,
      `nft -f - <<'EOT'
delete table inet cni-egress
delete table netdev cni-egress
EOT
ip rule del priority 700 not fwmark 0x100000/0x100000 goto 702
ip rule del priority 701 fwmark 0x100007/0x103fff lookup 500007
ip rule del priority 702 nop
ip route del default via 192.168.0.1 dev eth1 table 500007 metric 1024
ip route del unreachable default table 500007 metric 4294967295
sysctl -w net/ipv4/conf/eth1/rp_filter=1
pods/a/eth0 would be taken down
`,
    );
    assert.deepEqual(stateOf(machine), before);
  });

  test('version says which versions it speaks, and whether the kernel answers', async (t) => {
    const machine = newMachine(t);
    const text = 'egress 1.2.3\nCNI specification 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\nnetlink';
    assert.equal((await run(['version'], machine)).stdout, `${text} does not answer\n`);
    machine.host.links.set('lo', { index: 1, name: 'lo', up: true });
    assert.equal((await run(['version'], machine)).stdout, `${text} works\n`);
    assert.deepEqual(JSON.parse((await run(['version', '--json'], machine)).stdout), {
      version: '1.2.3',
      cniVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
      netlink: true,
    });
  });

  test('opens the state where it is told to, or where the plugin keeps it', async (t) => {
    const machine = newMachine(t);
    for (const command of ['status', 'check', 'gc']) {
      assert.deepEqual((await run([command, '--data-dir', '/state'], machine)).dataDirs, ['/state']);
      assert.deepEqual((await run([command], machine)).dataDirs, ['/var/lib/cni/egress']);
    }
  });

  test('passes on what went wrong', async (t) => {
    const machine = newMachine(t);
    const error = new EgressError('unavailable', 'no nf_tables');
    machine.host.hasTable = async () => {
      throw error;
    };
    assert.equal((await run(['status'], machine)).error, error);
  });
});
