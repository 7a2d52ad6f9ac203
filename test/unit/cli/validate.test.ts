import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readFileOf } from '../config/samples.ts';
import { type Outcome, runOnFiles } from '../support/files-only.ts';

/** `egress validate FILE`, on a machine that has this file only. */
const validate = (file: string, text: string | undefined, ...options: string[]): Promise<Outcome> => {
  const readFile = (path: string) => {
    if (text === 'denied') throw new Error('EACCES: permission denied');
    return path === file ? text : assert.fail(`only ${file}`);
  };
  return runOnFiles(readFile, 'validate', file, ...options);
};

const yaml = `
clusterCIDRs: [10.0.0.0/16]
fwmark: 0x200000 # a number
exits:
  - name: partners
    interface: eth1
    nextHop: [192.168.0.1, fe80::1]
policies:
  - &all
    name: all
    namespaces: ["*"]
    destinations:
      - ::/0
      - 203.0.113.7/24
    exit: partners
`;
const document = {
  clusterCIDRs: ['10.0.0.0/16'],
  fwmark: 0x200000,
  exits: [{ name: 'partners', interface: 'eth1', nextHop: ['192.168.0.1', 'fe80::1'] }],
  policies: [{ name: 'all', namespaces: ['*'], destinations: ['::/0', '203.0.113.7/24'], exit: 'partners' }],
};
const json = JSON.stringify(document);
const unused = JSON.stringify({ ...document, exits: [...document.exits, { name: 'other', interface: 'eth2' }] });
const warning = 'warning: p.json#/exits/1: no policy uses exit "other"\n';

describe('a file without mistakes', () => {
  test('is valid', async () => {
    assert.deepEqual(await validate('p.json', json), { exitCode: 0, stdout: 'p.json is valid\n', stderr: '' });
  });

  test('is valid with warnings, too', async () => {
    const stdout = `${warning}p.json is valid\n`;
    assert.deepEqual(await validate('p.json', unused), { exitCode: 0, stdout, stderr: '' });
  });

  test('may be in YAML, of which the plugin knows nothing', async () => {
    const stdout =
      'p.yaml is valid\nnote: egress install and the manifests make JSON of it, which is all that the plugin reads; --print shows it\n';
    assert.deepEqual(await validate('p.yaml', yaml), { exitCode: 0, stdout, stderr: '' });
  });

  const forms: readonly (readonly [name: string, text: string, isYaml: boolean])[] = [
    ['p', yaml, true],
    ['p', json, false],
    ['p', `\uFEFF\n ${json}`, false],
    ['p.conf', `# {\n${yaml}`, true],
    ['p.YML', json, true],
    ['p.yaml', `\uFEFF${yaml}`, true],
  ];
  for (const [name, text, isYaml] of forms) {
    test(`of the name ${name} that begins with ${JSON.stringify(text.slice(0, 4))} is read as ${isYaml ? 'YAML' : 'JSON'}`, async () => {
      const { exitCode, stdout } = await validate(name, text);
      assert.deepEqual([exitCode, stdout.includes('note:')], [0, isYaml], stdout);
    });
  }
});

describe('--print', () => {
  test('writes JSON that means the same, of YAML as of JSON', async () => {
    const [fromYaml, fromJson] = [await validate('p.yml', yaml, '--print'), await validate('p.json', json, '--print')];
    assert.equal(fromYaml.stdout, fromJson.stdout);
    assert.deepEqual(readFileOf(fromYaml.stdout), readFileOf(document));
    assert.deepEqual(
      [fromYaml.stderr, fromJson.stderr],
      ['note: the plugin reads JSON only: give it what is printed\n', ''],
    );
  });

  test('keeps warnings apart', async () => {
    const { stdout, stderr, exitCode } = await validate('p.json', unused, '--print');
    assert.deepEqual([stderr, exitCode], [warning, 0]);
    assert.deepEqual(readFileOf(stdout), readFileOf(unused));
  });

  test('writes nothing of a file with mistakes', async () => {
    const { stdout, stderr, exitCode } = await validate('p.json', '{"exit":[]}', '--print');
    assert.deepEqual([stdout, stderr, exitCode], ['', 'p.json#/exit: unknown key, did you mean "exits"?\n', 1]);
  });
});

