import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Bell, lastGood, pauses, watch } from '../../../src/loop/watch.ts';

/** A watch whose clock is the test's, with the looks that it began and the errors that it reported. */
class Watched {
  readonly bell = new Bell();
  readonly reported: string[] = [];
  readonly #context: TestContext;
  readonly #controller = new AbortController();
  readonly #finished: Promise<void>;
  looks = 0;
  /** Of each look, whether somebody rang before it. */
  readonly rung: boolean[] = [];
  isOver = false;

  constructor(context: TestContext, look: (watched: Watched) => void | Promise<void> = () => {}, rest?: number) {
    this.#context = context;
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const once = async (isRung: boolean) => {
      this.looks++;
      this.rung.push(isRung);
      await look(this);
    };
    const report = (error: unknown) => this.reported.push((error as Error).message);
    const { bell } = this;
    const own = rest === undefined ? {} : { rest };
    this.#finished = watch({ look: once, report, bell, signal: this.#controller.signal, ...own }).then(() => {
      this.isOver = true;
    });
    context.after(() => this.end());
  }

  /** Lets time pass in steps, so that a pause which begins meanwhile is part of it. */
  async pass(milliseconds: number): Promise<void> {
    await settled();
    for (let left = milliseconds; left > 0; left -= 10) {
      this.#context.mock.timers.tick(Math.min(10, left));
      await settled();
    }
  }

  stop(): void {
    this.#controller.abort();
  }

  async end(): Promise<void> {
    this.stop();
    await this.#finished;
  }
}

/** After all that promises alone can do. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

const failing = (message: string) => () => {
  throw new Error(message);
};

describe('a watch', () => {
  test('looks at the start, and not again while nothing rings', async (t) => {
    const watched = new Watched(t);
    await watched.pass(pauses.idle - 100);
    assert.equal(watched.looks, 1);
  });

  test('looks again after the idle while, for what changes without a message', async (t) => {
    const watched = new Watched(t);
    await watched.pass(pauses.idle + 2 * pauses.rest);
    assert.equal(watched.looks, 2);
  });

  test('tells a look whether somebody rang, before it or during the one before', async (t) => {
    const watched = new Watched(t, ({ looks, bell }) => {
      if (looks === 3) bell.ring();
      if (looks === 5) throw new Error('failed');
    });
    await watched.pass(pauses.rest + pauses.idle);
    watched.bell.ring();
    await watched.pass(2 * pauses.rest);
    assert.deepEqual(watched.rung, [true, false, true, true]);
    await watched.pass(pauses.idle + pauses.retry + pauses.rest + pauses.idle);
    assert.deepEqual(watched.rung.slice(4), [false, true]);
  });

  test('looks once for a burst of rings, as soon as the first rings', async (t) => {
    const watched = new Watched(t);
    await watched.pass(pauses.rest);
    for (let i = 0; i < 1000; i++) watched.bell.ring();
    await watched.pass(0);
    assert.equal(watched.looks, 2);
    await watched.pass(1_000);
    assert.equal(watched.looks, 2);
  });

  test('looks once more when it rings during a look, which may have missed it', async (t) => {
    const watched = new Watched(t, ({ looks, bell }) => {
      if (looks === 1) bell.ring();
    });
    await watched.pass(pauses.rest);
    assert.equal(watched.looks, 2);
    await watched.pass(1_000);
    assert.equal(watched.looks, 2);
  });

  test('rests between looks, however often it rings', async (t) => {
    const watched = new Watched(t, ({ bell }) => bell.ring());
    await watched.pass(1_000);
    assert.equal(watched.looks, 1 + 1_000 / pauses.rest);
  });

  test('looks at one thing at a time', async (t) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const watched = new Watched(t, () => promise);
    await watched.pass(0);
    watched.bell.ring();
    await watched.pass(1_000);
    assert.equal(watched.looks, 1);
    resolve();
  });
});

describe('a watch that rests longer', () => {
  test('looks again when that is over, and at once when the ring is urgent', async (t) => {
    const watched = new Watched(t, () => {}, 1_000);
    watched.bell.ring();
    await watched.pass(990);
    assert.equal(watched.looks, 1);
    await watched.pass(10);
    assert.equal(watched.looks, 2);
    watched.bell.ringAtOnce();
    await watched.pass(pauses.rest);
    assert.equal(watched.looks, 3);
  });
});

describe('a look that fails', () => {
  test('is tried again when it rings, after a longer rest', async (t) => {
    const watched = new Watched(t, failing('eth1 is down'));
    watched.bell.ring();
    await watched.pass(pauses.retry - 10);
    assert.equal(watched.looks, 1);
    await watched.pass(10);
    assert.equal(watched.looks, 2);
  });

  test('is tried again after the idle while', async (t) => {
    const watched = new Watched(t, failing('eth1 is down'));
    await watched.pass(pauses.retry + pauses.idle);
    assert.equal(watched.looks, 2);
  });

  test('is reported once for each message', async (t) => {
    const watched = new Watched(t, ({ looks, bell }) => {
      bell.ring();
      failing(looks % 2 === 0 ? 'eth1 is down' : 'eth1 has no address')();
    });
    await watched.pass(10 * pauses.retry);
    assert.deepEqual(watched.reported, ['eth1 has no address', 'eth1 is down']);
  });

  test('is reported again when all was well meanwhile', async (t) => {
    const watched = new Watched(t, ({ looks, bell }) => {
      bell.ring();
      if (looks !== 2) failing('eth1 is down')();
    });
    await watched.pass(5 * pauses.retry);
    assert.deepEqual(watched.reported, ['eth1 is down', 'eth1 is down']);
  });
});

describe('the end of a watch', () => {
  for (const [when, milliseconds] of [
    ['while it rests', 0],
    ['while nothing happens', 10_000],
  ] as const) {
    test(`comes at once ${when}`, async (t) => {
      const watched = new Watched(t);
      await watched.pass(milliseconds);
      watched.stop();
      await settled();
      assert.equal(watched.isOver, true);
      assert.equal(watched.looks, 1);
    });
  }

  test('waits for the look that has begun', async (t) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const watched = new Watched(t, () => promise);
    watched.stop();
    await settled();
    assert.equal(watched.isOver, false);
    resolve();
    await settled();
    assert.equal(watched.isOver, true);
  });

  test('that came before the first look leaves nothing to look at', async () => {
    let looks = 0;
    const look = async () => {
      looks++;
    };
    await watch({ look, report: () => {}, bell: new Bell(), signal: AbortSignal.abort() });
    assert.equal(looks, 0);
  });
});

describe('the last good reading', () => {
  /** Readings, one after the other; an error is thrown. */
  const reading = (...given: readonly (string | Error)[]) => {
    const [left, reported] = [[...given], [] as string[]];
    const read = () => {
      const next = left.shift();
      if (next instanceof Error) throw next;
      return next;
    };
    return { reported, current: () => lastGood(read, (error) => reported.push((error as Error).message)) };
  };

  test('is the newest while readings succeed', () => {
    const current = reading('first', 'second', 'third').current();
    assert.deepEqual([current(), current()], ['second', 'third']);
  });

  test('stays in force while readings fail, and each error is reported once', () => {
    const { current: open, reported } = reading('good', new Error('a'), new Error('a'), new Error('b'), 'better');
    const current = open();
    assert.deepEqual([current(), current(), current(), current()], ['good', 'good', 'good', 'better']);
    assert.deepEqual(reported, ['a', 'b']);
  });

  test('is needed to begin with', () => {
    assert.throws(() => reading(new Error('no file')).current(), /no file/);
  });
});
