import type { Change } from '../datapath/difference.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import { deviceOfParameter, isKept, keeping, keptValues } from '../datapath/kept.ts';
import { parameterValue } from '../datapath/reverse-path.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { NodeRecord } from '../store/record.ts';
import type { Machine } from './machine.ts';

/** Values before us, by the paths of their parameters. */
type Values = NodeRecord['sysctls'];

/** The administrator's values of the parameters that changes are about to overwrite. */
export const overwrittenBy = ({ host }: Machine, changes: readonly Change[]): Values =>
  Object.fromEntries(
    changes.flatMap(({ verb, object }) =>
      verb !== 'remove' && object.kind === 'sysctl' && isKept(object.name)
        ? [[object.name, host.readSysctl(object.name) ?? '']]
        : [],
    ),
  );

/** The changes that keep `overwritten` values in our table, and the record's values when the table is made anew. */
export async function keepingChanges(
  { host, store }: Machine,
  overwritten: Values,
  others: readonly Change[],
): Promise<Change[]> {
  const isMade = others.some(({ verb, object }) => verb === 'add' && object.kind === 'table' && !object.family);
  const known = isMade ? Object.entries(store.loadNode()?.sysctls ?? {}) : [];
  const values = Object.entries({
    ...Object.fromEntries(known.filter(([name]) => host.readSysctl(name) === parameterValue(name))),
    ...overwritten,
  });
  const kept = values.length > 0 ? await host.listKept() : [];
  const changes: Change[] = [];
  for (const [name, value] of values) {
    const link = await host.readLink(deviceOfParameter(name));
    if (link !== undefined) changes.push(...keeping(kept, name, link.index, value));
  }
  return changes;
}

/**
 * The values for the node's record: the earlier record's, and our table's for interfaces that the record did not know.
 * The record may have been lost, and another installation steers by them, too. A record's values are out of date when
 * nothing is set up, and no pod and no gateway needs them.
 */
export async function knownValues(
  { host, store }: Machine,
  previous: NodeRecord | undefined,
  exits: readonly ResolvedExit[],
  hasTable: boolean,
): Promise<Values> {
  const known = previous?.sysctls ?? {};
  if (!hasTable) return previous?.gateway || store.hasAttachments() ? known : {};
  const isKnown = (device: string) => device === tunnelDevice || previous?.exits.some((exit) => exit.device === device);
  return exits.every(({ device }) => isKnown(device)) ? known : { ...known, ...keptValues(await host.listKept()) };
}
