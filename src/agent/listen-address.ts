import { type Address, familyOf, parseAddress } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';

/** Where a server listens. */
export interface ListenAddress {
  readonly host: Address;
  /** TCP port, 1…65535. */
  readonly port: number;
}

/** Reads `192.0.2.1:9090` or `[2001:db8::1]:9090`. Throws `invalid-argument`, which names the option. */
export function readListenAddress(option: string, text: string): ListenAddress {
  const { v6, v4, port } = /^(?:\[(?<v6>[^\]]*)\]|(?<v4>[^:]*)):(?<port>\d{1,5})$/.exec(text)?.groups ?? {};
  const host = parseAddress(v6 ?? v4 ?? '');
  const isRight = host !== undefined && familyOf(host) === (v6 === undefined ? 4 : 6);
  const number = Number(port);
  if (isRight && number >= 1 && number <= 65535) return { host, port: number };
  throw new EgressError(
    'invalid-argument',
    `${option}: expected ADDRESS:PORT, as 127.0.0.1:14597 or [::1]:14597, got "${text}"`,
  );
}
