import type { TestEvent } from 'node:test/reporters';

/** A reporter beside another one: in a machine that was made for the tests one that is skipped has failed. */
export default async function* noSkips(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' || data.skip === undefined || data.skip === false) continue;
    process.exitCode = 1;
    yield `RED, because it was skipped: ${data.name}: ${data.skip}\n`;
  }
}
