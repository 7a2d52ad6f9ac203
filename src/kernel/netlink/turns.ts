/** Milliseconds for which a process goes on before what waits beside it has its turn. */
let turn = Number.POSITIVE_INFINITY;
let lastTurn = 0;

/**
 * From now on whoever asks the kernel for many things lets timers and sockets have their turn after so many milliseconds. Answers of
 * the kernel are there at once, so that a look at a whole node would be one turn of the event loop: a second with some hundred pods.
 */
export function takeTurns(milliseconds: number): void {
  turn = milliseconds;
}

/** Whether what waits beside it shall have its turn now: then {@link nextTurn}. A process with one task never waits. */
export const isTurnOver = (): boolean => Number.isFinite(turn) && performance.now() - lastTurn >= turn;

/** Resolves when timers and sockets had their turn. */
export async function nextTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  lastTurn = performance.now();
}
