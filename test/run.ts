import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { hangsAfterMs } from './support/guard.ts';
import { missingContainerd2 } from './support/runtime/releases.ts';
import { missingForLab, missingForRuntime } from './support/tools.ts';

/** Runs every tier that can run here in one `node --test`, whose summary ends the output. */

interface Tier {
  readonly name: string;
  readonly files: string;
  /** Why it cannot run here, or `undefined` when it can. */
  missing(): string | undefined;
  /** Why a part of it cannot run here, which is not our fault. */
  missingPart?(): string | undefined;
}

const tiers: readonly Tier[] = [
  { name: 'unit', files: 'test/unit/**/*.test.ts', missing: () => undefined },
  { name: 'lab', files: 'test/lab/**/*.test.ts', missing: () => missingForLab() ?? missingInKernel() },
  {
    name: 'runtime',
    files: 'test/runtime/**/*.test.ts',
    missing: () => missingForRuntime() ?? missingInKernel(),
    missingPart: missingContainerd2,
  },
];

/** What the lab does first of all, each in a network namespace that ends with it. */
const kernelFeatures: Readonly<Record<string, string>> = {
  'network namespaces': 'true',
  'veth devices': 'ip link add one type veth peer name two',
  bridges: 'ip link add one type bridge',
  'policy routing': 'ip rule add fwmark 1/1 lookup 100 && ip -6 rule add fwmark 1/1 lookup 100',
  'nftables with address translation':
    'nft "add table inet t; add chain inet t c { type nat hook postrouting priority 95; }; add rule inet t c snat ip to 10.0.0.1"',
};

function missingInKernel(): string | undefined {
  const absent = Object.entries(kernelFeatures).filter(([, script]) => {
    const { status } = spawnSync('unshare', ['--net', 'sh', '-c', script], { stdio: 'ignore' });
    return status !== 0;
  });
  return absent.length > 0 ? `this kernel does not let us use ${absent.map(([name]) => name).join(', ')}` : undefined;
}

const root = resolve(import.meta.dirname, '..');

/** The files of a tier, after telling whether it can run. A tier without files cannot. */
function filesToRun({ name, files, missing, missingPart }: Tier): readonly string[] {
  const found = globSync(files, { cwd: root }).sort();
  const reason = found.length === 0 ? `no file is ${files}` : missing();
  const part = missingPart?.();
  const running = `${name}: ${found.length} files${part === undefined ? '' : `, NOT ALL OF THEM: ${part}`}`;
  console.log(reason === undefined ? running : `${name}: NOT RUN: ${reason}`);
  return reason === undefined ? found : [];
}

const files = tiers.map(filesToRun);
/** A lab test that has lost its network waits for ever. */
const guard = `--test-timeout=${hangsAfterMs}`;
const options = ['--test', '--test-reporter=spec', '--test-concurrency=2', guard];
const { status } = spawnSync(process.execPath, [...options, ...files.flat()], { cwd: root, stdio: 'inherit' });
const isComplete = files.every((tier) => tier.length > 0);
process.exitCode = status === 0 && (isComplete || process.env.CI !== 'true') ? 0 : 1;
