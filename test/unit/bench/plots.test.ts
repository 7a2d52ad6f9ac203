import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Figures } from '../../bench/figures.ts';
import { plotsOf } from '../../bench/plots.ts';
import { type Plot, svgOf, widthOf, wrapped } from '../../bench/svg.ts';
import { add, agent, allParts, failover, partOf, start, throughput, tunnel } from './results.ts';

const named = (name: string, results = allParts): Figures => {
  const found = plotsOf(results).find((each) => each.name === name);
  assert.ok(found, name);
  return found;
};
const rowsOf = ({ plot }: Figures, panel = 0) =>
  (plot.panels[panel]?.rows ?? []).map(({ name, value }) => [name, value]);

describe('plots', () => {
  test('are drawn of the parts that were measured', () => {
    const names = (...results: typeof allParts) => plotsOf(results).map(({ name }) => name);
    assert.deepEqual(names(...allParts), ['start', 'add', 'traffic', 'failover', 'agent']);
    assert.deepEqual(names(), []);
    assert.deepEqual(names(partOf('pods')), []);
    assert.deepEqual(names(tunnel), ['traffic']);
    assert.deepEqual(names(failover, start), ['start', 'failover']);
  });

  test('of the start show ratios, an earlier build as a stroke', () => {
    const figures = named('start');
    assert.deepEqual(rowsOf(figures), [
      ['an empty binary', '1.10'],
      ['VERSION', '1.50 (1.70)'],
      ['ADD', '2.00 (3.50)'],
    ]);
    assert.deepEqual(figures.plot.panels[0]?.rows[2]?.marks, [{ shape: 'tick', at: 3.5 }]);
    assert.deepEqual(rowsOf(figures, 1)[2], ['ADD', '2.50 (3.50)']);
    assert.match(figures.words, /in brackets: an earlier build\): VERSION 1\.50 \(1\.70\), ADD 2\.00 \(3\.50\)\./);
  });

  test('of ADD and DEL show each plugin from the fewest pods to the most', () => {
    const figures = named('add', [add]);
    assert.deepEqual(rowsOf(figures, 1), [
      ['portmap', '60 → 600'],
      ['nft and ip by hand', '16 → 18'],
      ['egress', '200 → 198'],
      ['egress, pod without a policy', '140 → 142'],
      ['empty Node', '80 → 82'],
    ]);
    assert.match(figures.words, /from 0 pods to 1000 pods .* steered 100 → 99, .* portmap by iptables 30 → 300, /);
  });

  test('of traffic name what each ratio is to', () => {
    assert.deepEqual(rowsOf(named('traffic', [throughput, tunnel]), 2), [
      ['steered : masquerade', '0.80'],
      ['… 10,000 more pods', '0.80'],
      ['beside : masquerade', '0.90'],
      ['… 10,000 more pods', '0.90'],
      ['nftables : iptables', '1.01'],
      ['tunnel : bare VXLAN', '0.70'],
      ['direct : bare VXLAN', '0.75'],
    ]);
    const { run } = throughput;
    const later = { ...tunnel, run: { ...run, load: { before: 7, after: 7 } } };
    assert.match(
      named('traffic', [throughput, later]).plot.foot,
      /^2 January 2026, commit abcdef0, .*, load before 0\.1 and 7\.$/,
    );
    const other = { ...tunnel, run: { ...run, commit: 'fffffff' } };
    assert.match(named('traffic', [throughput, other]).plot.foot, /load before 0\.1; 2 January 2026, commit fffffff/);
    const { words } = named('traffic', [tunnel]);
    assert.match(
      words,
      /^TCP, one stream; TCP, new connections; UDP, 64 bytes: through a gateway 0\.70, 0\.70, 0\.70 of /,
    );
    assert.ok(!words.includes('masqueraded'));
  });

  test('of failover have keepalived below the fault that it had, too', () => {
    const figures = named('failover');
    assert.deepEqual(rowsOf(figures), [
      ['cables are out', '100 / 400 / 400'],
      ['keepalived, the same', '3100 / 3600 / 3600'],
      ['agent is told to stop', '100 / 400 / 400'],
      ['agent is killed', '100 / 400 / 400'],
    ]);
    assert.match(figures.words, /^9 faults of 3 kinds: 0 packets with another source, 3 of 900 connections lost\./);
  });

  test('of the agent show ADD, a flushed ruleset and memory', () => {
    const figures = named('agent', [agent]);
    assert.deepEqual(
      [0, 1, 2].map((panel) => rowsOf(figures, panel)[0]),
      [
        ['no agent', '100 / 110'],
        ['all is back', '150 / 160'],
        ['local exits', '30.0'],
      ],
    );
    assert.match(figures.words, /^At rest 0\.00 % of a core, of a gateway 0\.25 %\. .*: 8\.00 s, 8\.0 ms for each\./);
  });
});

