import { Command, Option } from 'commander';
import { supportedVersions } from '../cni/versions.ts';
import { defaults } from '../config/schema.ts';
import { checkAll, printCheck } from './check.ts';
import { type CliSurroundings, toJson } from './command.ts';
import { type GatewayOptions, gateway, move, readConfigured, watchGateway } from './gateway.ts';
import { collect, planCollection } from './gc.ts';
import { printStatus, readStatus } from './status.ts';
import { type ValidateOptions, validate } from './validate.ts';

interface Options {
  readonly dataDir: string;
  readonly json?: true;
  readonly dryRun?: true;
}

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

  onNode('status', 'show exits, pods and what they counted').action(async (options: Options) => {
    using machine = await openMachine(options);
    const status = await readStatus(machine);
    write(options.json ? toJson(status) : printStatus(status, colors));
  });

  onNode('check', 'compare what is set up with what should be; exit code 1 when something is missing').action(
    async (options: Options) => {
      using machine = await openMachine(options);
      const results = await checkAll(machine);
      write(options.json ? toJson(results) : printCheck(results));
      if (results.some(({ problems }) => problems.length > 0)) setExitCode(1);
    },
  );

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
