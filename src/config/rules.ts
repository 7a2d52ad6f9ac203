/**
 * What values of a configuration have to be beyond their types. Exported by name: the forms that are made of the schemas
 * (`install/forms.ts`) call the same functions, without the schemas' library.
 */
import { type Address, contains } from '../base/address.ts';

/** "This network", loopback, multicast with all that is reserved behind it; unspecified and loopback; multicast. */
const neverUnicast = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/127', 'ff00::/8'];

/** Whether an address can be that of one machine. */
export const isUnicast = (address: Address): boolean => !neverUnicast.some((range) => contains(range, address));

/** A name that the kernel takes (dev_valid_name in net/core/dev.c); `undefined` for another text. */
export function parseInterfaceName(text: string): string | undefined {
  const isValid = /^[^\s/:\p{Cc}]+$/u.test(text) && !['.', '..'].includes(text) && Buffer.byteLength(text) <= 15;
  return isValid ? text : undefined;
}

/** Whether a number is one bit of a mark, above those of exits' ids. */
export const isOneHighBit = (flag: number): boolean =>
  flag >= 0x4000 && flag <= 0x80000000 && Number.isInteger(Math.log2(flag));

/** How a flag is written as a text. */
export const hexadecimal = /^0x[0-9a-fA-F]{1,8}$/;

/** Whether a text is such a bit, or no number: that is told by itself. */
export const isHighBitIfNumber = (text: string): boolean => !hexadecimal.test(text) || isOneHighBit(Number(text));

/** A member of `matchExpressions` that is not judged yet. */
interface JudgedRequirement {
  readonly operator?: unknown;
  readonly values?: unknown;
}

const needsValues = ({ operator }: JudgedRequirement): boolean => operator === 'In' || operator === 'NotIn';

/** Whether a requirement of a label selector has values where its operator wants them, and none elsewhere. */
export function hasItsValues(requirement: JudgedRequirement): boolean {
  const count = Array.isArray(requirement.values) ? requirement.values.length : 0;
  return needsValues(requirement) ? count > 0 : count === 0;
}
