import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { CommanderError } from 'commander';
import { EgressError } from '../../../src/base/errors.ts';
import { commandLine, withVersion } from '../../../src/cli/program.ts';
import { added, type FakeMachine, held, newMachine, newNode, noCounters, stateOf } from '../support/fake-machine.ts';
import { quietWork } from '../support/quiet-work.ts';

/** How a command ended, and what it did. */
interface Outcome {
  readonly stdout: string;
  readonly exitCode: number;
  readonly dataDirs: readonly string[];
  readonly error: unknown;
}

/** Runs a command line on a machine; without one nothing may be opened. */
async function run(
  words: readonly string[],
  machine?: FakeMachine,
  files: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const [written, dataDirs] = [[] as string[], [] as string[]];
  let exitCode = 0;
  const program = commandLine({
    version: '1.2.3',
    write: (text) => written.push(text),
    remark: () => assert.fail('no command was expected to remark on anything'),
    setExitCode: (code) => {
      exitCode = code;
    },
    colors: false,
    openWork: () => quietWork,
    worked: () => 0,
    hostName: 'node-1',
    sinceBoot: () => ({ boot: 'b', uptime: 0 }),
    openMachine: async ({ dataDir }) => {
      dataDirs.push(dataDir);
      assert.ok(machine, 'nothing was expected to be opened');
      return machine;
    },
    findMissingRights: () => [],
    isClaimed: () => false,
    askLabels: () => assert.fail('no agent is asked'),
    openExamination: () => assert.fail('no command was expected to examine the host'),
    openService: () => assert.fail('no command was expected to go on'),
    get hostTools(): never {
      return assert.fail('no command was expected to install anything');
    },
    readFile: (path) => files[path],
  });
  // Quiet: what commander says of a wrong call goes to stderr by default.
  for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
    command.configureOutput({ writeErr: () => {} });
  }
  const error = await program.parseAsync([...withVersion(words)], { from: 'user' }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { stdout: written.join(''), exitCode, dataDirs, error };
}

const codeOf = ({ error }: Outcome) => (error instanceof CommanderError ? error.code : error);

