import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { PolicyDocument } from '../../../src/config/schema.ts';
import { type EgressMap, mapOf } from '../../../src/report/map.ts';
import { layoutOf, type PlacedBox } from '../../../src/report/map-layout.ts';
import { mermaidOf } from '../../../src/report/map-mermaid.ts';
import { svgOf } from '../../../src/report/map-svg.ts';
import { readStatusText } from '../../../src/report/status-schema.ts';
import { configuration } from '../support/fake-machine.ts';
import { busy, cluster, empty, hostile, small } from './statuses.ts';

const maps: Readonly<Record<string, EgressMap>> = {
  small: mapOf([small]),
  empty: mapOf([empty]),
  busy: mapOf([busy]),
  cluster: mapOf(cluster),
  hostile: mapOf([hostile]),
};

/** What a map is drawn as; written anew with `EGRESS_GOLDEN=write`, to be looked at. */
function isGolden(file: string, text: string): void {
  const path = new URL(`golden/${file}`, import.meta.url);
  if (process.env.EGRESS_GOLDEN === 'write') writeFileSync(path, text);
  assert.equal(text, readFileSync(path, 'utf8'));
}

const titles = ({ boxes }: EgressMap, column: number): string[] =>
  boxes.filter((box) => box.column === column).map(({ title }) => title);

const titleOf = ({ boxes }: EgressMap, id: string): string => boxes.find((box) => box.id === id)?.title ?? '';
const waysIn = (map: EgressMap): string[] =>
  map.edges.map(({ from, to, idle }) => `${titleOf(map, from)} ${idle ? '-.->' : '-->'} ${titleOf(map, to)}`);

describe('a map', () => {
  test('leads from each pod by its policies to exits, to where packets leave, and to their addresses', () => {
    assert.deepEqual(waysIn(mapOf([small])), [
      'default --> web',
      'web --> partners',
      'partners --> node-1',
      'node-1 --> partners',
    ]);
  });

  test('of several nodes has an exit once, with what it does on the gateway, and the faults of each node', () => {
    const map = mapOf(cluster);
    assert.deepEqual(titles(map, 2), ['internet', 'partners']);
    const lines = map.boxes.filter(({ column }) => column === 2).map((box) => box.lines);
    assert.deepEqual(lines, [
      ['id 50', 'works', '40 packets/s, 60k bytes/s'],
      ['id 7', 'FAILS on worker-2:', 'interface eth1 is down', '25 packets/s, 19k bytes/s'],
    ]);
    assert.ok(waysIn(map).includes('internet --> gateway-1 (172.18.0.3)'));
    assert.ok(waysIn(map).includes('internet -.-> gateway-2 (172.18.0.4)'));
  });

  test('of a gateway alone has what comes out of the tunnel', () => {
    const [, , gateway] = cluster;
    assert.ok(gateway);
    assert.deepEqual(titles(mapOf([gateway]), 1), ['Pods of other nodes']);
  });

  test('has what is configured, too, whether a pod uses it or not', () => {
    const changes: PolicyDocument = {
      policies: [
        {
          name: 'web',
          namespaces: ['default'],
          destinations: ['203.0.113.0/24'],
          ports: ['tcp:443'],
          exit: 'partners',
        },
        { name: 'unused', namespaces: ['a', 'b', 'c'], podSelector: { matchLabels: { app: 'web' } }, exit: 'backup' },
      ],
    };
    const map = mapOf([small], configuration(changes));
    assert.deepEqual(titles(map, 1), ['web', 'unused']);
    assert.deepEqual(titles(map, 2), ['partners', 'backup']);
    assert.deepEqual(map.boxes.find(({ title }) => title === 'web')?.lines, [
      'namespaces default',
      'to 203.0.113.0/24',
      'ports tcp:443',
    ]);
    const unused = map.boxes.find(({ title }) => title === 'unused')?.lines;
    assert.deepEqual(unused, ['namespaces a, b +1', 'pods with app=web', 'to 0.0.0.0/0, ::/0']);
  });

  test('of a node without pods says so', () => assert.deepEqual(titles(mapOf([empty]), 0), ['No pod has a policy']));
});

const overlap = (a: PlacedBox, b: PlacedBox): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

describe('on its page', () => {
  for (const [name, map] of Object.entries(maps)) {
    test(`nothing of the map "${name}" is over something else, or beside the page`, () => {
      const { boxes, width, height } = layoutOf(map);
      assert.equal(boxes.length, map.boxes.length);
      for (const [i, box] of boxes.entries()) {
        assert.ok(box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height, box.title);
        for (const other of boxes.slice(i + 1)) assert.ok(!overlap(box, other), `${box.title} and ${other.title}`);
      }
    });

    test(`the map "${name}" is the SVG that was looked at`, () => isGolden(`map-${name}.svg`, svgOf(map)));
    test(`the map "${name}" is the Mermaid text that was tried`, () => isGolden(`map-${name}.mmd`, mermaidOf(map)));
  }
});

describe('names', () => {
  test('say nothing to whoever reads SVG: each mark of XML is written as what it stands for', () => {
    const svg = svgOf(mapOf([hostile]));
    assert.doesNotMatch(svg, /<script/);
    assert.match(svg, /&lt;\/text&gt;&lt;script&gt;/);
    assert.match(svg, /&amp;amp; &#39;quoted&#39; &quot;twice&quot;/);
    for (const letter of svg) assert.ok(letter === '\n' || !/[\p{Cc}\p{Cs}]/u.test(letter), JSON.stringify(letter));
  });

  test('say nothing to Mermaid: in each line what is quoted ends with the line', () => {
    for (const line of mermaidOf(mapOf([hostile])).split('\n')) {
      if (/^ {4}b\d/.test(line)) assert.match(line, /^ {4}b\d+\["[^"`<[\]]*(<\/?b>|<br\/>|[^"`<[\]])*"\]$/);
      assert.doesNotMatch(line, /^\s*click/);
    }
  });
});

describe('a status in a file', () => {
  test('is taken as it was printed, and everything else is refused with the place', () => {
    assert.deepEqual(readStatusText('n1.json', JSON.stringify(small)), small);
    const labels = { pod: { app: 'web' }, namespace: { team: 'a' } };
    const labelled = { ...small, pods: small.pods.map((each) => ({ ...each, pod: { ...each.pod, labels } })) };
    assert.deepEqual(readStatusText('n1.json', JSON.stringify(labelled)), labelled);
    for (const [text, where] of [
      ['', ''],
      ['[]', ''],
      [JSON.stringify({ ...small, exits: [{ ...small.exits[0], id: 'x' }] }), ' at /exits/0/id'],
    ] as const) {
      assert.throws(() => readStatusText('n1.json', text), {
        code: 'invalid-argument',
        message: `n1.json: expected what "egress status --json" prints, got something else${where}`,
      });
    }
  });
});
