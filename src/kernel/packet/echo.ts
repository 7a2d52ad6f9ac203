import { type Address, type Family, familyOf } from '../../base/address.ts';
import { type IpHeader, internetChecksum, ipPacket, ipProtocols, transportChecksum } from './ip.ts';

/** An echo message: a question, or its answer, which has the same identifier, number and data. */
export interface Echo {
  /** 0…65535: the same in all questions of one asker. */
  readonly identifier: number;
  /** 0…65535. */
  readonly sequence: number;
  /** An even number of bytes. */
  readonly data: Buffer;
}

/** Types of echo request and echo reply: RFC 792; RFC 4443, 4.1 and 4.2. */
const types = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;
const headerLength = 8;
const ipv6HeaderLength = 40;
/** TTL or hop limit. Questions end at the gateway: nobody passes them on. */
const hops = 1;

/** An IP packet with an echo request. Both addresses are of one family. */
export function echoRequest(source: Address, destination: Address, echo: Echo): Buffer {
  const family = familyOf(source);
  const header: IpHeader = {
    ...{ source, destination, hops },
    protocol: family === 4 ? ipProtocols.icmp : ipProtocols.icmp6,
  };
  const message = Buffer.alloc(headerLength + echo.data.length);
  message.writeUInt8(types[family].request, 0);
  message.writeUInt16BE(echo.identifier, 4);
  message.writeUInt16BE(echo.sequence, 6);
  echo.data.copy(message, headerLength);
  message.writeUInt16BE(family === 4 ? internetChecksum(message) : transportChecksum(header, message), 2);
  return ipPacket(header, message);
}

/** An echo reply in an IP packet without extensions. Undefined for another message, or one that is cut. */
export function readEchoReply(family: Family, bytes: Buffer): Echo | undefined {
  const start = family === 4 ? ((bytes[0] ?? 0) & 0x0f) * 4 : ipv6HeaderLength;
  const message = bytes.subarray(start);
  if (message.length < headerLength || message.readUInt8(0) !== types[family].reply) return undefined;
  return {
    identifier: message.readUInt16BE(4),
    sequence: message.readUInt16BE(6),
    data: Buffer.from(message.subarray(headerLength)),
  };
}
