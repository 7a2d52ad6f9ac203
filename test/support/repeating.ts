/** Repeats something until it is told to stop; the function that it gives does that, and returns how often it was done. */
export function repeating(action: (time: number) => Promise<unknown>): () => Promise<number> {
  let isOver = false;
  const loop = async () => {
    let times = 0;
    while (!isOver) await action(times++);
    return times;
  };
  const running = loop();
  running.catch(() => undefined); // whoever stops it hears of it
  return async () => {
    isOver = true;
    return await running;
  };
}
