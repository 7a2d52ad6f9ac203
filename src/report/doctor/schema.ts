import * as z from 'zod/mini';
import { checkNames } from './doctor.ts';
import type { Finding } from './finding.ts';

/** The answer of `egress doctor --json`. */
export interface DoctorReport {
  readonly healthy: boolean;
  readonly findings: readonly Finding[];
}

const check = z.enum(checkNames).check(z.describe('What was looked at'));
const text = z.string().check(z.minLength(1), z.describe('What was found, in a sentence for a person'));
const remedy = z
  .string()
  .check(z.minLength(1), z.describe('What to do about it, in a line: one command where it is one'));

const finding = z.discriminatedUnion('status', [
  z.strictObject({ check, status: z.literal('ok'), text }),
  z.strictObject({ check, status: z.literal('warning').check(z.describe('Nobody can tell from here')), text, remedy }),
  z.strictObject({
    check,
    status: z.literal('fault').check(z.describe('Packets of some pod do not leave as they should, or soon will not')),
    text,
    remedy,
  }),
]);

/** Its schema, as it is published. */
export const doctorReportSchema: z.ZodMiniType<DoctorReport> = z.strictObject({
  healthy: z.boolean().check(z.describe('Whether there is no fault; warnings do not count')),
  findings: z
    .array(finding)
    .check(z.minLength(1), z.describe('In the order of the checks; each check has one at least')),
});
