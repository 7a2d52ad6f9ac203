import { EgressError } from '../../base/errors.ts';
import { rule } from '../../nftables/chain.ts';
import type { Chain, DeviceHook, NftSet, Operation } from '../../nftables/object.ts';
import { printOperation } from '../../nftables/script.ts';
import { addLabel } from '../../nftables/statement.ts';
import { flags, isKernelError, KernelError, type NetlinkSocket, type Request } from '../netlink/socket.ts';
import { encode } from '../netlink/wire.ts';
import { batchAttributes, generationAttributes } from './attributes.ts';
import type { SetId } from './expression.ts';
import { attributesOf, genericHeader, message, subsystem } from './message.ts';
import { encodeOperation } from './operation.ts';

/** linux/netfilter/nfnetlink.h, NFNL_MSG_BATCH_* */
const batchBegin = 16;
const batchEnd = 17;
const unspecifiedFamily = 0;
/** A set with thousands of prefixes is a long line; nobody reads it in an error. */
const longestCommand = 300;

/** The number of the ruleset in this namespace: the kernel adds one with each transaction of whomever. */
export async function readGeneration(socket: NetlinkSocket): Promise<number> {
  const [reply] = await socket.request(message('getGeneration', 0, {}, {}));
  const { id } = reply === undefined ? {} : attributesOf(generationAttributes, reply);
  if (id === undefined)
    throw new EgressError('internal', 'The kernel answered without a generation of the nftables ruleset');
  return id;
}

/**
 * Runs the operations in order, all or nothing. Returns the generation that it was done on.
 *
 * @param generation the ruleset's, from {@link readGeneration} before the reads that the operations rest on. When
 *   somebody has changed the ruleset since, nothing is done and a KernelError with the code ERESTART is thrown: decide
 *   again
 * @param sets the sets of elements in `operations`, for the text of an error
 * @param newestLike a later generation in which all that the operations rest on is as in an earlier one, for another try
 * @throws EgressError `kernel-refused`, naming the operation
 */
export async function runTransaction(
  socket: NetlinkSocket,
  operations: readonly Operation[],
  generation?: number,
  sets: readonly NftSet[] = [],
  newestLike: (generation: number) => number | undefined = () => undefined,
): Promise<number | undefined> {
  if (operations.length === 0) return generation;
  const setId = numberSets();
  const groups = operations.map((operation) => encodeOperation(operation, setId));
  const messages = groups.flat();
  try {
    return await inNewest(generation, newestLike, (tried) => socket.batch(encodeBatch(messages, tried)));
  } catch (error) {
    if (!(error instanceof KernelError) || error.code === 'ERESTART') throw error;
    const refused =
      findCommand(operations, groups, error.index, sets) ?? `A transaction of ${operations.length} operations`;
    throw new EgressError('kernel-refused', `${refused}: ${error.message}`, { cause: error });
  }
}

/** How often a transaction is sent for others who came between: each time it takes a moment alone. */
const mostSent = 100;

/** What is tried is made before, so that others seldom come between. */
async function inNewest(
  generation: number | undefined,
  newestLike: (generation: number) => number | undefined,
  send: (generation: number | undefined) => Promise<unknown>,
): Promise<number | undefined> {
  let now = generation;
  for (let sent = 1; ; sent++) {
    try {
      await send(now);
      return now;
    } catch (error) {
      if (now === undefined || sent === mostSent || !isKernelError(error, 'ERESTART')) throw error;
      const newest = newestLike(now);
      if (newest === undefined || newest === now) throw error;
      now = newest;
    }
  }
}

/** Whether the kernel takes a chain with the hook. */
export const canHook = (socket: NetlinkSocket, hook: DeviceHook): Promise<boolean> =>
  isTaken(socket, { family: 'netdev', kind: 'chain', name: 'try', hook, rules: [] });

/** Whether rules can give connections labels: not on a kernel without CONFIG_NF_CONNTRACK_LABELS. */
export const canLabel = (socket: NetlinkSocket): Promise<boolean> =>
  isTaken(socket, { kind: 'chain', name: 'try', rules: [rule(addLabel([0]))] });

/** It asks like `nft --check`: the kernel undoes every batch without an end. */
async function isTaken(socket: NetlinkSocket, chain: Chain): Promise<boolean> {
  const { family } = chain;
  const tried: Operation[] = [
    { verb: 'add', object: { ...(family && { family }), kind: 'table' } },
    { verb: 'add', object: chain },
  ];
  const messages = tried.flatMap((operation) => encodeOperation(operation, numberSets()));
  try {
    await socket.batch(encodeBatch(messages).slice(0, -1));
    return true;
  } catch (error) {
    if (isKernelError(error, 'ENOTSUP')) return false; // Node's name of EOPNOTSUPP
    throw error;
  }
}

/** A batch that the kernel carries out as a whole and acknowledges with its last message. */
export function encodeBatch(messages: readonly Request[], generation?: number): readonly Request[] {
  const attributes = encode(batchAttributes, { generation });
  const limit = (type: number, body: Buffer): Request => ({ type, flags: 0, body });
  const header = genericHeader(unspecifiedFamily, subsystem);
  const acknowledged = messages.map((request, i) =>
    i === messages.length - 1 ? { ...request, flags: request.flags | flags.ack } : request,
  );
  return [limit(batchBegin, Buffer.concat([header, attributes])), ...acknowledged, limit(batchEnd, header)];
}

/** Numbers each set when it is first named, from 1. */
function numberSets(): SetId {
  const numbers = new Map<string, number>();
  return (name) => {
    const number = numbers.get(name) ?? numbers.size + 1;
    numbers.set(name, number);
    return number;
  };
}

/**
 * The nft command that stands for a message of the batch. A chain and its rules have a command for each message; a set
 * and its elements have one for all of theirs.
 */
function findCommand(
  operations: readonly Operation[],
  groups: readonly (readonly Request[])[],
  index: number,
  sets: readonly NftSet[],
): string | undefined {
  const added = operations.map(({ object }) => object).filter((object) => object.kind === 'set');
  const commands = operations.map((operation) => printOperation(operation, [...sets, ...added]));
  const commandOfMessage = groups.flatMap((group, i) =>
    group.map((_, line) => commands[i]?.[line] ?? commands[i]?.[0]),
  );
  const command = commandOfMessage[index - 1];
  return command !== undefined && command.length > longestCommand ? `${command.slice(0, longestCommand)}…` : command;
}
