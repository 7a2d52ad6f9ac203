/**
 * As much of protocol buffers (proto3) as the CRI needs here: a message is a table of its fields, with one row for each,
 * which says how it is written, how it is read, and what type it has.
 */
export type Message = Readonly<Record<string, Field>>;

/** Number of a field and what is in it; a repeated field has its kind in an array. */
export type Field = readonly [number, Kind | readonly [Kind]];

/** `map` is of texts to texts; `number` is any integer that is not negative and below 2^53. */
type Kind = 'text' | 'number' | 'boolean' | 'map' | Message;

type KindValue<K> = K extends 'text'
  ? string
  : K extends 'number'
    ? number
    : K extends 'boolean'
      ? boolean
      : K extends 'map'
        ? Readonly<Record<string, string>>
        : K extends Message
          ? Values<K>
          : never;

/** What a message may hold; as in proto3 every field may be absent, and one with its zero value is. */
export type Values<M extends Message> = {
  readonly [Name in keyof M]?: M[Name] extends readonly [number, readonly [infer K]]
    ? readonly KindValue<K>[]
    : M[Name] extends readonly [number, infer K]
      ? KindValue<K>
      : never;
};

const entry = { key: [1, 'text'], value: [2, 'text'] } as const satisfies Message;
const varintType = 0;
const bytesType = 2;

/** The bytes of a message. */
export function encode<M extends Message>(message: M, values: Values<M>): Buffer {
  const parts = Object.entries(message).flatMap(([name, [number, kind]]) => {
    const value = values[name] as unknown;
    if (value === undefined) return [];
    const [each, all] = Array.isArray(kind) ? [kind[0] as Kind, value as readonly unknown[]] : [kind as Kind, [value]];
    return all.flatMap((one) => encodeField(number, each, one));
  });
  return Buffer.concat(parts);
}

function encodeField(number: number, kind: Kind, value: unknown): readonly Buffer[] {
  if (kind === 'number' || kind === 'boolean') return [varint(number << 3), varint(Number(value))];
  if (kind === 'map')
    return Object.entries(value as object).flatMap(([key, text]) => encodeField(number, entry, { key, value: text }));
  const body = kind === 'text' ? Buffer.from(value as string) : encode(kind, value as Values<Message>);
  return [varint((number << 3) | bytesType), varint(body.length), body];
}

function varint(value: number): Buffer {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 128);
  }
}

/** What a message holds; fields that its table does not have are left out. */
export function decode<M extends Message>(message: M, bytes: Buffer): Values<M> {
  const names = new Map(Object.entries(message).map(([name, [number, kind]]) => [number, { name, kind }]));
  const values: Record<string, unknown> = {};
  for (const { number, content } of fieldsOf(bytes)) {
    const field = names.get(number);
    if (field === undefined) continue;
    const { name, kind } = field;
    if (Array.isArray(kind)) values[name] = [...((values[name] as unknown[]) ?? []), decodeKind(kind[0], content)];
    else if (kind === 'map') values[name] = { ...(values[name] as object), ...decodeEntry(content) };
    else values[name] = decodeKind(kind as Kind, content);
  }
  return values as Values<M>;
}

function decodeEntry(content: Buffer | number): object {
  const { key = '', value = '' } = decode(entry, content as Buffer);
  return { [key]: value };
}

function decodeKind(kind: Kind, content: Buffer | number): unknown {
  if (kind === 'number') return content;
  if (kind === 'boolean') return content === 1;
  return kind === 'text' ? content.toString() : decode(kind as Message, content as Buffer);
}

function* fieldsOf(bytes: Buffer): Generator<{ number: number; content: Buffer | number }> {
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = next();
    const [number, type] = [tag >> 3, tag & 7];
    if (type !== varintType && type !== bytesType) throw new Error(`Field ${number} has wire type ${type}`);
    const value = next();
    if (type === varintType) {
      yield { number, content: value };
      continue;
    }
    yield { number, content: bytes.subarray(at, at + value) };
    at += value;
  }
}
