import { getHeapCodeStatistics, setFlagsFromString } from 'node:v8';

/** So much of it may be left: what runs now, and a few functions that V8 keeps. */
const leftShare = 0.25;
/** Bytes that are made for nothing to have V8 collect garbage, at a time and in all. */
const [atATime, atMost] = [2 ** 20, 2 ** 30];

/**
 * Has V8 throw away all that it has compiled: it does so with functions that nobody has run between some collections of all
 * garbage. For the build: what is compiled in the snapshot is copied into the memory of each process. Throws where V8 keeps it.
 */
export function forgetCompiled(): void {
  const wanted = compiledBytes() * leftShare;
  setFlagsFromString('--gc-global'); // V8 collects all garbage whenever it would collect young one
  try {
    for (let made = 0; compiledBytes() > wanted; made += atATime) {
      if (made > atMost) throw new Error('V8 keeps what it has compiled: the snapshot would have it all');
      Array.from({ length: atATime / pointerBytes }, () => made);
    }
  } finally {
    setFlagsFromString('--no-gc-global');
  }
}

const pointerBytes = 8;

const compiledBytes = (): number => getHeapCodeStatistics().bytecode_and_metadata_size;
