import { u16, u32 } from './field.ts';

/** Messages between their headers: linux/netlink.h, struct nlmsghdr. */

/** Bytes of the header. */
export const netlinkHeaderLength = 16;

/** Flags of a request (NLM_F_*). */
export const flags = {
  request: 1,
  ack: 4,
  dump: 0x300,
  replace: 0x100,
  excl: 0x200,
  create: 0x400,
  append: 0x800,
} as const;

/** A message to the kernel: its type, its flags beyond REQUEST, and the bytes behind the netlink header. */
export interface Request {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

/** A message from the kernel. */
export interface Reply {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

/** Messages that are sent together: those to the kernel have numbers from `first` on, and the port of their socket. */
export function framed(
  requests: readonly Request[],
  { first, port }: { readonly first: number; readonly port: number },
): Buffer {
  const bytes = Buffer.alloc(requests.reduce((size, { body }) => size + framedLength(body), 0));
  let offset = 0;
  let number = first;
  for (const { type, flags: more, body } of requests) {
    u32.inPlace.write(netlinkHeaderLength + body.length, bytes, offset);
    u16.inPlace.write(type, bytes, offset + 4);
    u16.inPlace.write(more | flags.request, bytes, offset + 6);
    u32.inPlace.write(number++, bytes, offset + 8);
    u32.inPlace.write(port, bytes, offset + 12);
    body.copy(bytes, offset + netlinkHeaderLength);
    offset += framedLength(body);
  }
  return bytes;
}

/** With its header, and padding to four bytes. */
const framedLength = ({ length }: Buffer): number => (netlinkHeaderLength + length + 3) & ~3;

/** A message with the number of the request that it answers. */
interface Message extends Reply {
  readonly sequence: number;
}

/** What the kernel sent together, message by message (struct nlmsghdr). One that claims more than there is is a RangeError. */
export function messagesIn(bytes: Buffer): readonly Message[] {
  const messages: Message[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const length = u32.decodeIn(bytes, offset, offset + 4);
    if (length < netlinkHeaderLength || offset + length > bytes.length)
      throw new RangeError(`A message by netlink claims ${length} bytes at ${offset} of ${bytes.length}`);
    messages.push({
      type: u16.decodeIn(bytes, offset + 4, offset + 6),
      flags: u16.decodeIn(bytes, offset + 6, offset + 8),
      sequence: u32.decodeIn(bytes, offset + 8, offset + 12),
      body: bytes.subarray(offset + netlinkHeaderLength, offset + length),
    });
    offset += (length + 3) & ~3;
  }
  return messages;
}
