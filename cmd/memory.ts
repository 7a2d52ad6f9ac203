import { setFlagsFromString } from 'node:v8';

/**
 * Has V8 collect garbage sooner, for processes that run on and mostly wait: a round makes some MiB of garbage each 30 seconds, and
 * V8 would rather keep 200 MiB of it than collect. New objects get 1 MiB and no more (V8 would grow that to 16), and what
 * stays may grow by a quarter from one collection to the next. V8 reads both flags when it is about to grow (heap/new-spaces.cc,
 * heap/memory-controller.cc); a call of a runtime ends before that, and does without.
 */
export function staySmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--heap-growing-percent=25');
}
