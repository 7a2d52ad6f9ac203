import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { blockOf, type Figures, places, shownIn, withFigures } from '../../bench/figures.ts';
import { ownResults, readResults } from '../../bench/files.ts';
import { plotsOf } from '../../bench/plots.ts';
import { svgOf } from '../../bench/svg.ts';
import { textOf } from '../../support/documents.ts';
import { allParts } from './results.ts';

const readme = textOf('README.md');
const names = Object.keys(places) as readonly Figures['name'][];
const drawn = plotsOf(readResults(ownResults));

describe('figures of README.md', () => {
  test('have their places, in order', () => {
    const found = names.map((name) => readme.indexOf(`\n**${places[name]}.** `));
    assert.ok(found.every((at) => at > readme.indexOf('\n## Figures\n') && at < readme.indexOf('\n## Limits\n')));
    assert.deepEqual(
      found,
      found.toSorted((a, b) => a - b),
    );
    for (const name of names) assert.equal(readme.split(`**${places[name]}.** `).length, 2, name);
  });

  for (const name of names) {
    test(`are what was measured, and so is the plot: ${name}`, () => {
      const figures = drawn.find((each) => each.name === name);
      const file = join(ownResults, `${name}.svg`);
      if (figures === undefined) {
        assert.ok(!readme.includes(`results/${name}.svg`) && !existsSync(file));
        return;
      }
      assert.equal(shownIn(readme, name), blockOf(figures), 'npm run bench -- plots');
      assert.equal(readFileSync(file, 'utf8'), svgOf(figures.plot), 'npm run bench -- plots');
    });
  }

  test('leave room for all plots within the 270 lines of README.md', () => {
    const full = withFigures(readme, plotsOf(allParts));
    for (const figures of plotsOf(allParts)) assert.equal(shownIn(full, figures.name), blockOf(figures));
    assert.ok(full.split('\n').length <= 270, String(full.split('\n').length));
    assert.equal(withFigures(full, plotsOf(allParts)), full);
  });

  test('stand in the place of those before, and nothing else changes', () => {
    const [figures] = plotsOf(allParts);
    assert.ok(figures);
    const text = '# A\n\n**Starting.** Old\nwords.\n\n**Traffic.** Stays.\n\n## B\n';
    assert.equal(withFigures(text, [figures]), `# A\n\n${blockOf(figures)}\n**Traffic.** Stays.\n\n## B\n`);
    assert.equal(withFigures('nothing of it\n', [figures]), 'nothing of it\n');
  });
});
