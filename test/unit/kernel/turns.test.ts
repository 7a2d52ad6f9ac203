import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NetlinkSocket, protocols } from '../../../src/kernel/netlink/socket.ts';
import { takeTurns } from '../../../src/kernel/netlink/turns.ts';
import { readLink } from '../../../src/kernel/rtnetlink/link.ts';

/** Questions that a timer which is due at once waits for, of so many that follow each other. */
async function questionsBeforeATimer(questions: number): Promise<number> {
  const socket = new NetlinkSocket(protocols.route);
  try {
    let [asked, before] = [0, questions];
    setTimeout(() => {
      before = asked;
    });
    for (; asked < questions; asked++) await readLink(socket, 'lo');
    return before;
  } finally {
    socket.close();
  }
}

// cni-egress 0.1.0: a round of the agent was one turn of the event loop, and answers of gateways waited for its end.
test('many questions to the kernel let timers have their turn in a process with more to do, and in no other', async (t) => {
  t.after(() => takeTurns(Number.POSITIVE_INFINITY));
  assert.equal(await questionsBeforeATimer(2_000), 2_000);
  takeTurns(1);
  assert.ok((await questionsBeforeATimer(2_000)) < 2_000);
});
