import * as z from 'zod/mini';
import { parseAddress, parsePrefix } from '../base/address.ts';
import { parsePortRange } from '../base/port-range.ts';
import { hexadecimal, isHighBitIfNumber, isOneHighBit, isUnicast, parseInterfaceName } from './rules.ts';

// The message of every check here completes the sentence "expected …, got …".

/** A check that makes a text canonical, with what it makes it by: forms are made of it. */
export interface Parsing {
  readonly parse: (text: string) => string | undefined;
}

/** A text that `parse` understands, in the canonical form that it gives back. */
function parsed(expected: string, parse: Parsing['parse']) {
  const check = (payload: z.core.ParsePayload<string>) => {
    const canonical = parse(payload.value);
    if (canonical !== undefined) payload.value = canonical;
    else payload.issues.push({ code: 'custom', message: expected, input: payload.value });
  };
  return z.string(expected).check(Object.assign(check, { parse } satisfies Parsing));
}

/** A text that fits a pattern. The JSON Schema has the pattern, too. */
const matching = (expected: string, pattern: RegExp) => z.string(expected).check(z.regex(pattern, expected));

/** A whole number within bounds. */
export const integer = (minimum: number, maximum: number) => {
  const expected = `a whole number from ${minimum} to ${maximum}`;
  return z.int(expected).check(z.minimum(minimum, expected), z.maximum(maximum, expected));
};

/** One of these words. */
export const oneOf = <const T extends readonly string[]>(words: T) =>
  z.enum(words, `one of ${words.map((word) => `"${word}"`).join(', ')}`);

/** A list with something in it. */
export const filled = <T extends z.ZodMiniType>(item: T, expected: string) =>
  z.array(item, expected).check(z.minLength(1, `${expected} with at least one in it`));

export const address = parsed('an IP address', parseAddress).check(z.refine(isUnicast, 'a unicast IP address'));

export const prefix = parsed('an IP address range like "10.0.0.0/8"', parsePrefix);

/** Some ports of a protocol. */
export const portRange = parsed(
  '"tcp", "udp", "sctp" or "icmp", with a port or range of ports like "tcp:443" or "udp:5060-5061" (icmp has none)',
  parsePortRange,
);

/** Yes or no. */
export const truth = z.boolean('true or false');

/** Names stand in comments of nftables (at most 127 bytes) and in lists with commas between them. */
export const name = matching(
  'a name of at most 63 letters, digits, ".", "_" and "-" that begins with a letter or digit',
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
);

export const namespaceGlob = matching(
  'a namespace of lower-case letters, digits and "-", with "*" and "?" as wildcards',
  /^[a-z0-9*?-]{1,63}$/,
);

export const podGlob = matching(
  'a pod name of lower-case letters, digits, "-" and ".", with "*" and "?" as wildcards',
  /^[a-z0-9.*?-]{1,253}$/,
);

export const absolutePath = matching('an absolute path', /^\/\P{Cc}*$/u);

export const interfaceName = parsed(
  'an interface name of at most 15 bytes without "/", ":" and white space',
  parseInterfaceName,
);

const flagExpected = 'a number with exactly one bit set, from 0x4000 to 0x80000000';

/** One bit of the packet mark above those of the exit's id. JSON has no hexadecimal numbers, hence also a text. */
export const flag = z.union(
  [
    z.int(flagExpected).check(z.refine(isOneHighBit, flagExpected)),
    matching(flagExpected, hexadecimal).check(z.refine(isHighBitIfNumber, flagExpected)),
  ],
  flagExpected,
);