describe('a picture', () => {
  for (const { name, plot } of plotsOf(allParts)) {
    const svg = svgOf(plot);
    const height = Number(/height="(\d+)"/.exec(svg)?.[1]);

    test(`of ${name} says to whoever does not see it what it shows`, () => {
      assert.match(
        svg,
        /role="img" aria-labelledby="title words">\s*<title id="title">[^<]+<\/title>\s*<desc id="words">[^<]+</,
      );
      for (const { rows } of plot.panels)
        for (const row of rows) assert.ok(plot.description.includes(`${row.name} ${row.value}`), row.name);
    });

    test(`of ${name} has colours for light and dark pages`, () => {
      assert.match(svg, /@media \(prefers-color-scheme: dark\)/);
    });

    test(`of ${name} has all within its frame, and nothing over another`, () => {
      const texts = [...svg.matchAll(/<text(?: class="([^"]*)")? x="([\d.]+)" y="([\d.]+)">([^<]*)</g)].map(
        ([, classes = '', x, y, words = '']) => {
          const width = widthOf(words, classes.includes('small') ? 16 : classes.includes('head') ? 24 : 20);
          const left = classes.includes('end') ? Number(x) - width : Number(x);
          return { words, left, right: left + width, y: Number(y) };
        },
      );
      assert.ok(texts.length > 8);
      for (const { words, left, right, y } of texts)
        assert.ok(left >= 0 && right <= 720 && y > 20 && y < height - 8, words);
      for (const [i, one] of texts.entries())
        for (const other of texts.slice(i + 1))
          if (Math.abs(one.y - other.y) < 16)
            assert.ok(one.right < other.left || other.right < one.left, `${one.words} | ${other.words}`);
      const bars = [...svg.matchAll(/<rect class="(?:ours|other)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g)];
      const circles = [...svg.matchAll(/ cx="([\d.]+)"/g)];
      assert.ok(bars.length + circles.length > 0);
      const names = texts.filter(({ left }) => left === 24 && left < 300);
      const left = Math.max(...plot.panels.flatMap(({ rows }) => rows.map((row) => 24 + widthOf(row.name))));
      const right = Math.min(...plot.panels.flatMap(({ rows }) => rows.map((row) => 696 - widthOf(row.value))));
      assert.ok(names.length > 0 && right - left > 150, `only ${right - left} for the bars`);
      for (const [, x, width = '0'] of [...bars, ...circles])
        assert.ok(Number(x) >= left && Number(x) + Number(width) <= right);
    });
  }

  const bare: Plot = { title: 'a < b & c', words: '', description: 'd > e', panels: [], foot: '' };

  test('is XML, whatever its words are', () => {
    assert.match(svgOf(bare), /<title id="title">a &lt; b &amp; c<\/title>\s*<desc id="words">d &gt; e<\/desc>/);
  });

  test('has bars as long as their numbers, from nothing', () => {
    const row = (name: string, bar: number) => ({ name, isOurs: true, bar, marks: [], value: '' });
    const rows = [row('a', 1), row('b', 2), row('c', 4)];
    const svg = svgOf({ ...bare, panels: [{ title: '', legend: '', reference: 2, rows }] });
    const [a = 0, b = 0, c = 0] = [...svg.matchAll(/<rect class="ours" .*? width="([\d.]+)"/g)].map(([, width]) =>
      Number(width),
    );
    assert.ok(Math.abs(b - 2 * a) < 0.5 && Math.abs(c - 4 * a) < 0.5, `${a} ${b} ${c}`);
    const [, start = 0] = (/<rect class="ours" x="([\d.]+)"/.exec(svg) ?? []).map(Number);
    const [, line] = (/class="one" d="M([\d.]+) /.exec(svg) ?? []).map(Number);
    assert.equal(line, Math.round((start + b) * 10) / 10);
  });

  test('breaks lines between words', () => {
    assert.deepEqual(wrapped('one two three', 7), ['one two', 'three']);
    assert.deepEqual(wrapped('a-very-long-word b', 4), ['a-very-long-word', 'b']);
    assert.deepEqual(wrapped('', 4), []);
  });
});
