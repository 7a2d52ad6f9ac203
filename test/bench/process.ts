import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { call } from '../../src/kernel/native/calls.ts';
import type { Namespace } from '../support/namespace.ts';

/** A program to run, with all of its environment. */
export interface Command {
  readonly program: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

const CLONE_NEWNET = 0x40000000;
const ownNetwork = openSync('/proc/self/ns/net', 'r');

/**
 * Calls a function with this thread in a network namespace, which the processes that it starts inherit: so nothing but
 * the program itself is measured, no nsenter in front of it.
 */
function inside<T>({ path }: Namespace, action: () => T): T {
  const network = openSync(path, 'r');
  try {
    if (call('setns', network, CLONE_NEWNET) !== 0) throw new Error(`This process cannot enter ${path}`);
    return action();
  } finally {
    call('setns', ownNetwork, CLONE_NEWNET);
    closeSync(network);
  }
}

/** Runs a program to its end. Returns how long it took, in ms, from before its start; one that fails is an error. */
export function timeOf(network: Namespace, { program, args = [], env = {}, stdin = '' }: Command): number {
  const start = performance.now();
  const { status, signal, error, stdout, stderr } = inside(network, () =>
    spawnSync(program, args, { env, input: stdin }),
  );
  const ms = performance.now() - start;
  if (status !== 0)
    throw new Error(`${program} ${env.CNI_COMMAND ?? ''} failed: ${signal ?? error ?? status} ${stdout}${stderr}`);
  return ms;
}

/** Runs programs, `atATime` of them together. Returns how many ended in a second; one that fails is an error. */
export async function rateOf(network: Namespace, commands: readonly Command[], atATime: number): Promise<number> {
  const waiting = commands.values();
  const start = performance.now();
  const workers = Array.from({ length: atATime }, async () => {
    for (const command of waiting) await runToEnd(network, command);
  });
  await Promise.all(workers);
  return commands.length / ((performance.now() - start) / 1000);
}

async function runToEnd(network: Namespace, { program, args = [], env = {}, stdin = '' }: Command): Promise<void> {
  const child: ChildProcess = inside(network, () => spawn(program, args, { env }));
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes: Buffer) => output.push(bytes));
  child.stdin?.end(stdin);
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${program} ${env.CNI_COMMAND ?? ''} failed: ${Buffer.concat(output)}`);
}
