import { Command, Option } from 'commander';
import type { Machine } from '../cni/machine.ts';
import { supportedVersions } from '../cni/versions.ts';
import { defaults } from '../config/schema.ts';
import type { ImportFlags } from '../import/options.ts';
import type { Packet } from '../policy/match-for.ts';
import { filesIn } from '../store/file.ts';
import { type AdoptOptions, adopt } from './adopt.ts';
import { checkAll, isFine, printCheck, withWarnings } from './check.ts';
import { type CliSurroundings, toJson } from './command.ts';
import { readIfThere } from './configured.ts';
import { parseDestination } from './destination.ts';
import { explain } from './explain.ts';
import { printExplanations } from './explain-print.ts';
import { type GatewayOptions, gateway, move, readConfigured, watchGateway } from './gateway.ts';
import { collect, planCollection } from './gc.ts';
import { importFiles } from './import.ts';
import { install, ready } from './install.ts';
import { confNameOption, type InstallFlags, readyFileOption, withPlaces, withWishes } from './installer-options.ts';
import { outdatedBy } from './outdated.ts';
import { type RepairOptions, repairNode } from './repair.ts';
import { savedWarning, savedWithUs } from './saved-ruleset.ts';
import { printStatus, readStatus } from './status.ts';
import { takeOut, type UninstallFlags } from './uninstall.ts';
import { type ValidateOptions, validate } from './validate.ts';
import { isKnown, parseSeen, printOwner, whoHas } from './who.ts';

interface Options {
  readonly dataDir: string;
  readonly json?: true;
  readonly dryRun?: true;
}

interface ConfOptions {
  readonly confDir: string;
}

const confFolder = '/etc/cni/net.d';