describe('--help', () => {
  const onGateway = ['--policy <file>', '--node <address>', '--data-dir <dir>', '--dry-run'];
  const places = [
    ...['--host-root <dir>', '--host-files <dir>', '--bin-dir <dir>', '--conf-dir <dir>'],
    ...['--policy-file <file>', '--data-dir <dir>'],
  ];
  /** What each command takes, and nothing is left out. */
  const options: Readonly<Record<string, readonly string[]>> = {
    status: ['--data-dir <dir>', '--json', '--conf-dir <dir>', '--watch [seconds]'],
    map: ['--data-dir <dir>', '--conf-dir <dir>', '--policy <file>', '--svg', '--output <file>'],
    check: ['--data-dir <dir>', '--json', '--conf-dir <dir>'],
    doctor: ['--data-dir <dir>', '--json', '--conf-dir <dir>', '--bin-dir <dir>', '--bundle <file>'],
    gc: ['--data-dir <dir>', '--json', '--dry-run'],
    repair: ['--data-dir <dir>', '--json', '--dry-run'],
    agent: [
      '--conf-dir <dir>',
      '--data-dir <dir>',
      '--dry-run',
      '--kubeconfig <file>',
      '--node <address>',
      '--node-name <name>',
      '--once',
      '--metrics <address:port>',
      '--metrics-pods <number>',
      '--policy <file>',
      '--results-dir <dir>',
    ],
    gateway: [...onGateway, '--down', '--drain', '--undrain', '--watch'],
    'exit move': [...onGateway, '--to <address>'],
    validate: ['--print', '--json'],
    explain: ['--data-dir <dir>', '--json', '--policy <file>'],
    trace: ['--data-dir <dir>', '--json', '--policy <file>', '--seconds <number>', '--packets <number>'],
    adopt: ['--conf-dir <dir>', '--results-dir <dir>', '--outdated', '--dry-run', '--json'],
    who: ['--data-dir <dir>', '--json', '--policy <file>'],
    import: [
      ...['--gateway <address>', '--node <address>', '--address <address>', '--interface <name>'],
      ...['--next-hop <address>', '--cluster-cidr <range>'],
    ],
    install: [
      ...[...places, '--conf-name <name>', '--binary <file>', '--policy-source <path>', '--log-file <file>'],
      ...['--log-level <level>', '--node <address>', '--ready-file <file>', '--watch'],
    ],
    uninstall: [...places, '--conf-name <name>', '--drain', '--binary', '--stay', '--ready-file <file>'],
    ready: ['--ready-file <file>', '--wait <seconds>'],
    completion: [],
    man: [],
    help: ['--list', '--json'],
    version: ['--json'],
  };

  test('lists every command', async () => {
    const outcome = await run(['--help']);
    assert.equal(codeOf(outcome), 'commander.helpDisplayed');
    const listed = [...outcome.stdout.matchAll(/^ {2}(\w+) /gm)].map((match) => match[1]);
    assert.deepEqual(
      listed.sort(),
      Object.keys(options)
        .map((command) => command.split(' ')[0])
        .sort(),
    );
  });

  for (const [command, expected] of Object.entries(options)) {
    test(`of ${command} says what it does, and lists its options with what they are for`, async () => {
      const { stdout } = await run([...command.split(' '), '--help']);
      assert.match(stdout, new RegExp(`^Usage: egress ${command} \\[options\\]( [<[][\\w.:]+[>\\]])*\n\n\\w`));
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
    ['commander.unknownOption', ['--verson']],
    ['commander.optionMissingArgument', ['status', '--data-dir']],
    ['commander.excessArguments', ['gc', 'pods']],
    ['commander.unknownCommand', ['exit', 'mvoe']],
    ['commander.missingArgument', ['exit', 'move', '--to', '172.18.0.7']],
    ['commander.missingMandatoryOptionValue', ['exit', 'move', 'shared']],
    ['commander.conflictingOption', ['gateway', '--watch', '--down']],
    ['commander.conflictingOption', ['gateway', '--watch', '--dry-run']],
    ['commander.missingArgument', ['validate']],
    ['commander.missingArgument', ['explain', 'default/web']],
    ['commander.invalidArgument', ['explain', 'default/web', '203.0.113.0/24']],
    ['commander.missingArgument', ['import', '--gateway', '172.18.0.3']],
    ['commander.conflictingOption', ['validate', 'p.json', '--print', '--json']],
  ];
  for (const [option, value] of [
    ['--metrics', '127.0.0.1'],
    ['--metrics', '::1:14597'],
    ['--metrics-pods', '-1'],
    ['--metrics-pods', 'all'],
  ] as const) {
    test(`like "egress agent ${option} ${value}" is refused and does nothing`, async () => {
      const { error, dataDirs } = await run(['agent', option, value]);
      assert.ok(error instanceof EgressError);
      assert.deepEqual([error.code, dataDirs], ['invalid-argument', []]);
      assert.match(error.message, new RegExp(`^${option}: expected .*, got "${value}"$`));
    });
  }

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
  machine.host.counters = noCounters;
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
    assert.match(
      (await run(['check'], machine)).stdout,
      /^default\/pod-a: table inet cni-egress is missing, and \d+ other objects of egress: .*"egress repair"/m,
    );
  });

  test('explain tells what becomes of each packet, also with JSON', async (t) => {
    const machine = await machineWithPod(t, { isDead: false });
    const words = ['explain', 'default/pod-a', '203.0.113.9:25', 'icmp/192.0.2.1'];
    const { stdout, exitCode } = await run(words, machine);
    assert.match(
      stdout,
      /^default\/pod-a 10.0.0.5 → tcp 203.0.113.9:25 .*\n\ndefault\/pod-a 10.0.0.5 → icmp 192.0.2.1 /s,
    );
    assert.equal(exitCode, 0);
    const json = JSON.parse((await run([...words, '--json'], machine)).stdout) as { packet: unknown }[];
    assert.deepEqual(
      json.map(({ packet }) => packet),
      [
        { destination: '203.0.113.9', protocol: 'tcp', port: 25 },
        { destination: '192.0.2.1', protocol: 'icmp' },
      ],
    );
    const missing = await run([...words, '--policy', '/p'], machine);
    assert.ok(missing.error instanceof EgressError && missing.error.code === 'try-again', String(missing.error));
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
      `sysctl -w net/ipv4/conf/eth1/rp_filter=1
nft -f - <<'EOT'
delete table inet cni-egress
delete table netdev cni-egress
EOT
ip rule del priority 700 not fwmark 0x40000000/0x40000000 goto 702
ip rule del priority 701 fwmark 0x40000007/0x40003fff lookup 500007
ip rule del priority 701 fwmark 0x40003fff/0x40003fff lookup 516383
ip rule del priority 701 fwmark 0x40000000/0x40003fff lookup 516383
ip rule del priority 702 nop
ip route del default via 192.168.0.1 dev eth1 table 500007 metric 1024
ip route del unreachable default table 500007 metric 4294967295
ip route del throw 169.254.0.0/16 table 516383 metric 1024
ip route del unreachable default table 516383 metric 4294967295
pods/a/eth0 would be taken down
`,
    );
    assert.deepEqual(stateOf(machine), before);
  });

  const policyFile = JSON.stringify({
    nodes: [{ address: '172.18.0.5' }, { address: '172.18.0.6' }],
    exits: [
      {
        ...{ name: 'shared', id: 50, gateways: ['172.18.0.6', '172.18.0.7'] },
        ...{ interface: 'eth1', addresses: ['192.0.2.50'] },
      },
    ],
  });

  test('gateway serves what the policy file says, --down takes it down', async (t) => {
    const machine = newNode(t, '172.18.0.6');
    const before = stateOf(machine);
    const files = { '/etc/cni/egress/policy.json': policyFile };
    assert.match((await run(['gateway'], machine, files)).stdout, /^Exit "shared" is served here and leaves by eth1/);
    assert.match((await run(['gateway', '--down'], machine, files)).stdout, /^No exit is served/);
    assert.deepEqual(stateOf(machine), before);
  });

  test('gateway takes the node’s address and the policy file that it is told', async (t) => {
    const machine = newNode(t, '172.18.0.6');
    machine.host.linkAddresses.set('eth2', [held('172.18.0.5')]);
    const wrong = await run(['gateway', '--policy', '/p', '--node', '172.18.0.5'], machine, { '/p': policyFile });
    assert.ok(wrong.error instanceof EgressError && wrong.error.code === 'unknown-exit', String(wrong.error));
    const right = await run(['gateway', '--policy', '/p', '--node', '172.18.0.6'], machine, { '/p': policyFile });
    assert.match(right.stdout, /^Exit "shared" is served here/);
  });

  test('exit move lets the exit leave from another gateway', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    const words = ['exit', 'move', 'shared', '--to', '172.18.0.7', '--policy', '/p', '--data-dir', '/state'];
    const outcome = await run(words, machine, { '/p': policyFile });
    assert.match(outcome.stdout, /^No exit is served or used on this node\.$/m);
    assert.deepEqual([machine.store.loadMoves(), outcome.dataDirs], [{ shared: '172.18.0.7' }, ['/state']]);
  });

  test('version says which versions it speaks, and whether the kernel answers', async (t) => {
    const machine = newMachine(t);
    const text = 'egress 1.2.3\nCNI specification 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\nnetlink';
    assert.equal((await run(['version'], machine)).stdout, `${text} does not answer\n`);
    machine.host.links.set('lo', { index: 1, name: 'lo', up: true, mtu: 1500 });
    for (const word of ['version', '--version', '-V']) {
      assert.equal((await run([word], machine)).stdout, `${text} works\n`);
    }
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
