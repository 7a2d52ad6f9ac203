/** Milliseconds for which a process goes on before what waits beside it has its turn. */
let turn = Number.POSITIVE_INFINITY;
let lastTurn = 0;
/** Milliseconds that a look without the store's lock rests after a turn. */
let restAfterTurn = () => 0;

/**
 * From now on whoever asks the kernel for many things lets timers and sockets have their turn after so many milliseconds. Answers of
 * the kernel are there at once, so that a look at a whole node would be one turn of the event loop: a second with some hundred pods.
 */
export function takeTurns(milliseconds: number): void {
  turn = milliseconds;
}

/** From now on looks for which nobody waits rest so many milliseconds after each turn; it is asked each time. */
export function restBetweenTurns(pause: () => number): void {
  restAfterTurn = pause;
}

/** Whether what waits beside it shall have its turn now: then {@link nextTurn}. A process with one task never waits. */
export const isTurnOver = (): boolean => Number.isFinite(turn) && performance.now() - lastTurn >= turn;

/** Resolves when timers and sockets had their turn, and who may rest has rested. */
export async function nextTurn({ mayRest }: { readonly mayRest: boolean }): Promise<void> {
  const pause = mayRest ? restAfterTurn() : 0;
  await new Promise((resolve) => (pause > 0 ? setTimeout(resolve, pause) : setImmediate(resolve)));
  lastTurn = performance.now();
}