/** The commands for people. Each file of this folder that a command is named after says what it does. */
export function commandLine(surroundings: CliSurroundings): Command {
  const { write, version, colors, setExitCode, openMachine, readFile } = surroundings;
  const program = new Command('egress')
    .description(
      'Decides how each pod’s traffic leaves the cluster: a chained CNI plugin, and the commands to look after it',
    )
    .helpCommand(false)
    .exitOverride() // into an error: how the process ends is decided in one place
    .configureOutput({ writeOut: write });
  const command = (name: string, description: string) => program.command(name).description(description);
  const onNode = (name: string, description: string) =>
    command(name, description)
      .option('--data-dir <dir>', 'where the plugin keeps its state', defaults.dataDir)
      .option('--json', 'print JSON');

  const whyOutdated = (machine: Machine, { confDir }: Options & ConfOptions) => outdatedBy(machine, confDir, readFile);
  const withConf = (name: string, description: string) =>
    onNode(name, description).option(
      '--conf-dir <dir>',
      'where the runtime looks for network configurations',
      confFolder,
    );

  withConf('status', 'show exits, pods and what they counted').action(async (options: Options & ConfOptions) => {
    using machine = await openMachine(options);
    const status = await readStatus(machine, whyOutdated(machine, options));
    write(options.json ? toJson(status) : printStatus(status, colors));
  });

  withConf('check', 'compare what is set up with what should be; exit code 1 when something is missing').action(
    async (options: Options & ConfOptions) => {
      using machine = await openMachine(options);
      const saved = savedWithUs(readFile, filesIn).map(savedWarning);
      const report = withWarnings(await checkAll(machine, whyOutdated(machine, options)), saved);
      write(options.json ? toJson(report) : printCheck(report));
      if (!isFine(report)) setExitCode(1);
    },
  );

  onNode(
    'who',
    'tell which pod is behind an address and a port that are seen outside; exit code 1 when it is not known',
  )
    .argument('<address:port>', 'as 192.0.2.50:40000, or [2001:db8::50]:40000')
    .option('--policy <file>', `the policy file, ${defaults.policyFile} if it is there`)
    .action(async (text: string, options: Options & { readonly policy?: string }) => {
      const seen = parseSeen(text);
      using machine = await openMachine(options);
      const owner = await whoHas(machine, readIfThere(options.policy, readFile), seen);
      write(options.json ? toJson(owner) : printOwner(owner));
      if (!isKnown(owner)) setExitCode(1);
    });

  onNode('gc', 'take down what belongs to pods whose interface is gone')
    .option('--dry-run', 'print the commands that this stands for, and change nothing')
    .action(async (options: Options) => {
      using machine = await openMachine(options);
      const { marks, commands } = options.dryRun
        ? await planCollection(machine)
        : { marks: await collect(machine), commands: '' };
      const done = options.dryRun ? 'would be taken down' : 'taken down';
      write(
        options.json
          ? toJson({ attachments: marks, commands })
          : `${commands}${marks.map((mark) => `${mark} ${done}\n`).join('')}`,
      );
    });

  onNode('repair', 'set up again what is missing or different; exit code 1 when not all could be')
    .option('--dry-run', 'print the commands that this stands for, and change nothing')
    .action((options: RepairOptions) => repairNode(options, surroundings));

  onNode('explain', 'tell what becomes of packets of a pod, and why: policies, exit, and what in the kernel does it')
    .argument('<pod>', 'namespace/name, address, or container ID (its first 6 characters are enough)')
    .argument(
      '<destination...>',
      'address, address:port (TCP) or protocol/address:port, like udp/203.0.113.9:5060',
      (text: string, before: readonly Packet[] = []) => [...before, parseDestination(text)],
    )
    .option('--policy <file>', `the policy file, ${defaults.policyFile} if it is there`)
    .action(async (pod: string, packets: Packet[], options: Options & { readonly policy?: string }) => {
      using machine = await openMachine(options);
      const explanations = await explain(machine, readIfThere(options.policy, readFile), pod, packets);
      write(options.json ? toJson(explanations) : printExplanations(explanations));
    });

  command('adopt', 'give pods that were started before egress their exits; exit code 1 when one could not have its own')
    .option('--conf-dir <dir>', 'where the runtime looks for network configurations', confFolder)
    .option('--results-dir <dir>', 'where the runtime keeps the results of ADD', '/var/lib/cni/results')
    .option('--outdated', 'also give pods that have something else what a new pod like them would get')
    .option('--dry-run', 'tell what would be done, and change nothing')
    .option('--json', 'print JSON')
    .action((options: AdoptOptions) => adopt(options, surroundings));

  const onGateway = (parent: Command, name: string, description: string) =>
    parent
      .command(name)
      .description(description)
      .option('--policy <file>', 'the policy file', defaults.policyFile)
      .option('--node <address>', 'this node’s underlay address, if it cannot be known from the policy file')
      .option('--data-dir <dir>', 'where the plugin keeps its state', defaults.dataDir)
      .option('--dry-run', 'print the commands that this stands for, and change nothing');

  onGateway(program, 'gateway', 'serve the exits that this node is the gateway of, and show them')
    .option('--down', 'stop to serve them')
    .addOption(
      new Option('--watch', 'keep it so until told to stop, with every change of the policy file').conflicts([
        'down',
        'dryRun',
      ]),
    )
    .action(async (options: Options & GatewayOptions) => {
      if (options.watch) return await watchGateway(surroundings, options);
      using machine = await openMachine(options);
      await gateway(machine, readConfigured(options, readFile), options, write);
    });

  const exit = program.command('exit').description('look after exits');
  onGateway(exit, 'move', 'make this node use another gateway for an exit; on the new gateway first')
    .argument('<name>', 'the exit')
    .requiredOption('--to <address>', 'the gateway, one of the exit’s gateways')
    .action(async (name: string, options: Options & GatewayOptions & { readonly to: string }) => {
      using machine = await openMachine(options);
      await move(machine, readConfigured(options, readFile), { exit: name, to: options.to }, options, write);
    });

  command(
    'validate',
    'look for mistakes in a policy file; exit code 1 when there are any, 0 when there are only warnings',
  )
    .argument('<file>', 'the policy file, in JSON, or in YAML (which only this command reads)')
    .option('--json', 'print JSON')
    .addOption(
      new Option('--print', 'print the file as JSON, with all defaults; mistakes and warnings go to stderr').conflicts(
        'json',
      ),
    )
    .action((file: string, options: ValidateOptions) => validate(file, options, surroundings));

  command('import', 'make a policy file of egress policies of Cilium and of Services of kube-vip; print it as JSON')
    .argument('<file...>', 'files of Kubernetes objects, in YAML or JSON')
    .option('--gateway <address>', 'underlay address of a gateway, the preferred one first; repeatable', oneMore)
    .option('--node <address>', 'underlay address of a node, or a range of them; repeatable', oneMore)
    .option('--address <address>', 'address that pods leave with, where a file names none; repeatable', oneMore)
    .option('--interface <name>', 'interface that pods leave by, where a file names none')
    .option('--next-hop <address>', 'router behind the interface, one of each family; repeatable', oneMore)
    .option('--cluster-cidr <range>', 'range of pods or services, which is never steered; repeatable', oneMore)
    .action((files: string[], flags: ImportFlags) => importFiles(files, flags, surroundings));

  withWishes(
    withPlaces(command('install', 'put egress into the chain of this node; exit code 1 when it cannot')),
  ).action((flags: InstallFlags) => install(flags, surroundings));

  command('ready', 'show what egress install --watch found last; exit code 1 unless all is ready')
    .addOption(readyFileOption())
    .action(({ readyFile }: { readonly readyFile: string }) => ready(readyFile, surroundings));

  withPlaces(command('uninstall', 'take egress out of the chain of this node'))
    .addOption(confNameOption())
    .option('--drain', 'steer no new pod, and wait until the last that is steered has ended')
    .option('--binary', 'remove the binary, too, unless a pod that runs needs it')
    .action((flags: UninstallFlags) => takeOut(flags, surroundings));

  command('version', 'show versions, and whether the kernel can be spoken to')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      using machine = await openMachine({ dataDir: defaults.dataDir });
      const netlink = (await machine.host.readLink('lo')) !== undefined;
      write(
        json
          ? toJson({ version, cniVersions: supportedVersions, netlink })
          : `egress ${version}\nCNI specification ${supportedVersions.join(', ')}\nnetlink ${netlink ? 'works' : 'does not answer'}\n`,
      );
    });
  return program;
}

/** For an option that may be there several times. */
const oneMore = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
