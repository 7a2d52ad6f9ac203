import { writeSync } from 'node:fs';

/** A line for whoever reads stderr. That nobody can is no error: it holds nothing that an answer depends on. */
export function tell(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Closed, full, or no longer read.
  }
}
