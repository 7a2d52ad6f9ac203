import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  ask,
  beginProbe,
  choice,
  configured,
  heard,
  hint,
  isSilent,
  type Probe,
  defaultTiming as timing,
  using,
} from '../../../src/election/probe.ts';

const [first, second, third] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'] as const;
const exit = { exit: 'internet', gateways: [first, second, third], inUse: first };

/** A gateway answers when it holds the address at the time. */
type Holders = (time: number) => readonly string[];

interface Run {
  readonly probe: Probe;
  readonly moves: readonly { readonly at: number; readonly to: string }[];
  readonly questions: readonly { readonly at: number; readonly gateways: readonly string[] }[];
}

/** Asks from 0 to `until`. Answers come in at once, unless `isLost` says so. */
function run(until: number, holders: Holders, isLost: (n: number) => boolean = () => false): Run {
  let probe = beginProbe(exit, 0);
  const [moves, questions]: [{ at: number; to: string }[], { at: number; gateways: readonly string[] }[]] = [[], []];
  let n = 0;
  for (let now = 0; now <= until; now = Math.max(now + 0.1, probe.dueAt)) {
    const asked = ask(probe, timing, now, 0.5);
    probe = asked.probe;
    questions.push({ at: now, gateways: asked.gateways });
    const held = holders(now);
    for (const gateway of asked.gateways) {
      if (held.includes(gateway) && !isLost(n++)) probe = heard(probe, gateway, probe.question);
    }
    const to = choice(probe, timing);
    if (to === undefined) continue;
    probe = using(probe, to);
    moves.push({ at: now, to });
  }
  return { probe, moves, questions };
}

