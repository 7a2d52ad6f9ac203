import { Daemon, must, type Outcome, type RunOptions, run } from './run.ts';

/**
 * Settings of every namespace. Without duplicate address detection an IPv6 address is usable at once; the plugins of
 * the chain would wait a second for it. Strict reverse path filtering is what many distributions set.
 */
const settings = {
  'net.ipv6.conf.all.accept_dad': 0,
  'net.ipv6.conf.default.accept_dad': 0,
  'net.ipv4.conf.all.rp_filter': 1,
  'net.ipv4.conf.default.rp_filter': 1,
};

/** A network namespace, and for a node also a mount namespace: a machine, as far as the network is concerned. */
export class Namespace {
  readonly name: string;
  /** Process whose mount namespace commands run in, if it is not ours. */
  readonly #mountsOf: number | undefined;

  constructor(name: string, mountsOf?: number) {
    this.name = name;
    this.#mountsOf = mountsOf;
  }

  /** Makes the namespace with its loopback device up. */
  static async create(name: string): Promise<Namespace> {
    await must(['ip', 'netns', 'add', name]);
    const namespace = new Namespace(name);
    await namespace.sysctl(settings);
    await namespace.ip('link set lo up');
    return namespace;
  }

  /** What a runtime passes as CNI_NETNS. */
  get path(): string {
    return `/run/netns/${this.name}`;
  }

  /** The command line that runs a command inside. */
  inside(command: readonly string[]): readonly string[] {
    const mounts = this.#mountsOf === undefined ? [] : [`--mount=/proc/${this.#mountsOf}/ns/mnt`];
    // By its path, because a command may be given an environment without PATH.
    return ['/usr/bin/nsenter', `--net=${this.path}`, ...mounts, '--', ...command];
  }

  run(command: readonly string[], options?: RunOptions): Promise<Outcome> {
    return run(this.inside(command), options);
  }

  must(command: readonly string[], options?: RunOptions): Promise<string> {
    return must(this.inside(command), options);
  }

  start(command: readonly string[], ready: string): Promise<Daemon> {
    return Daemon.start(this.inside(command), ready);
  }

  /** Runs `ip` once for several of its commands: `ip('link set eth0 up', 'route add …')`. */
  async ip(...commands: readonly string[]): Promise<void> {
    await must(['ip', '-n', this.name, '-batch', '-'], { stdin: `${commands.join('\n')}\n` });
  }

  /** Sets kernel parameters by their dotted names. */
  async sysctl(values: Readonly<Record<string, string | number>>): Promise<void> {
    await this.must(['sysctl', '-qw', ...Object.entries(values).map(([name, value]) => `${name}=${value}`)]);
  }

  /** Removes it with everything in it; its processes are ended first, or it would live on without a name. */
  async remove(): Promise<void> {
    const pids = (await must(['ip', 'netns', 'pids', this.name])).split('\n').filter(Boolean).map(Number);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await must(['ip', 'netns', 'delete', this.name]);
  }
}
