import * as z from 'zod/mini';
import { markOf } from '../base/attachment.ts';
import type { ExitStatus, PodStatus, Rate, Status } from './status.ts';

interface Counted {
  readonly packets: number;
  readonly bytes: number;
}

/** What was counted when somebody looked. */
export interface Look {
  /** Of the kernel's run: /proc/sys/kernel/random/boot_id. */
  readonly boot: string;
  /** Seconds that the kernel had run, which no change of the clock moves. */
  readonly uptime: number;
  /** By name: packets steered to an exit. */
  readonly exits: Readonly<Record<string, Counted>>;
  /** By mark. */
  readonly pods: Readonly<Record<string, Counted>>;
}

const counted = z.object({ packets: z.number(), bytes: z.number() });
const lookSchema: z.ZodMiniType<Look> = z.object({
  boot: z.string(),
  uptime: z.number(),
  exits: z.record(z.string(), counted),
  pods: z.record(z.string(), counted),
});

/** The look in a text; `undefined` for every other text. */
export function parseLook(text: string | undefined): Look | undefined {
  try {
    return lookSchema.parse(JSON.parse(text ?? ''));
  } catch {
    return undefined;
  }
}

/** What a status counted. */
export const lookOf = ({ exits, pods }: Status, when: Pick<Look, 'boot' | 'uptime'>): Look => ({
  ...when,
  exits: byName(
    exits,
    ({ name }) => name,
    ({ steered }) => steered,
  ),
  pods: byName(pods, markOf, ({ packets, bytes }) =>
    packets === undefined || bytes === undefined ? undefined : { packets, bytes },
  ),
});

function byName<T>(
  all: readonly T[],
  name: (one: T) => string,
  count: (one: T) => { readonly packets: bigint; readonly bytes: bigint } | undefined,
): Record<string, Counted> {
  return Object.fromEntries(
    all.flatMap((one) => {
      const seen = count(one);
      return seen ? [[name(one), { packets: Number(seen.packets), bytes: Number(seen.bytes) }]] : [];
    }),
  );
}

/** Seconds between two looks from which on there is a rate. */
const shortest = 0.1;

/**
 * The status with what went by in a second since an earlier look. What was not counted then, or has counted from 0 since, has no
 * rate; after a start of the machine nothing has.
 */
export function withRates(status: Status, before: Look | undefined, now: Look): Status {
  const seconds = before?.boot === now.boot ? now.uptime - before.uptime : 0;
  if (before === undefined || seconds < shortest) return status;
  const exits = status.exits.map((exit): ExitStatus => {
    const rate = rateOf(before.exits[exit.name], now.exits[exit.name], seconds);
    return rate ? { ...exit, rate } : exit;
  });
  const pods = status.pods.map((pod): PodStatus => {
    const rate = rateOf(before.pods[markOf(pod)], now.pods[markOf(pod)], seconds);
    return rate ? { ...pod, rate } : pod;
  });
  return { ...status, rateSeconds: tenths(seconds), exits, pods };
}

function rateOf(before: Counted | undefined, now: Counted | undefined, seconds: number): Rate | undefined {
  if (before === undefined || now === undefined || now.packets < before.packets) return undefined;
  const each = (was: number, is: number) => tenths(Math.max(0, is - was) / seconds);
  return { packets: each(before.packets, now.packets), bytes: each(before.bytes, now.bytes) };
}

const tenths = (value: number): number => Math.round(value * 10) / 10;
