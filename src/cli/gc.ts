import { markOf } from '../base/attachment.ts';
import { printChanges } from '../datapath/print.ts';
import { findDead } from '../node/living.ts';
import type { Machine } from '../node/machine.ts';
import { settled } from '../node/settled.ts';
import { planRelease, tearDownAll } from '../node/tear-down.ts';
import { type CliCommand, toJson } from './command.ts';
import { type NodeOptions, onNode, withDryRun } from './options.ts';

/** Takes down attachments whose interface is gone from the host. Returns their marks. */
export async function collect(machine: Machine): Promise<string[]> {
  using _lock = await machine.store.lockToTakeDown();
  const dead = await findDead(machine);
  if (dead.length > 0) await tearDownAll(machine, dead);
  return dead.map(markOf);
}

/** The attachments that {@link collect} would take down, and the commands that it would stand for. */
interface Collection {
  readonly marks: readonly string[];
  readonly commands: string;
}

/** What {@link collect} would do. Changes nothing. Waits for a call that is changing something. */
const planCollection = (machine: Machine): Promise<Collection> =>
  settled(
    machine,
    () => planNow(machine),
    ({ marks, commands }) => marks.length === 0 && commands === '',
  );

async function planNow(machine: Machine): Promise<Collection> {
  const marks = (await findDead(machine)).map(markOf);
  return { marks, commands: printChanges(await planRelease(machine, new Set(marks))) };
}

export const gcCommand: CliCommand = {
  name: 'gc',
  summary: 'take down what belongs to pods whose interface is gone',
  options: (command) => withDryRun(onNode(command)),
  run: async ({ openMachine, write }, { json, dryRun, ...options }: NodeOptions) => {
    using machine = await openMachine(options);
    const { marks, commands } = dryRun
      ? await planCollection(machine)
      : { marks: await collect(machine), commands: '' };
    const done = dryRun ? 'would be taken down' : 'taken down';
    write(
      json
        ? toJson({ attachments: marks, commands })
        : `${commands}${marks.map((mark) => `${mark} ${done}\n`).join('')}`,
    );
  },
};
