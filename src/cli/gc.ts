import { printChanges } from '../datapath/print.ts';
import { collect, planCollection } from '../node/collect.ts';
import { type CliCommand, toJson } from './command.ts';
import { type NodeOptions, onNode, withDryRun } from './options.ts';

export const gcCommand: CliCommand = {
  name: 'gc',
  summary: 'take down what belongs to pods whose interface is gone',
  options: (command) => withDryRun(onNode(command)),
  run: async ({ openMachine, openWork, write }, { json, dryRun, ...options }: NodeOptions) => {
    using machine = await openMachine(options);
    using work = openWork(!dryRun);
    work.tell('Looking for pods that are gone');
    const { marks, changes } = dryRun ? await planCollection(machine) : { marks: await collect(machine), changes: [] };
    const commands = printChanges(changes);
    const done = dryRun ? 'would be taken down' : 'taken down';
    write(
      json
        ? toJson({ attachments: marks, commands })
        : `${commands}${marks.map((mark) => `${mark} ${done}\n`).join('')}`,
    );
  },
};
