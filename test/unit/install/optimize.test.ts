import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../../..');

/** Calls a function again and again, and says whether V8 has compiled it for speed (v8/src/runtime/runtime.h, kOptimized). */
const program = (prepare: string): string => `
const { optimize } = await import(process.argv[1]);
${prepare}
const sum = (n) => { let s = 0; for (let i = 0; i < n; i++) s = (s * 31 + i) | 0; return s; };
const isOptimized = new Function('f', 'return (%GetOptimizationStatus(f) & 16) !== 0');
let is = false;
for (let i = 0; i < 3000 && !is; i++) { sum(10000); if (i % 20 === 0) await new Promise(setImmediate); is = isOptimized(sum); }
console.log(is);
`;

/** Node with the options that the binary has (`install/executable.ts`). */
const run = (prepare: string): string =>
  execFileSync(
    process.execPath,
    [
      '--max-opt=0',
      '--allow-natives-syntax',
      '--input-type=module',
      '-e',
      program(prepare),
      join(root, 'cmd/optimize.ts'),
    ],
    { encoding: 'utf8' },
  ).trim();

test('what people and the agent call is compiled by V8, though the binary begins without its compilers', () => {
  assert.equal(run('optimize();'), 'true');
  assert.equal(run(''), 'false');
});
