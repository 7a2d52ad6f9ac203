import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Family } from '../../../src/base/address.ts';
import {
  downInterval,
  initialize,
  nextTime,
  skewTime,
  type VirtualRouter,
  type VrrpEvent,
  type VrrpState,
  vrrpStep,
} from '../../../src/election/vrrp.ts';

const own = { 4: '192.0.2.9', 6: 'fe80::9' } as const;
const lower = { 4: '192.0.2.8', 6: 'fe80::8' } as const;
/** Higher as a number, and lower as a text. */
const higher = { 4: '192.0.2.10', 6: 'fe80::10' } as const;

const settings = (family: Family, changes: Partial<VirtualRouter> = {}): VirtualRouter => ({
  priority: 200,
  address: own[family],
  interval: 10,
  preempt: false,
  ...changes,
});

const now = 5_000;
const inBackup: VrrpState = { name: 'backup', downAt: 5_200, activeInterval: 10 };
const inActive: VrrpState = { name: 'active', advertiseAt: 5_050 };
const heard = (priority: number, source: string, interval = 10): VrrpEvent => ({
  name: 'advertisement',
  priority,
  interval,
  source,
});
const advertise = (priority: number) => ({ name: 'advertise', priority }) as const;
const take = { name: 'take' } as const;
const release = { name: 'release' } as const;

describe('the times of a router', () => {
  test('are those of RFC 9568, 6.1', () => {
    assert.equal(skewTime(200, 10), 21.875);
    assert.equal(skewTime(254, 100), 7.8125);
    assert.equal(downInterval(200, 10), 321.875);
    assert.equal(downInterval(100, 100), 3000 + 609.375);
  });
});

for (const family of [4, 6] as const) {
  describe(`a router of IPv${family}, by RFC 9568, 6.4`, () => {
    const router = settings(family);
    const step = (state: VrrpState, event: VrrpEvent, at = now, changes: Partial<VirtualRouter> = {}) =>
      vrrpStep({ ...router, ...changes }, state, event, at);
    const backupFrom = (activeInterval: number, at = now) => ({
      name: 'backup',
      downAt: at + downInterval(200, activeInterval),
      activeInterval,
    });

    test('begins as Backup, and only as the owner of the addresses as Active', () => {
      assert.deepEqual(step(initialize, { name: 'startup' }), { state: backupFrom(10), actions: [] });
      assert.deepEqual(step(initialize, { name: 'startup' }, now, { priority: 255 }), {
        state: { name: 'active', advertiseAt: now + 100 },
        actions: [take, advertise(255)],
      });
      for (const event of [{ name: 'shutdown' }, { name: 'timer' }, heard(100, lower[family])] as const)
        assert.deepEqual(step(initialize, event), { state: initialize, actions: [] });
    });

    test('in Backup waits for the Active one, and takes over when it is silent', () => {
      assert.deepEqual(step(inBackup, { name: 'timer' }, 5_199), { state: inBackup, actions: [] });
      assert.deepEqual(step(inBackup, { name: 'timer' }, 5_200), {
        state: { name: 'active', advertiseAt: 5_300 },
        actions: [take, advertise(200)],
      });
    });

    test('in Backup follows whoever is Active, with its interval', () => {
      const steps = [
        [heard(200, lower[family], 25), false],
        [heard(254, lower[family], 25), true],
        [heard(1, lower[family], 25), false],
      ] as const;
      for (const [event, preempt] of steps)
        assert.deepEqual(step(inBackup, event, now, { preempt }), { state: backupFrom(25), actions: [] });
    });

    test('in Backup goes before a lower priority, if it preempts', () => {
      const event = heard(199, higher[family]);
      assert.deepEqual(step(inBackup, event, now, { preempt: true }), { state: inBackup, actions: [] });
    });

    test('in Backup takes over after the skew alone when the Active one steps down', () => {
      const slow = { ...inBackup, activeInterval: 100 };
      assert.deepEqual(step(slow, heard(0, lower[family])), {
        state: { ...slow, downAt: now + skewTime(200, 100) },
        actions: [],
      });
    });

    test('as Active advertises each interval', () => {
      assert.deepEqual(step(inActive, { name: 'timer' }, 5_049), { state: inActive, actions: [] });
      assert.deepEqual(step(inActive, { name: 'timer' }, 5_051), {
        state: { name: 'active', advertiseAt: 5_151 },
        actions: [advertise(200)],
      });
    });

    test('as Active gives way to a higher priority, and of equal ones to the higher address', () => {
      for (const event of [heard(201, lower[family], 30), heard(200, higher[family], 30)])
        assert.deepEqual(step(inActive, event), { state: backupFrom(30), actions: [release] });
    });

    test('as Active says at once that it is there when a weaker one speaks', () => {
      for (const event of [heard(199, higher[family]), heard(200, lower[family]), heard(200, own[family])])
        assert.deepEqual(step(inActive, event), { state: inActive, actions: [advertise(200)] });
      assert.deepEqual(step(inActive, heard(0, higher[family])), {
        state: { name: 'active', advertiseAt: now + 100 },
        actions: [advertise(200)],
      });
    });

    test('tells that it steps down, and then is nothing', () => {
      assert.deepEqual(step(inActive, { name: 'shutdown' }), {
        state: initialize,
        actions: [advertise(0), release],
      });
      assert.deepEqual(step(inBackup, { name: 'shutdown' }), { state: initialize, actions: [] });
    });
  });
}

