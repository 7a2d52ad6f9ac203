import type { Expression } from '../../nftables/expression.ts';
import type { Counter, Unknown } from '../../nftables/observed.ts';
import { hex } from '../netlink/field.ts';
import { decode, eachAttribute, encode, type Table, type Values } from '../netlink/wire.ts';
import { counterAttributes, expressionAttributes } from './attributes.ts';
import {
  bitwiseAttributes,
  byteorderAttributes,
  cmpAttributes,
  ctAttributes,
  ctSetAttributes,
  ctTupleAttributes,
  exthdrAttributes,
  fibAttributes,
  immediateAttributes,
  lookupAttributes,
  masqAttributes,
  metaAttributes,
  natAttributes,
  payloadAttributes,
  payloadSetAttributes,
  rtAttributes,
  tcpOptionAttributes,
} from './expression-attributes.ts';

/** The number of a set within a batch. The kernel looks sets up by name first; nft writes the number too. */
export type SetId = (name: string) => number;

type Named<N extends Expression['name']> = Extract<Expression, { readonly name: N }>;

/** How the expressions of one name lie in NFTA_EXPR_DATA. `decode` returns nothing for a partly unknown expression. */
interface Codec<E extends Expression> {
  /** Nothing for an expression that has no NFTA_EXPR_DATA at all. */
  encode(expression: E, setId: SetId): Buffer | undefined;
  decode(bytes: Buffer): E | undefined;
}

const verdictRegister = 0;
/** NFT_LOOKUP_F_INV */
const invertFlag = 1;
/** NF_NAT_RANGE_MAP_IPS: the kernel adds it where there is an address. */
const mapAddresses = 1;
/** NF_NAT_RANGE_PROTO_SPECIFIED: the kernel adds it where there are ports; nft says it as well. */
const mapPorts = 2;

const codecs: { readonly [N in Expression['name']]: Codec<Named<N>> } = {
  meta: {
    encode: (expression) => encode(metaAttributes, expression),
    decode: (bytes) => {
      const { key, dreg, sreg } = decode(metaAttributes, bytes);
      if (key !== undefined && dreg !== undefined) return { name: 'meta', key, dreg };
      return key !== undefined && sreg !== undefined ? { name: 'meta', key, sreg } : undefined;
    },
  },
  payload: either(
    (expression) => 'sreg' in expression,
    plain('payload', payloadSetAttributes),
    plain('payload', payloadAttributes),
  ),
  exthdr: either(
    (expression) => 'header' in expression,
    plain('exthdr', exthdrAttributes, { op: 'ipv6', flags: 0 }),
    plain('exthdr', tcpOptionAttributes, { op: 'tcpopt' }),
  ),
  ct: either(
    (expression) => 'sreg' in expression,
    plain('ct', ctSetAttributes),
    either((expression) => !('direction' in expression), plain('ct', ctAttributes), plain('ct', ctTupleAttributes)),
  ),
  rt: plain('rt', rtAttributes),
  byteorder: plain('byteorder', byteorderAttributes),
  fib: plain('fib', fibAttributes),
  cmp: plain('cmp', cmpAttributes),
  bitwise: plain('bitwise', bitwiseAttributes, { operation: 'mask-xor' }),
  lookup: {
    encode: ({ invert, ...expression }, setId) =>
      encode(lookupAttributes, { ...expression, setId: setId(expression.set), flags: invert && invertFlag }),
    decode: (bytes) => {
      const { set, sreg, dreg, flags = 0 } = decode(lookupAttributes, bytes);
      if (set === undefined || sreg === undefined || (flags & ~invertFlag) !== 0) return undefined;
      return {
        name: 'lookup',
        set,
        sreg,
        ...(dreg !== undefined && { dreg }),
        ...(flags === invertFlag && { invert: true }),
      };
    },
  },
  immediate: {
    encode: (expression) =>
      'verdict' in expression
        ? encode(immediateAttributes, { dreg: verdictRegister, data: { verdict: expression.verdict } })
        : encode(immediateAttributes, { dreg: expression.dreg, data: { value: expression.data } }),
    decode: (bytes) => {
      const { dreg, data: { verdict, value } = {} } = decode(immediateAttributes, bytes);
      if (dreg === verdictRegister) return verdict && { name: 'immediate', verdict };
      return dreg !== undefined && value !== undefined ? { name: 'immediate', dreg, data: value } : undefined;
    },
  },
  nat: {
    encode: (expression) =>
      encode(natAttributes, { ...expression, flags: expression.portRegister === undefined ? undefined : mapPorts }),
    decode: (bytes) => {
      const {
        type,
        family,
        addressRegister,
        lastAddressRegister,
        flags = 0,
        ...registers
      } = decode(natAttributes, bytes);
      if (type === undefined || family === undefined || addressRegister === undefined) return undefined;
      const isOneAddress = lastAddressRegister === undefined || lastAddressRegister === addressRegister;
      const { portRegister, lastPortRegister } = registers;
      const ports = portRegister !== undefined && lastPortRegister !== undefined && { portRegister, lastPortRegister };
      const isOurs = isOneAddress && (flags & ~(ports ? mapAddresses | mapPorts : mapAddresses)) === 0;
      return isOurs && (ports || portRegister === undefined)
        ? { name: 'nat', type, family, addressRegister, ...ports }
        : undefined;
    },
  },
  masq: {
    encode: () => Buffer.alloc(0),
    decode: (bytes) => (Object.keys(decode(masqAttributes, bytes)).length === 0 ? { name: 'masq' } : undefined),
  },
  notrack: { encode: () => undefined, decode: () => ({ name: 'notrack' }) },
  counter: { encode: () => Buffer.alloc(0), decode: () => ({ name: 'counter' }) },
};