describe('mistakes', () => {
  const policy = { name: 'p', namespaces: ['*'], exit: 'partner' };
  const rows: readonly (readonly [what: string, file: string, text: string | undefined, lines: string[]])[] = [
    [
      'in the form are told all at once, with repeated keys',
      'p.json',
      '{"fwmark":1,"polices":[],"exits":[{"name":"a","interface":"eth1","nextHop":"192.168.0"}],"fwmark":3}',
      [
        'p.json#/fwmark: the key is there more than once',
        'p.json#/fwmark: expected a number with exactly one bit set, from 0x4000 to 0x80000000, got 3',
        'p.json#/exits/0/nextHop: expected an IP address, got "192.168.0"',
        'p.json#/polices: unknown key, did you mean "policies"?',
      ],
    ],
    [
      'in YAML are told like those in JSON, repeated keys with line and column',
      'p.yaml',
      'exits: []\npolices: []\nexits: []\n',
      [
        'p.yaml#: the key is there more than once at line 3 column 1',
        'p.yaml#/polices (line 2): unknown key, did you mean "policies"?',
      ],
    ],
    [
      'between parts are told',
      'p.json',
      JSON.stringify({ exits: document.exits, policies: [policy, policy] }),
      [
        'p.json#/policies/1: policy "p" is already at p.json#/policies/0',
        'p.json#/policies/0/exit: unknown exit "partner", did you mean "partners"?',
        'p.json#/policies/1/exit: unknown exit "partner", did you mean "partners"?',
      ],
    ],
    [
      'in the form and between parts are told at once',
      'p.json',
      JSON.stringify({
        nodes: [{ address: '172.18.0.5' }, { address: '172.18.0.5', podCIDRs: ['x'] }],
        exits: [
          { name: 'partners', interface: 'eth1', nextHop: '192.168.0' },
          { name: 'partners', interface: 7 },
        ],
        policies: [
          { ...policy, namespaces: 'all' },
          { ...policy, exit: 7 },
          { name: 'q', namespaces: ['*'], exit: 'x' },
        ],
      }),
      [
        'p.json#/nodes/1/podCIDRs/0: expected an IP address range like "10.0.0.0/8", got "x"',
        'p.json#/nodes/1: node 172.18.0.5 is already at p.json#/nodes/0',
        'p.json#/exits/0/nextHop: expected an IP address, got "192.168.0"',
        'p.json#/exits/1/interface: expected an interface name of at most 15 bytes without "/", ":" and white space, got 7',
        'p.json#/exits/1: exit "partners" is already at p.json#/exits/0',
        'p.json#/policies/0/namespaces: expected a list of namespaces, got "all", did you mean ["*"]?',
        'p.json#/policies/0/exit: unknown exit "partner", did you mean "partners"?',
        'p.json#/policies/1/exit: expected the name of an exit, got 7',
        'p.json#/policies/1: policy "p" is already at p.json#/policies/0',
        'p.json#/policies/2/exit: unknown exit "x", expected one of "partners", "node", "drop"',
      ],
    ],
    [
      'that may follow from others are not told beside them',
      'p.json',
      JSON.stringify({
        nodes: [{ adress: '172.18.0.5' }],
        tunnel: { replyPath: 'tunnel' },
        exits: [
          { nam: 'partner', gateways: ['172.18.0.3'], addresses: ['172.18.0.33'], portsPerPod: 64 },
          { name: 'out', interfaces: 'eth1' },
        ],
        policies: [policy],
      }),
      [
        'p.json#/nodes/0/address: expected an IP address, got nothing',
        'p.json#/nodes/0/adress: unknown key, did you mean "address"?',
        'p.json#/exits/0/name: expected a name of at most 63 letters, digits, ".", "_" and "-" that begins with a letter or digit, got nothing',
        'p.json#/exits/0/nam: unknown key, did you mean "name"?',
        'p.json#/exits/1/interfaces: unknown key, did you mean "interface"?',
      ],
    ],
    ['like an empty file are told', 'p.yaml', '', ['p.yaml#: expected an object, got null']],
    ['like no file are told', 'p.json', undefined, ['p.json#: the file does not exist']],
    [
      'like a closed file are told',
      'p.json',
      'denied',
      ['p.json#: the file cannot be read: EACCES: permission denied'],
    ],
    [
      'in the syntax of YAML have line and column',
      'p.yaml',
      'exits: [\npolicies: []\n',
      ['p.yaml#: Flow sequence in block collection must be sufficiently indented and end with a ] at line 2 column 1'],
    ],
    [
      'like two documents in one file are told',
      'p.yaml',
      'exits: []\n---\npolicies: []\n',
      ['p.yaml#: a file is one document, but a second one begins at line 2 column 1'],
    ],
    [
      'like an alias for nothing are told',
      'p.yaml',
      'exits: *none\n',
      ['p.yaml#: a text that begins with "*" needs quotes in YAML: "*none"'],
    ],
    [
      'like a star without quotes are told',
      'p.yaml',
      'policies:\n  - namespaces: [*]\n',
      ['p.yaml#: a text that begins with "*" needs quotes in YAML, like "*" at line 2 column 18'],
    ],
    [
      'have the lines of their places, in JSON as in YAML',
      'p.json',
      '{\n  "exits": [\n    {\n      "name": "a",\n      "iface": "eth1"\n    }\n  ],\n  "polices": [],\n  "exits": []\n}\n',
      [
        'p.json#/exits (line 9): the key is there more than once',
        'p.json#/polices (line 8): unknown key, did you mean "policies"?',
      ],
    ],
    [
      'about something that is missing have the line of what it is missing in',
      'p.yaml',
      'exits:\n  - name: a\n    iface: eth1\n\n  - interface: eth1\n',
      [
        'p.yaml#/exits/0/iface (line 3): unknown key, did you mean "interface"?',
        'p.yaml#/exits/1/name (line 5): expected a name of at most 63 letters, digits, ".", "_" and "-" that begins with a letter or digit, got nothing',
      ],
    ],
    [
      'about a comma too many have its place',
      'p.json',
      '{\n  "clusterCIDRs": ["10.0.0.0/16", "10.96.0.0/12",],\n  "exits": [],\n  "policies": []\n}\n',
      ['p.json#: no JSON: Unexpected token \']\' (line 2 column 50): the comma before "]" is one too many'],
    ],
  ];
  for (const [what, file, text, lines] of rows) {
    test(what, async () => {
      const { stdout, exitCode, stderr } = await validate(file, text);
      assert.deepEqual(stdout.split('\n').slice(0, -1).sort(), lines.sort());
      assert.deepEqual([exitCode, stderr], [1, '']);
    });
  }

  test('in the syntax of JSON have line and column', async () => {
    const { stdout, exitCode } = await validate('p.json', '{\n"exits": [],\n}');
    assert.match(stdout, /^p\.json#: no JSON: .*\(line 3 column 1\)\n$/);
    assert.equal(exitCode, 1);
  });

  test('are one line each, however much YAML multiplies', async () => {
    const tens = (name: string, of: string) => `${name}: &${name} [${Array(10).fill(of)}]\n`;
    const bomb = tens('a', '1') + ['b', 'c', 'd'].map((name, i) => tens(name, `*${'abc'[i]}`)).join('');
    const { stdout, exitCode } = await validate('p.yaml', bomb);
    assert.match(stdout, /^p\.yaml#: Excessive alias count .*\n$/);
    assert.equal(exitCode, 1);
  });
});

describe('--json', () => {
  test('tells errors with their places', async () => {
    const { stdout, exitCode } = await validate('p.json', '{"exits":7}', '--json');
    const message = 'expected a list of exits, got 7';
    assert.deepEqual(JSON.parse(stdout), { errors: [{ source: 'p.json', pointer: '/exits', message }], warnings: [] });
    assert.equal(exitCode, 1);
  });

  test('tells warnings with their places', async () => {
    const { stdout, exitCode } = await validate('p.json', unused, '--json');
    const message = 'no policy uses exit "other"';
    const warnings = [{ source: 'p.json', pointer: '/exits/1', message }];
    assert.deepEqual([JSON.parse(stdout), exitCode], [{ errors: [], warnings }, 0]);
  });

  test('tells what the YAML parser warns of', async () => {
    const { stdout, exitCode } = await validate('p.yaml', 'exits: !list []\n', '--json');
    const warnings = [{ source: 'p.yaml', pointer: '', message: 'Unresolved tag: !list at line 1 column 8' }];
    assert.deepEqual([JSON.parse(stdout), exitCode], [{ errors: [], warnings }, 0]);
  });
});
