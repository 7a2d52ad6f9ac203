import assert from 'node:assert/strict';
import type { LabNode } from './node.ts';
import type { Pod } from './pod.ts';
import { changedLines, snapshot } from './snapshot.ts';

/** CHECK of the pod fails, and says each of these words. */
export async function assertNamed(node: LabNode, pod: Pod, ...words: readonly string[]): Promise<void> {
  const { code, json } = await node.plugin('CHECK', { pod });
  assert.notEqual(code, 0);
  const error = json as { code: number; details: string };
  assert.equal(error.code, 107);
  for (const text of words) assert.ok(error.details.includes(text), error.details);
}

/** A repeated ADD of the pod makes the node what it was, and CHECK has nothing to say then. */
export async function assertMended(node: LabNode, pod: Pod, whole: string): Promise<void> {
  assert.equal((await node.plugin('ADD', { pod })).code, 0);
  assert.deepEqual(await node.plugin('CHECK', { pod }), { code: 0, stdout: '', stderr: '', json: undefined });
  assert.deepEqual(changedLines(whole, await snapshot(node)), []);
}
