import fc from 'fast-check';

const space = fc.stringMatching(/^[ \t\r\n]{0,4}$/);

/** Names and values that look like structure, are of other scripts, or are written as escapes. */
const texts = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('plugins', 'type', '"plugins":[', '}', ']', 'égress', '日本', '\u{1F600}', '\\', 'egress-x'),
);

/** No backslash in a key: JSON.parse of V8 13.6 takes the key "\u007d" for one that is a backslash, when it saw that before. */
const keys = texts.filter((key) => !key.includes('\\'));

/** JSON of a value, with white space wherever it may be. */
export function printed(value: unknown): fc.Arbitrary<string> {
  if (Array.isArray(value)) return joined('[', value.map(printed), ']');
  if (value === null || typeof value !== 'object') return fc.constant(JSON.stringify(value));
  const members = Object.entries(value).map(([key, inner]) =>
    fc.tuple(space, space, printed(inner)).map(([a, b, text]) => `${JSON.stringify(key)}${a}:${b}${text}`),
  );
  return joined('{', members, '}');
}

const joined = (open: string, parts: readonly fc.Arbitrary<string>[], close: string): fc.Arbitrary<string> =>
  fc
    .tuple(space, ...parts.map((part) => fc.tuple(space, part, space)))
    .map(([first, ...all]) => `${open}${first}${all.map((part) => part.join('')).join(',')}${close}`);

const anything = fc.dictionary(keys, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });

/** A plugin of somebody else; it may have lists of plugins inside, ours among them. */
const plugin = fc
  .tuple(
    fc.constantFrom('bridge', 'ptp', 'portmap', 'cilium-cni', 'egress-gateway', 'Egress'),
    anything,
    fc.option(fc.constant({ delegates: [{ type: 'egress' }], plugins: [{ type: 'egress' }] })),
  )
  .map(([type, more, nested]) => ({ ...more, ...nested, type }));

/** As bytes, one in each character: what is read from a file. */
export const bytesOf = (text: string): string => Buffer.from(text).toString('latin1');

const placed = (value: unknown): fc.Arbitrary<string> =>
  fc.tuple(space, printed(value), space).map((parts) => bytesOf(parts.join('')));

/** A list of plugins as any program may have written it. */
export const anyList: fc.Arbitrary<string> = fc
  .tuple(anything, fc.array(plugin, { minLength: 1, maxLength: 4 }), anything)
  .chain(([before, plugins, after]) =>
    placed({
      ...before,
      cniVersion: '1.0.0',
      name: 'n',
      plugins,
      ...without(after, ['plugins', 'name', 'cniVersion']),
    }),
  );

/** A single plugin as any program may have written it. */
export const anySingle: fc.Arbitrary<string> = plugin.chain((one) =>
  placed({ ...without(one, ['plugins', 'name', 'cniVersion']), cniVersion: '0.4.0', name: 'n' }),
);

const without = (value: object, names: readonly string[]): object =>
  Object.fromEntries(Object.entries(value).filter(([key]) => !names.includes(key)));