/** The expressions whose members are exactly the rows of a table that are not fixed, with values that the rows take. */
type Fitting<E extends Expression, T extends Table, Fixed> = E extends unknown
  ? [Exclude<keyof E, 'name'>, Exclude<keyof T, Fixed>] extends [Exclude<keyof T, Fixed>, keyof E]
    ? Extract<E, Values<T>>
    : never
  : never;

/** A table is none that any expression fits: it has a row too much or too few, or one of another name or type. */
type Fits<E> = [E] extends [never] ? { readonly 'no expression has these rows': never } : unknown;

/** An expression whose members are its attributes, one for one and never absent, beside some that are `fixed`. */
function plain<N extends Expression['name'], T extends Table, Fixed extends keyof T = never>(
  name: N,
  table: T & Fits<Fitting<Named<N>, T, Fixed>>,
  fixed?: { readonly [K in Fixed]: Values<T>[K] },
): Codec<Fitting<Named<N>, T, Fixed>> {
  const rows: Table = table;
  const known: Values<Table> = { ...fixed };
  return {
    encode: (expression) => encode(rows, { ...expression, ...known }),
    decode: (bytes) => {
      const values = decode(rows, bytes);
      const isOurs = Object.keys(rows).every(
        (row) => values[row] !== undefined && values[row] === (known[row] ?? values[row]),
      );
      const own = Object.entries(values).filter(([row]) => !(row in known));
      return isOurs ? ({ name, ...Object.fromEntries(own) } as Fitting<Named<N>, T, Fixed>) : undefined;
    },
  };
}

/** An expression that has two forms, with attributes of their own. */
function either<A extends Expression, B extends Expression>(
  isFirst: (expression: A | B) => boolean,
  first: Codec<A>,
  second: Codec<B>,
): Codec<A | B> {
  const codecOf = (expression: A | B): Codec<A | B> => (isFirst(expression) ? first : second);
  return {
    encode: (expression, setId) => codecOf(expression).encode(expression, setId),
    decode: (bytes) => first.decode(bytes) ?? second.decode(bytes),
  };
}

/** An expression as the value of an attribute NFTA_LIST_ELEM or NFTA_SET_EXPR. */
export function encodeExpression(expression: Expression, setId: SetId): Encoded {
  if ('set' in expression) return encodeAnew(expression, setId);
  const key = JSON.stringify(expression);
  const known = encoded.get(key);
  if (known !== undefined) return known;
  const made = encodeAnew(expression, setId);
  if (encoded.size >= mostKept) encoded.clear();
  encoded.set(key, made);
  return made;
}

type Encoded = Values<typeof expressionAttributes>;

const encoded = new Map<string, Encoded>();
const mostKept = 1000;

const encodeAnew = (expression: Expression, setId: SetId): Encoded => ({
  name: expression.name,
  data: (codecs[expression.name] as Codec<Expression>).encode(expression, setId),
});

/** NFTA_LIST_ELEM */
const listElement = 1;

/** The expressions in an attribute NFTA_RULE_EXPRESSIONS, and the values of the first counter among them. */
export function decodeExpressions(list: Buffer): {
  readonly expressions: readonly (Expression | Unknown)[];
  readonly counter?: Counter;
} {
  const expressions: (Expression | Unknown)[] = [];
  let counter: Counter | undefined;
  eachAttribute(list, 0, list.length, (type, start, end) => {
    if (type !== listElement) return;
    const bytes = list.toString('latin1', start, end);
    const known = decoded.get(bytes);
    if (known !== undefined) return void expressions.push(known);
    const values = decode(expressionAttributes, list, start, end);
    const made = decodeExpression(values);
    expressions.push(made);
    if (made.name === 'counter')
      counter ??= counterIn([values]); // its bytes are others each time
    else remember(bytes, made);
  });
  return { expressions, ...(counter && { counter }) };
}

/** By all their bytes: the rules of a table are made of few different expressions, most of which are there at build time. */
const decoded = new Map<string, Expression | Unknown>();

function remember(bytes: string, expression: Expression | Unknown): void {
  if (decoded.size >= mostKept) decoded.clear();
  decoded.set(bytes, expression);
}

/** The expression in an attribute; never throws for one that is not ours. */
export function decodeExpression({ name = '', data = nothing }: Encoded): Expression | Unknown {
  const codec = Object.hasOwn(codecs, name) ? codecs[name as Expression['name']] : undefined;
  return codec?.decode(data) ?? { name: 'unknown', expression: name, data: hex.decode(data) };
}

const nothing = Buffer.alloc(0);

/** The values of the first counter among the expressions. */
export function counterIn(expressions: readonly Values<typeof expressionAttributes>[]): Counter | undefined {
  const counter = expressions.find(({ name }) => name === 'counter');
  if (counter?.data === undefined) return undefined;
  const { packets = 0n, bytes = 0n } = decode(counterAttributes, counter.data);
  return { packets, bytes };
}
