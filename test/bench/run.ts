import { cpus, loadavg, release } from 'node:os';
import { missingForLab } from '../support/tools.ts';
import { measureAdd } from './add.ts';
import { measureAgent } from './agent.ts';
import { measureFailover } from './failover.ts';
import { measurePods } from './pods.ts';
import { measureStart } from './start.ts';
import { measureThroughput } from './throughput.ts';
import { measureTunnel } from './tunnel.ts';

/**
 * Measures egress beside what does the like, and prints tables; see README.md. `node test/bench/run.ts add` does only
 * that part. Nothing here is asserted: it fails when something does not work, never because it is slow.
 */
const parts: Readonly<Record<string, () => Promise<string>>> = {
  start: measureStart,
  add: measureAdd,
  pods: measurePods,
  throughput: measureThroughput,
  tunnel: measureTunnel,
  failover: measureFailover,
  agent: measureAgent,
};

const words = process.argv.slice(2);
const missing = words.every((word) => word in parts)
  ? missingForLab()
  : `the parts are ${Object.keys(parts).join(', ')}`;
if (missing === undefined) await measure(words.length > 0 ? words : Object.keys(parts));
else {
  console.error(`Nothing was measured: ${missing}`);
  process.exitCode = 1;
}

async function measure(names: readonly string[]): Promise<void> {
  console.log(`${machine()}\n${load()}\n`);
  for (const name of names) console.log(await parts[name]?.());
  console.log(load());
}

function machine(): string {
  const all = cpus();
  return `${all.length} cores (${all[0]?.model.trim()}), Linux ${release()}, Node ${process.version}`;
}

/** More processes than cores before we begin means that others are at work: then only the ratios say something. */
function load(): string {
  return `Processes at work in the last minute: ${loadavg()[0]?.toFixed(1)}`;
}
