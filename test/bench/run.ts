import { missingForLab } from '../support/tools.ts';
import { measureAdd } from './add.ts';
import { measureAgent } from './agent.ts';
import { measureCrowd } from './crowd.ts';
import { measureFailover } from './failover.ts';
import { draw, loadNow, printed, resultOf, resultsFolder, writeResult } from './files.ts';
import { measurePods } from './pods.ts';
import type { ResultTable } from './result.ts';
import { measureStart } from './start.ts';
import { measureThroughput } from './throughput.ts';
import { measureTunnel } from './tunnel.ts';

/**
 * Measures egress beside what does the like, prints tables, and writes results and plots; see README.md.
 * `node test/bench/run.ts add` does only that part, `node test/bench/run.ts plots` draws again what was measured. Nothing here is
 * asserted: it fails when something does not work, never because it is slow.
 */
const parts: Readonly<Record<string, () => Promise<readonly ResultTable[]>>> = {
  start: measureStart,
  crowd: measureCrowd,
  add: measureAdd,
  pods: measurePods,
  throughput: measureThroughput,
  tunnel: measureTunnel,
  failover: measureFailover,
  agent: measureAgent,
};
/** The word that measures nothing. */
const drawing = 'plots';

const words = process.argv.slice(2);
const measured = words.length === 0 ? Object.keys(parts) : words.filter((word) => word !== drawing);
const missing = missingFor(measured);
if (missing !== undefined) {
  console.error(`Nothing was measured: ${missing}`);
  process.exitCode = 1;
} else {
  for (const name of measured) await measure(name);
  console.log(['Drawn:', ...draw(resultsFolder)].join('\n  '));
}

function missingFor(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const all = [...Object.keys(parts), drawing].join(', ');
  return names.every((name) => name in parts) ? missingForLab() : `the parts are ${all}`;
}

/** Measures a part; its result is written as soon as it is there. */
async function measure(name: string): Promise<void> {
  const before = loadNow();
  const result = resultOf(name, (await parts[name]?.()) ?? [], before);
  writeResult(resultsFolder, result);
  console.log(printed(result));
}
