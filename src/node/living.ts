import { type Attachment, markOf } from '../base/attachment.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { Machine } from './machine.ts';

/** Attachments whose interface is gone from the host: nobody will send a DEL for some of them. */
export async function findDead({ host, store }: Machine): Promise<Attachment[]> {
  const dead: Attachment[] = [];
  for (const record of store.list()) {
    const links = await Promise.all(
      record.links.map(async ({ name, index }) => (await host.readLink(name))?.index === index),
    );
    if (links.length > 0 && !links.includes(true)) dead.push(record);
  }
  return dead;
}

/** Records of living pods: their interface is there, and no other pod has their address by now. */
export async function listLiving(machine: Machine): Promise<AttachmentRecord[]> {
  const dead = new Set((await findDead(machine)).map(markOf));
  const alive = machine.store.list().filter((record) => !dead.has(markOf(record)));
  const owners = Map.groupBy(
    alive.flatMap((record) => record.addresses.map((address) => ({ address, mark: markOf(record) }))),
    ({ address }) => address,
  );
  const shared = [...owners].filter(([, claims]) => claims.length > 1).map(([address]) => address);
  const elements = shared.length === 0 ? [] : await machine.host.findElements('', shared);
  const holders = new Set(elements.map(({ comment }) => comment));
  return alive.filter(
    (record) => holders.has(markOf(record)) || !record.addresses.some((address) => shared.includes(address)),
  );
}

/** Exits of pods whose programs are in the store. The node's record may have lost them. */
export function exitsOf({ store }: Machine, living: readonly AttachmentRecord[]): ReadonlySet<string> {
  const programs = Map.groupBy(living, ({ program }) => program);
  const whole = [...programs].flatMap(([program, pods]) => (store.hasProgram(program) ? pods : []));
  return new Set(whole.flatMap(({ outline }) => outline.map(({ exit }) => exit)));
}
