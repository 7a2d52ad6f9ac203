import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Family } from '../../src/base/address.ts';
import type { ElectionStatus } from '../../src/election/elections.ts';
import type { Instance } from '../../src/election/plan.ts';
import type { RouterStatus } from '../../src/election/router.ts';
import type { LabNode } from './node.ts';
import type { Daemon } from './run.ts';
import { egressBinary } from './tools.ts';

/** The process of elections alone, as an agent starts it, on a node of the lab; ends with the lab. */
export class RunningElection {
  readonly daemon: Daemon;

  private constructor(daemon: Daemon) {
    this.daemon = daemon;
  }

  static async start({ machine, folder }: LabNode, instances: readonly Instance[]): Promise<RunningElection> {
    const script = `mkfifo "$1" && { "$0" election <"$1" & } && echo "pid $!" && exec 3>"$1" && printf '%s\\n' "$2" >&3 && wait`;
    const orders = JSON.stringify({ want: { vrrp: instances } });
    const words = ['sh', '-c', script, egressBinary, join(folder, randomUUID()), orders];
    return new RunningElection(await machine.start(words, '{'));
  }

  get pid(): number {
    return Number(this.daemon.lines.find((line) => line.startsWith('pid '))?.slice(4));
  }

  /** What it said last. */
  get status(): ElectionStatus {
    const line = this.daemon.lines.findLast((line) => line.startsWith('{')) ?? '{}';
    return (JSON.parse(line) as { readonly vrrp: ElectionStatus }).vrrp;
  }

  /** What it said last of the router of a family. */
  router(family: Family): RouterStatus | undefined {
    return this.status.routers.find(({ instance }) => instance.family === family);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }
}
