/**
 * After how long something counts as hanging, in milliseconds: an hour. A guard against waiting for ever, and nothing else:
 * no test may depend on how fast the machine is, so it has to be longer than the slowest file of tests takes on a machine
 * with many times more to do than processors. Node's runner applies a time limit of the command line to each test, each
 * suite as a whole and each file as a whole, and that of a suite to all of its tests together.
 */
export const hangsAfterMs = 3_600_000;
