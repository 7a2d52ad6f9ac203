import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { instance, pair, shared, World } from './segment.ts';

describe('two gateways on a segment', () => {
  test('have one that holds all addresses and has announced them: the first of the list', async () => {
    const { world, first, second } = await pair();
    await world.pass(1_000);
    assert.deepEqual([[...first.addresses], [...second.addresses]], [shared, []]);
    assert.deepEqual([first.router.state, second.router.state], ['active', 'backup']);
    assert.deepEqual(first.announced.slice(0, 2), shared);
    assert.equal(first.router.why, 'no other gateway spoke');
    assert.equal(second.router.other?.source, first.source);
    assert.equal(second.asked.length, 0, 'nobody asks while advertisements come');
  });

  test('hand over when one ends: the other has the addresses before they are taken away, within a tenth of a second', async () => {
    const { world, first, second } = await pair();
    let isOver = false;
    void first.elections.stop('it ends').then(() => {
      isOver = true;
    });
    for (let i = 0; i < 100; i++) {
      await world.pass(1);
      assert.ok(world.holders.length > 0);
    }
    assert.deepEqual([isOver, world.holders], [true, [second]]);
    assert.equal(second.router.why, 'the gateway before it stepped down');
    assert.deepEqual(second.asked, []);
    assert.deepEqual(second.router.duplicates, []);
  });

  test('leave everything as it is when the only one that is left ends', async () => {
    const { world, first, second } = await pair();
    void second.elections.stop('it ends');
    await world.pass(10);
    let isOver = false;
    void first.elections.stop('it ends').then(() => {
      isOver = true;
    });
    await world.pass(600);
    assert.deepEqual([isOver, world.holders, [...first.addresses]], [true, [first], shared]);
  });

  test('take the addresses from a node that is gone', async () => {
    const { world, first, second } = await pair();
    first.isAlive = false;
    first.isPlugged = false;
    await world.pass(350);
    assert.equal(second.router.state, 'active');
    assert.equal(second.router.why, 'the gateway before it fell silent');
    assert.ok(second.asked.length > 10);
  });

  test('leave the addresses with a node whose program hangs or is dead, while its kernel answers for them', async () => {
    const { world, first, second } = await pair();
    first.isAlive = false;
    await world.pass(60_000);
    assert.deepEqual([second.router.state, second.router.silent, world.holders], ['backup', first.mac, [first]]);
    first.resume();
    await world.pass(1_000);
    assert.deepEqual([first.router.state, second.router.state, second.router.silent], ['active', 'backup', undefined]);
    assert.match(first.router.why, /spoke|fell silent/);
    assert.deepEqual([second.router.transitions, second.addresses.size], [0, 0]);
  });

  test('take them as soon as that kernel does not answer either', async () => {
    const { world, first, second } = await pair();
    first.isAlive = false;
    await world.pass(5_000);
    first.isPlugged = false;
    await world.pass(300);
    assert.equal(second.router.state, 'active');
  });

  test('ask for the address a third as often when that has gone on for long, and take it as soon', async () => {
    const { world, first, second } = await pair();
    first.isAlive = false;
    await world.pass(10_000);
    const before = second.asked.length;
    await world.pass(10_000);
    assert.ok(Math.abs(second.asked.length - before - 10_000 / 30) < 5, `${second.asked.length - before} questions`);
    for (let more = 0; more < 100; more++) {
      await world.pass(100 + more); // at another time between two looks each time
      const asked = second.asked.length;
      world.passes = (from) => from !== first;
      await world.pass(118); // and the last answer is 30 ms older at most
      assert.equal(second.router.state, 'backup');
      assert.ok(second.asked.length - asked >= 8, `${second.asked.length - asked} questions`);
      world.passes = () => true;
    }
    world.passes = (from) => from !== first;
    await world.pass(251);
    assert.equal(second.router.state, 'active');
  });

  test('leave the addresses with a silent node while a fifth of all packets is lost, for ten minutes', async () => {
    const { world, first, second } = await pair();
    first.isAlive = false;
    let dice = 1;
    world.passes = () => {
      dice = (dice * 48_271) % 0x7fffffff;
      return dice % 5 !== 0;
    };
    await world.pass(600_000);
    assert.deepEqual([second.router.state, second.router.transitions, world.holders], ['backup', 0, [first]]);
  });

  test('let one that begins anew go on with the addresses that it finds, and give them up to another', async () => {
    const { world, first, second } = await pair();
    first.isAlive = false;
    await world.pass(1_000);
    first.restart();
    void first.elections.want([instance(254)]);
    for (let i = 0; i < 10; i++) {
      await world.pass(100);
      assert.deepEqual(world.holders, [first]);
    }
    assert.equal(first.router.state, 'active');
    first.isAlive = false;
    first.isPlugged = false;
    await world.pass(1_000);
    first.isPlugged = true;
    first.restart();
    void first.elections.want([instance(254)]);
    await world.pass(1_000);
    assert.deepEqual([first.router.state, world.holders], ['backup', [second]]);
  });

  test('have one holder again after a split, which announces itself over the other', async () => {
    const { world, first, second } = await pair();
    await world.pass(6_000); // until it has announced itself as often as it does
    world.passes = () => false;
    await world.pass(2_000);
    assert.deepEqual(world.holders, [first, second]);
    first.announced.length = 0;
    world.passes = () => true;
    await world.pass(101);
    assert.deepEqual(world.holders, [first]);
    await world.pass(200);
    assert.ok(first.announced.length >= 4, 'at once, and behind the last word of the other');
    const before = first.announced.length;
    await world.pass(10_000);
    assert.equal(first.announced.length, before);
  });

  test('do not change while a fifth of all packets is lost, for ten minutes', async () => {
    const { world, first, second } = await pair();
    let state = 1;
    world.passes = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32 >= 0.2;
    };
    await world.pass(600_000);
    assert.deepEqual([first.router.transitions, second.router.transitions], [1, 0]);
    assert.ok(second.asked.length > 0);
  });

  test('step down for an interface that it takes to serve, and come back without disturbing', async () => {
    const world = new World();
    const [first, second] = [world.station(), world.station()];
    void first.elections.want([instance(254, { needs: ['eth0'] })]);
    void second.elections.want([instance(206)]);
    await world.pass(1_000);
    first.down.add('eth0');
    void first.elections.look();
    await world.pass(100);
    assert.deepEqual(world.holders, [second]);
    assert.equal(first.router.why, 'interface eth0 is gone, down or without a carrier');
    first.down.clear();
    void first.elections.look();
    await world.pass(1_000);
    assert.deepEqual([first.router.state, world.holders], ['backup', [second]]);
  });

  test('put back an address that somebody took, and announce it', async () => {
    const { world, first } = await pair();
    first.addresses.delete('192.0.2.34');
    first.announced.length = 0;
    void first.elections.look();
    await world.pass(10);
    assert.deepEqual([[...first.addresses], first.announced], [shared, shared]);
  });

  test('lose the addresses with their interface', async () => {
    const { world, first, second } = await pair();
    first.isPlugged = false;
    void first.elections.look();
    await world.pass(400);
    assert.deepEqual(world.holders, [second]);
    assert.match(first.router.why, /no carrier/);
  });

  test('follow what is configured: other addresses at once, and none of an exit that is gone', async () => {
    const { world, first } = await pair();
    void first.elections.want([instance(254, { addresses: ['192.0.2.34', '192.0.2.35'] })]);
    await world.pass(10);
    assert.deepEqual([...first.addresses], ['192.0.2.34', '192.0.2.35']);
    void first.elections.want([]);
    await world.pass(1_000);
    assert.equal(first.addresses.size, 0);
    assert.deepEqual(first.elections.status, { isReady: true, routers: [], bad: [] });
  });
});

