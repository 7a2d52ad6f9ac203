import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endOnSignals } from './end-on-signals.ts';
import { hangsAfterMs } from './guard.ts';
import { Namespace } from './namespace.ts';
import { LabNode } from './node.ts';
import { missingForLab } from './tools.ts';
import { Fabric, type FabricName, world } from './world.ts';

/** Options of every lab test: a guard against hanging, and why the test cannot run here. With CI set that is an error. */
export const labTest = { timeout: hangsAfterMs, skip: skipReason() };

function skipReason(): string | false {
  const reason = missingForLab();
  if (reason !== undefined && process.env.CI !== undefined) throw new Error(`The lab has to run in CI, but ${reason}`);
  return reason ?? false;
}

const alive = new Set<Lab>();
let labs = 0;

/**
 * Nodes and an outside world in network namespaces. Everything it makes is named `eg-<pid>-<n>-…`, so labs side by side
 * do not meet, and what a killed run left behind is known by its dead process and removed by the next one.
 */
export class Lab implements AsyncDisposable {
  /** What all names in it begin with. */
  readonly prefix = `eg-${process.pid}-${++labs}-`;
  /** Where nodes and captures keep their files; removed with the lab. */
  readonly folder = mkdtempSync(join(tmpdir(), this.prefix));
  /** The network of the default route, on eth0 of every node. */
  front!: Fabric;
  /** The network behind eth1. */
  back!: Fabric;
  #names = 0;

  static async create(): Promise<Lab> {
    if (alive.size === 0) removeWhatDeadRunsLeft();
    const lab = new Lab();
    alive.add(lab);
    try {
      [lab.front, lab.back] = await Promise.all([lab.#fabric('front'), lab.#fabric('back')]);
      return lab;
    } catch (error) {
      lab.remove();
      throw error;
    }
  }

  async #fabric(name: FabricName): Promise<Fabric> {
    return Fabric.create(name, await this.namespace(name), await this.namespace(`${name}-host`));
  }

  /** A new namespace of this lab; its role is its name. */
  namespace(role: string): Promise<Namespace> {
    return Namespace.create(`${this.prefix}${role}`);
  }

  /** A name that nothing else in this lab has. */
  unique(role: string): string {
    return `${role}-${++this.#names}`;
  }

  /**
   * A node with both uplinks. `number` is the last part of its addresses: 172.18.0.<number>, 192.168.0.<235 + number>.
   * It has the addresses of the exit of the lab on eth1, or others.
   */
  node(number = 5, exitAddresses: readonly string[] = world.exitAddress): Promise<LabNode> {
    return LabNode.create(this, number, exitAddresses);
  }

  /** Removes everything, without waiting for anything: this must work while the process is being ended. */
  remove(): void {
    if (alive.delete(this)) removeRun(this.prefix);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.remove();
  }
}

function removeRun(prefix: string): void {
  for (const name of namespacesOf(prefix)) {
    spawnSync('sh', ['-c', 'ip netns pids "$0" | xargs -r kill -9; ip netns delete "$0"', name]);
  }
  removeCgroups(prefix);
  for (const folder of readdirSync(tmpdir()).filter((name) => name.startsWith(prefix))) {
    // Processes that are just ending may still write.
    rmSync(join(tmpdir(), folder), { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Those of pods that a container runtime made; see runtime/containerd.ts. They can go when their processes have ended. */
function removeCgroups(prefix: string): void {
  const script = `for attempt in 1 2 3 4 5 6 7 8 9; do
    found=$(find /sys/fs/cgroup -depth -type d -path "*/$0*")
    [ -n "$found" ] || break
    rmdir $found && break || sleep 0.1
  done`;
  spawnSync('sh', ['-c', script, prefix], { stdio: 'ignore' });
}

function namespacesOf(prefix: string): readonly string[] {
  return existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.startsWith(prefix)) : [];
}

function removeWhatDeadRunsLeft(): void {
  const owners = [...namespacesOf('eg-'), ...readdirSync(tmpdir())].map((name) => /^eg-(\d+)-/.exec(name)?.[1]);
  const dead = new Set(owners.filter((pid) => pid !== undefined && !existsSync(`/proc/${pid}`)));
  for (const pid of dead) removeRun(`eg-${pid}-`);
}

process.on('exit', () => {
  for (const lab of alive) lab.remove();
});
endOnSignals();
