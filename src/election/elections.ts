import type { Address, Family } from '../base/address.ts';
import { type BadReason, badReasons, type HeardAdvertisement } from './advertisement.ts';
import type { Instance } from './plan.ts';
import { Router, type RouterStatus } from './router.ts';
import type { Claim, Place, Segment, Surroundings } from './surroundings.ts';

/** What is told of all Virtual Routers of this node. */
export interface ElectionStatus {
  /** All that is wanted has been looked at: what routers say now is no beginning. */
  readonly isReady: boolean;
  readonly routers: readonly RouterStatus[];
  /** Packets that belong to no Virtual Router, by interface and family, and by reason. */
  readonly bad: readonly {
    readonly device: string;
    readonly family: Family;
    readonly counts: Readonly<Record<BadReason, number>>;
  }[];
}

/** An interface and a family, with the routers there. */
class Ground {
  readonly device: string;
  readonly family: Family;
  readonly routers = new Map<string, Router>();
  readonly counts = Object.fromEntries(badReasons.map((reason) => [reason, 0])) as Record<BadReason, number>;
  /** Why nobody takes part, in words. */
  problem = '';
  #segment: { readonly segment: Segment; readonly place: Place } | undefined;

  constructor(device: string, family: Family) {
    this.device = device;
    this.family = family;
  }

  get segment(): Segment | undefined {
    return this.#segment?.segment;
  }

  /** Opens its sockets, anew when the interface is another, or has another address. */
  async follow(found: Place | string, around: Surroundings): Promise<void> {
    if (typeof found !== 'string' && this.#segment !== undefined && isSame(this.#segment.place, found)) return;
    await this.#lose(typeof found === 'string' ? found : `interface ${this.device} has changed`);
    if (typeof found === 'string') return;
    try {
      const listener = {
        heard: (said: HeardAdvertisement | BadReason, source: Address) => this.#heard(said, source),
        claimed: (claim: Claim) => this.#claimed(claim),
      };
      this.#segment = { segment: around.open(found, this.family, listener), place: found };
      this.problem = '';
    } catch (error) {
      this.problem = `no socket on ${this.device}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  async #lose(why: string): Promise<void> {
    this.problem = why;
    if (this.#segment === undefined) return;
    for (const router of this.routers.values()) await router.lose(why);
    this.close();
  }

  close(): void {
    this.#segment?.segment[Symbol.dispose]();
    this.#segment = undefined;
  }

  #heard(said: HeardAdvertisement | BadReason, source: Address): void {
    if (source === this.segment?.source) return;
    if (typeof said === 'string') {
      this.counts[said]++;
      return;
    }
    for (const router of this.routers.values()) if (router.instance.vrid === said.vrid) router.heard(said);
  }

  #claimed(claim: Claim): void {
    for (const router of this.routers.values()) router.claimed(claim);
  }
}

const isSame = (a: Place, b: Place): boolean =>
  a.index === b.index && a.mac === b.mac && a.source === b.source && a.name === b.name;

/** The Virtual Routers of this node, on the segments of their interfaces. One change at a time. */
export class Elections {
  readonly #around: Surroundings;
  readonly #grounds = new Map<string, Ground>();
  #work: Promise<void> = Promise.resolve();
  #isStopped = false;
  #isReady = false;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** From now on there are these, and no others. */
  want(instances: readonly Instance[]): Promise<void> {
    return this.#after(async () => {
      if (this.#isStopped) return;
      await this.#endOthers(new Set(instances.map(({ key }) => key)));
      for (const instance of instances) await this.#want(instance);
      await this.#look();
      this.#isReady = true;
      this.#around.changed();
    });
  }

  async #endOthers(keys: ReadonlySet<string>): Promise<void> {
    for (const ground of this.#grounds.values())
      for (const [key, router] of ground.routers) {
        if (keys.has(key)) continue;
        await router.end();
        ground.routers.delete(key);
      }
    for (const [key, ground] of this.#grounds) {
      if (ground.routers.size > 0) continue;
      ground.close();
      this.#grounds.delete(key);
    }
  }

  async #want(instance: Instance): Promise<void> {
    const key = `${instance.device} ${instance.family}`;
    const ground = this.#grounds.get(key) ?? new Ground(instance.device, instance.family);
    this.#grounds.set(key, ground);
    const router = ground.routers.get(instance.key);
    if (router === undefined) ground.routers.set(instance.key, new Router(instance, this.#around));
    else await router.change(instance);
  }

  /** Interfaces may have changed. */
  look(): Promise<void> {
    return this.#after(() => this.#look());
  }

  async #look(): Promise<void> {
    if (this.#isStopped) return;
    for (const ground of this.#grounds.values()) {
      const found = await this.#around.find(ground.device, ground.family);
      await ground.follow(found, this.#around);
      for (const router of ground.routers.values()) await this.#lookAt(ground, router, found);
    }
    this.#around.changed();
  }

  async #lookAt({ segment, problem }: Ground, router: Router, found: Place | string): Promise<void> {
    if (segment === undefined || typeof found === 'string') return await router.lose(problem);
    const { paused, needs } = router.instance;
    if (paused !== undefined) return router.stepDown(paused);
    const missing = await this.#missing(needs);
    if (missing !== undefined) return router.stepDown(`interface ${missing} is gone, down or without a carrier`);
    if (!router.isRunning) await router.start(segment, found.held);
    else router.verify(found.held);
  }

  async #missing(needs: readonly string[]): Promise<string | undefined> {
    for (const device of needs) if (!(await this.#around.isRunning(device))) return device;
    return undefined;
  }

  /** Steps down everywhere; resolves when the next holders were heard, or were not in time. */
  stop(why: string): Promise<void> {
    return this.#after(async () => {
      this.#isStopped = true;
      const routers = [...this.#grounds.values()].flatMap((ground) => [...ground.routers.values()]);
      await Promise.all(routers.map((router) => router.stop(why)));
      for (const ground of this.#grounds.values()) ground.close();
    });
  }

  get status(): ElectionStatus {
    const grounds = [...this.#grounds.values()];
    return {
      isReady: this.#isReady,
      routers: grounds.flatMap(({ routers }) => [...routers.values()].map(({ status }) => status)),
      bad: grounds.map(({ device, family, counts }) => ({ device, family, counts: { ...counts } })),
    };
  }

  #after(action: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(action);
    return this.#work;
  }
}
