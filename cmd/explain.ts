import { asEgressError, errorTable } from '../src/base/errors.ts';

/** An error for a person, in two lines: the fault and the remedy, with the word that `egress help` knows more for. */
export function explain(error: unknown): string {
  const { code, message } = asEgressError(error);
  return `egress: ${errorTable[code].title}: ${message}\n${errorTable[code].remedy}. (egress help ${code})`;
}