describe('what others send', () => {
  test('with our number and other addresses is counted and named, and moves nothing', async () => {
    const { world, first, second } = await pair();
    const addresses = ['192.0.2.77'];
    const said = { vrid: 51, priority: 255, interval: 10, addresses };
    for (let i = 0; i < 100; i++) for (const each of [first, second]) each.hear(said, '192.0.2.9', 4);
    await world.pass(1_000);
    for (const { router } of [first, second]) {
      assert.deepEqual(router.foreign, [{ source: '192.0.2.9', addresses }]);
      assert.equal(router.bad.foreign, 100);
    }
    assert.deepEqual([first.router.state, second.router.state], ['active', 'backup']);
  });

  test('with another list that has an address of ours is counted, and heard', async () => {
    const { world, first } = await pair();
    first.hear({ vrid: 51, priority: 255, interval: 10, addresses: ['192.0.2.33'] }, '192.0.2.9', 4);
    await world.pass(1);
    assert.deepEqual([first.router.state, first.router.bad.addresses], ['backup', 1]);
  });

  test('with another number is not for us', async () => {
    const { first } = await pair();
    first.hear({ vrid: 52, priority: 255, interval: 10, addresses: shared }, '192.0.2.9', 4);
    assert.deepEqual([first.router.state, first.router.bad.foreign], ['active', 0]);
  });

  test('to say that it has an address of ours is named, and announced against at most once in a second', async () => {
    const { world, first } = await pair();
    await world.pass(10_000);
    first.announced.length = 0;
    for (let i = 0; i < 200; i++) {
      first.hearClaim('192.0.2.33', '02:00:00:00:00:99');
      await world.pass(10);
    }
    const [duplicate] = first.router.duplicates;
    assert.deepEqual([duplicate?.address, duplicate?.mac], ['192.0.2.33', '02:00:00:00:00:99']);
    assert.equal(first.announced.length, 2 * 2 * shared.length);
    assert.equal(first.router.state, 'active');
    for (let i = 0; i < 1000; i++) first.hearClaim('192.0.2.33', `02:00:00:00:${i >> 8}:${i & 255}`);
    assert.equal(first.router.duplicates.length, 16);
  });

  test('as Backup does not take over when it was held up itself: others may have spoken meanwhile', async () => {
    const { world, first, second } = await pair();
    second.isAlive = false;
    await world.pass(2_000);
    second.resume();
    await world.pass(500);
    assert.deepEqual([world.holders, second.router.transitions], [[first], 0]);
    first.isPlugged = false;
    await world.pass(500);
    assert.equal(second.router.state, 'active');
  });

  test('as Backup listens by another socket when the holder answers, and its own socket hears nothing', async () => {
    const { world, first, second } = await pair();
    await world.pass(1_000);
    second.isDeaf = true;
    await world.pass(5_000);
    assert.deepEqual([second.isDeaf, second.router.silent, world.holders], [false, undefined, [first]]);
    assert.equal(second.router.transitions, 0);
  });

  test('takes the addresses from a weaker one that speaks and answers, when it preempts', async () => {
    const world = new World();
    const [first, second] = [world.station(), world.station()];
    void second.elections.want([instance(206, { preempt: true })]);
    await world.pass(1_000);
    assert.deepEqual(world.holders, [second]);
    void first.elections.want([instance(254, { preempt: true })]);
    await world.pass(1_000);
    assert.deepEqual([world.holders, first.router.transitions], [[first], 1]);
  });
});
