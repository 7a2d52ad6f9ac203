import { Command } from 'commander';
import { supportedVersions } from '../cni/versions.ts';
import { defaults } from '../config/schema.ts';
import { checkAll, printCheck } from './check.ts';
import { type CliSurroundings, toJson } from './command.ts';
import { collect, planCollection } from './gc.ts';
import { printStatus, readStatus } from './status.ts';

interface Options {
  readonly dataDir: string;
  readonly json?: true;
  readonly dryRun?: true;
}

/** The commands for people. Each file of this folder that a command is named after says what it does. */
export function commandLine(surroundings: CliSurroundings): Command {
  const { write, version, colors, setExitCode, openMachine } = surroundings;
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