/** Routers on a segment whose packets take time, and may be lost: an event queue, and nothing of the real world. */
class Segment {
  readonly routers: readonly { readonly settings: VirtualRouter; state: VrrpState; has: boolean }[];
  now = 0;
  /** Of a packet from one router to another. */
  passes: (from: number, to: number) => boolean = () => true;
  #delay: () => number;
  #flying: { readonly at: number; readonly to: number; readonly event: VrrpEvent }[] = [];

  constructor(all: readonly VirtualRouter[], delay: () => number) {
    this.routers = all.map((settings) => ({ settings, state: initialize, has: false }));
    this.#delay = delay;
  }

  tell(index: number, event: VrrpEvent): void {
    const router = this.routers[index];
    if (router === undefined) return;
    const { state, actions } = vrrpStep(router.settings, router.state, event, this.now);
    router.state = state;
    for (const action of actions) {
      if (action.name !== 'advertise') router.has = action.name === 'take';
      else this.#send(index, action.priority, router.settings);
    }
  }

  #send(from: number, priority: number, { interval, address: source }: VirtualRouter): void {
    for (const to of this.routers.keys()) {
      if (to === from || !this.passes(from, to)) continue;
      const event = { name: 'advertisement', priority, interval, source } as const;
      this.#flying.push({ at: this.now + this.#delay(), to, event });
    }
  }

  /** Lets time pass; `seen` is told the state after each event. */
  until(end: number, seen: () => void = () => {}): void {
    for (;;) {
      const packet = this.#flying.toSorted((a, b) => a.at - b.at)[0];
      const times = this.routers.map(({ state }) => nextTime(state) ?? Number.POSITIVE_INFINITY);
      const [timer, first] = [Math.min(...times), packet?.at ?? Number.POSITIVE_INFINITY];
      if (Math.min(timer, first) > end) break;
      this.now = Math.max(this.now, Math.min(timer, first));
      if (packet !== undefined && first <= timer) {
        this.#flying = this.#flying.filter((other) => other !== packet);
        this.tell(packet.to, packet.event);
      } else this.tell(times.indexOf(timer), { name: 'timer' });
      seen();
    }
    this.now = end;
  }

  get holders(): readonly number[] {
    return this.routers.flatMap(({ has }, i) => (has ? [i] : []));
  }

  get active(): readonly number[] {
    return this.routers.flatMap(({ state }, i) => (state.name === 'active' ? [i] : []));
  }
}

/** Numbers that look random and are the same each time. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const some = fc.record({
  count: fc.integer({ min: 2, max: 5 }),
  seed: fc.nat(),
  loss: fc.integer({ min: 0, max: 60 }),
  preempt: fc.boolean(),
  equal: fc.boolean(),
});

const segmentOf = ({
  count,
  seed,
  preempt,
  equal,
}: {
  count: number;
  seed: number;
  preempt: boolean;
  equal: boolean;
}) => {
  const random = numbers(seed);
  const all = Array.from({ length: count }, (_, i) =>
    settings(4, { priority: equal ? 100 : 254 - 40 * i, address: `192.0.2.${i + 1}`, preempt }),
  );
  return { segment: new Segment(all, () => random() * 5), random };
};

describe('routers on one segment', () => {
  test('that was lossy, or split in whatever way, have exactly one that is Active one interval after it healed', () => {
    fc.assert(
      fc.property(some, (given) => {
        const { segment, random } = segmentOf(given);
        for (const i of segment.routers.keys()) segment.tell(i, { name: 'startup' });
        segment.passes = () => random() * 100 >= given.loss;
        segment.until(3_000);
        segment.passes = (from, to) => from % 2 === to % 2; // a split
        segment.until(6_000);
        segment.passes = (from, to) => from < to; // one way only
        segment.until(9_000);
        segment.passes = () => true;
        segment.until(9_000 + 100 + 10); // an interval, and the way of the packets
        assert.equal(segment.active.length, 1);
        assert.deepEqual(segment.holders, segment.active);
        const [first] = segment.active;
        segment.until(12_000, () => assert.deepEqual(segment.active, [first]));
      }),
    );
  });

  test('replace one that dies within its down interval and theirs, and one that steps down within the skew', () => {
    fc.assert(
      fc.property(some, ({ loss: _, ...given }) => {
        const { segment } = segmentOf(given);
        for (const i of segment.routers.keys()) segment.tell(i, { name: 'startup' });
        segment.until(2_000);
        const [first = -1] = segment.active;
        segment.tell(first, { name: 'shutdown' });
        segment.until(2_000 + 100 + 10);
        assert.equal(segment.active.length, 1);
        assert.notDeepEqual(segment.active, [first]);
        const [second = -1] = segment.active;
        segment.passes = (from, to) => from !== second && to !== second; // dead, for the others
        segment.until(2_110 + 450);
        assert.equal(segment.active.filter((i) => i !== second).length, given.count > 2 ? 1 : 0);
      }),
    );
  });

  test('are not disturbed by one that comes back, unless it preempts', () => {
    fc.assert(
      fc.property(some, ({ loss: _, ...given }) => {
        const { segment } = segmentOf(given);
        for (const i of segment.routers.keys()) segment.tell(i, { name: 'startup' });
        segment.until(2_000);
        const [first = -1] = segment.active;
        segment.tell(first, { name: 'shutdown' });
        segment.until(3_000);
        const [second = -1] = segment.active;
        segment.tell(first, { name: 'startup' });
        segment.until(5_000);
        assert.deepEqual(segment.active, [given.preempt && !given.equal ? first : second]);
      }),
    );
  });
});