describe('a node that asks the gateways of an exit', () => {
  test('asks only the gateway in use, ten times a second, while it answers', () => {
    const { moves, questions } = run(1000, () => [first]);
    assert.deepEqual(moves, []);
    assert.equal(questions.length, 11);
    assert.ok(questions.every(({ gateways }) => gateways.length === 1 && gateways[0] === first));
  });

  test('asks all after three questions without an answer, of which the last follow fast, and uses the one that answers', () => {
    const { moves, questions, probe } = run(1500, (time) => (time < 500 ? [first] : time < 850 ? [] : [third]));
    const asked = questions.filter(({ at }) => at > 450).map(({ at }) => Math.round(at));
    assert.deepEqual(asked.slice(0, 5), [500, 600, 625, 650, 675]);
    const all = questions.find(({ gateways }) => gateways.length === 3);
    assert.ok(all && all.at >= 649 && all.at <= 651, JSON.stringify(all));
    assert.equal(moves.length, 1);
    assert.equal(moves[0]?.to, third);
    assert.ok((moves[0]?.at ?? 0) >= 850 && (moves[0]?.at ?? 0) <= 876, JSON.stringify(moves));
    assert.equal(isSilent(probe, timing), false);
    assert.equal(probe.inUse, third);
  });

  test('stays where it is while nobody answers, asks less often after a second, and takes the first who does', () => {
    const { moves, questions, probe } = run(60_000, () => []);
    assert.deepEqual(moves, []);
    assert.equal(isSilent(probe, timing), true);
    const late = questions.filter(({ at }) => at > 10_000 && at <= 20_000);
    assert.equal(late.length, 100);
    const again = run(60_000, (time) => (time > 30_000 ? [second] : []));
    assert.equal(again.moves.length, 1);
    assert.ok((again.moves[0]?.at ?? 0) <= 30_100, JSON.stringify(again.moves));
  });

  test('stays with the gateway that it uses when another holds the address, too', () => {
    assert.deepEqual(run(5000, () => [second, first]).moves, []);
  });

  test('does not move for lost answers when nobody else holds the address', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 400, maxLength: 400 }), (dice) => {
        // 36 of 100: a fifth is lost on each way.
        const { moves } = run(
          20_000,
          () => [first],
          (n) => (dice[n % dice.length] ?? 0) < 36,
        );
        assert.deepEqual(moves, []);
      }),
      { numRuns: 50 },
    );
  });

  // The README of src/election has the worst case: a gateway that ends just behind an answer is found missing that long after.
  test('looks for another gateway 275 ms after the last answer at the latest, before any other can have the address', () => {
    const { interval, search, misses, jitter } = timing;
    const latest = (1 + jitter) * (2 * interval + (misses - 1) * search);
    assert.equal(Math.round(latest), 275);
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 8, maxLength: 8 }), (dice) => {
        const begun = ask(beginProbe(exit, 0), timing, 0, dice[0] ?? 0).probe;
        let probe = heard(begun, first, 1);
        let [at, gateways]: [number, readonly string[]] = [0, []];
        for (let n = 1; gateways.length < 3; n++) {
          at = probe.dueAt;
          ({ probe, gateways } = ask(probe, timing, at, dice[n] ?? 0));
        }
        assert.ok(at <= latest + 1e-6, `${at}`);
      }),
    );
  });

  test('does not take a gateway for silent that is far away, and asks it as often as one that is near', () => {
    for (const delay of [1, 60, 95, 105, 150, 205, 250]) {
      let probe = beginProbe(exit, 0);
      let [asked, silent] = [0, 0];
      const coming: { readonly at: number; readonly question: number }[] = [];
      for (let now = 0; now < 10_000; now = probe.dueAt) {
        while ((coming[0]?.at ?? now) < now) probe = heard(probe, first, coming.shift()?.question ?? 0);
        probe = ask(probe, timing, now, 0.5).probe;
        coming.push({ at: now + delay, question: probe.question });
        asked++;
        if (now > 1_000 && isSilent(probe, timing)) silent++;
      }
      assert.deepEqual([silent, asked <= 110], [0, true], `${delay} ms: ${silent} times silent, ${asked} questions`);
    }
  });

  test('takes no answer twice, none to a question that it did not ask, and none that is older than what it knows', () => {
    const asked = ask(ask(beginProbe(exit, 0), timing, 0, 0.5).probe, timing, 100, 0.5).probe;
    const known = heard(asked, first, 2);
    assert.equal(heard(known, first, 2), known);
    assert.equal(heard(known, first, 1), known);
    assert.equal(heard(known, first, 3), known);
  });

  test('forgets gateways that the configuration has no more, and keeps what it knows of the others', () => {
    const known = heard(heard({ ...beginProbe(exit, 0), question: 4 }, first, 4), second, 3);
    const changed = configured(known, { ...exit, gateways: [first, third] }, 50);
    assert.deepEqual([...changed.answered], [[first, 4]]);
    assert.equal(changed.question, 4);
    assert.deepEqual(configured(undefined, exit, 50), beginProbe(exit, 50));
  });

  test('goes by no answer from before, when others have chosen the gateway in use', () => {
    const before = heard({ ...beginProbe(exit, 0), question: 5 }, first, 5);
    const chosen = configured(before, { ...exit, inUse: second }, 50);
    const late = heard(ask(chosen, timing, 50, 0.5).probe, first, 5);
    assert.deepEqual([isSilent(late, timing), choice(late, timing)], [false, undefined]);
    const silent = [1, 2].reduce((probe) => ask(probe, timing, 100, 0.5).probe, late);
    assert.deepEqual([isSilent(silent, timing), choice(silent, timing)], [true, undefined]);
    assert.equal(choice(heard(silent, first, 8), timing), first);
  });

  describe('when a gateway hints that an address moves', () => {
    const begun = (): Probe => heard(ask(beginProbe(exit, 0), timing, 0, 0.5).probe, first, 1);
    /** Asks as often as it is due until then, and gets the answers of who holds the address. */
    const asked = (probe: Probe, from: number, until: number, holders: Holders) => {
      let [now, gateways]: [number, readonly string[]] = [from, []];
      const moves: { readonly at: number; readonly to: string }[] = [];
      for (let next = probe; ; probe = next) {
        now = Math.max(now, probe.dueAt);
        if (now > until) return { probe, moves, gateways };
        ({ probe: next, gateways } = ask(probe, timing, now, 0.5));
        for (const gateway of gateways) if (holders(now).includes(gateway)) next = heard(next, gateway, next.question);
        const to = choice(next, timing);
        if (to !== undefined) moves.push({ at: now, to });
        if (to !== undefined) next = using(next, to);
      }
    };

    test('asks all at once, and follows the address within three hundredths of a second', () => {
      const holders: Holders = (time) => (time < 120 ? [first] : [second]);
      const { moves, probe } = asked(hint(begun(), timing, 90), 90, 300, holders);
      assert.deepEqual(
        moves.map(({ to }) => to),
        [second],
      );
      assert.ok((moves[0]?.at ?? 0) <= 150, JSON.stringify(moves));
      assert.equal(isSilent(probe, timing), false);
    });

    test('does not believe it: the gateway in use stays while it answers, and while nobody does', () => {
      for (const holders of [[first], [], [first, second]]) {
        const { moves, probe } = asked(hint(begun(), timing, 50), 50, 5_000, () => holders);
        assert.deepEqual([moves, isSilent(probe, timing)], [[], !holders.includes(first)]);
      }
    });

    test('is not silent for the questions that are on their way', () => {
      let probe = hint(begun(), timing, 50);
      for (let now = 50; now < 250; now += 10) ({ probe } = ask(probe, timing, now, 0.5));
      assert.equal(isSilent(probe, timing), false);
    });

    test('is led to no more than some questions by hints that do not end', () => {
      let [probe, questions] = [begun(), 0];
      for (let now = 0; now < 6_000; now++) {
        probe = hint(probe, timing, now);
        if (probe.dueAt > now) continue;
        ({ probe } = ask(probe, timing, now, 0.5));
        probe = heard(probe, first, probe.question);
        questions++;
      }
      assert.ok(questions < (6_000 / timing.hintRest) * (timing.hinted / timing.hurry + 5), `${questions}`);
    });
  });

  test('pauses differ by the jitter, and no more', () => {
    const pause = (random: number) =>
      ask(heard({ ...beginProbe(exit, 0), question: 1 }, first, 1), timing, 0, random).probe.dueAt;
    assert.deepEqual([pause(0), pause(0.5), pause(1)].map(Math.round), [90, 100, 110]);
  });
});
