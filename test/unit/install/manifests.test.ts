import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { isMap, isScalar, isSeq, type Pair, parseAllDocuments, parseDocument, visit } from 'yaml';
import { defaults } from '../../../src/config/defaults.ts';
import { judgePolicy } from '../../../src/config/read.ts';
import { warningsOf } from '../../../src/config/warnings.ts';
import { startupTaint } from '../../../src/installer/node-taint.ts';
import { schemaProblems } from '../../support/kubernetes-schema.ts';

const folder = new URL('../../../install/kustomize/', import.meta.url);
const textOf = (file: string): string => readFileSync(new URL(file, folder), 'utf8');
const install = (file: string): string => readFileSync(new URL(`../${file}`, folder), 'utf8');
const objectsOf = (text: string) => parseAllDocuments(text).map((document) => document.toJS());
const { version } = JSON.parse(install('../package.json'));
const kustomization = objectsOf(textOf('kustomization.yaml'))[0];
const daemonSet = objectsOf(textOf('daemon-set.yaml'))[0];
const pod = daemonSet.spec.template.spec;
const [installer, agent] = pod.containers;
const containers: readonly [string, typeof installer][] = [
  ['installer', installer],
  ['agent', agent],
];

/** A list of the DaemonSet that stands behind `key`, each item with the comment at its line's end. */
function commentedItems(key: string): { readonly item: unknown; readonly comment: string }[] {
  const found: { item: unknown; comment: string }[] = [];
  visit(parseDocument(textOf('daemon-set.yaml')), {
    Pair(_, pair: Pair) {
      if (!isScalar(pair.key) || pair.key.value !== key || !isSeq(pair.value)) return;
      for (const item of pair.value.items) {
        const scalar = isMap(item) ? item.get('name', true) : item;
        if (isScalar(scalar)) found.push({ item: scalar.value, comment: scalar.comment ?? '' });
      }
    },
  });
  return found;
}

describe('the manifests', () => {
  test('are all named in kustomization.yaml', () => {
    const others = ['kustomization.yaml', 'policy.yaml'];
    const files = readdirSync(folder).filter((file) => /\.yaml$/.test(file) && !others.includes(file));
    assert.deepEqual(files.sort(), [...kustomization.resources].sort());
  });

  for (const file of kustomization.resources as string[]) {
    test(`${file} keeps to the schemas of Kubernetes`, async () => {
      for (const object of objectsOf(textOf(file))) assert.deepEqual(await schemaProblems(object), []);
    });
  }

  test('would not keep to the schemas with a key that is written wrong, or a value of another type', async () => {
    const wrong = structuredClone(daemonSet);
    wrong.spec.template.spec.hostNetwrok = true;
    wrong.spec.template.spec.containers[0].securityContext.capabilities.added = [];
    wrong.spec.template.spec.hostNetwork = 'yes';
    wrong.metadata.lables = { a: 'b' };
    delete wrong.spec.selector;
    assert.deepEqual((await schemaProblems(wrong)).sort(), [
      '/metadata/lables: unknown key',
      '/spec/template/spec/containers/0/securityContext/capabilities/added: unknown key',
      '/spec/template/spec/hostNetwork: type {"type":"boolean"}',
      '/spec/template/spec/hostNetwrok: unknown key',
      '/spec: required {"missingProperty":"selector"}',
    ]);
  });

  test('have no object in a namespace of its own: kustomization.yaml sets it, and people may change it there', () => {
    const named = (kustomization.resources as string[]).filter((file) =>
      objectsOf(textOf(file)).some(({ metadata }) => metadata.namespace !== undefined),
    );
    assert.deepEqual(named, []);
  });
});

describe('the DaemonSet', () => {
  test('has an installer and an agent, with the same image', () => {
    assert.deepEqual(
      pod.containers.map(({ name, image }: { name: string; image: string }) => [name, image]),
      containers.map(([name]) => [name, `localhost/cni-egress:${version}`]),
    );
    assert.deepEqual(agent.command, ['/usr/bin/egress', 'agent']);
  });

  test('drops all capabilities, and says of each that it adds what for', () => {
    const added = containers.map(([, { securityContext }]) => securityContext.capabilities);
    for (const { drop } of added) assert.deepEqual(drop, ['ALL']);
    assert.deepEqual(
      added.map(({ add }) => add),
      [['SYS_CHROOT'], ['NET_ADMIN', 'NET_RAW', 'BPF']],
    );
    const explained = commentedItems('add');
    assert.deepEqual(
      explained.map(({ item }) => item),
      added.flatMap(({ add }) => add),
    );
    for (const { item, comment } of explained) {
      assert.match(comment, /^ \S.*\S/, `${item} has no comment`);
      assert.ok(install('README.md').includes(`| \`${item}\``), `README.md does not list ${item}`);
    }
  });

  test('says of each mount of the host what for, and README.md lists it', () => {
    const explained = commentedItems('volumes');
    assert.equal(explained.length, pod.volumes.length);
    for (const { item, comment } of explained) assert.match(comment, /^ \S.*\S/, `${item} has no comment`);
    for (const { hostPath } of pod.volumes.filter(({ hostPath }: { hostPath?: object }) => hostPath))
      assert.ok(install('README.md').includes(`| \`${hostPath.path}\``), `README.md does not list ${hostPath.path}`);
  });

  for (const [name, { securityContext }] of containers) {
    test(`is not privileged, cannot become more than it is, and writes to nothing but what is mounted to be written: ${name}`, () => {
      const { privileged, allowPrivilegeEscalation, readOnlyRootFilesystem } = securityContext;
      assert.deepEqual([privileged, allowPrivilegeEscalation, readOnlyRootFilesystem], [false, false, true]);
      assert.deepEqual(pod.securityContext.seccompProfile, { type: 'RuntimeDefault' });
      assert.deepEqual([pod.hostPID, pod.hostIPC, pod.hostNetwork], [undefined, undefined, true]);
    });
  }

  test('gives the agent the host’s files at the host’s paths, and only its data folder and parameters to be written', () => {
    const paths = Object.fromEntries(
      pod.volumes.map(({ name, hostPath }: { name: string; hostPath?: { path: string } }) => [name, hostPath?.path]),
    );
    const mounts: { name: string; mountPath: string; readOnly?: true }[] = agent.volumeMounts;
    const moved = mounts.filter(({ name, mountPath }) => paths[name] !== mountPath).map(({ mountPath }) => mountPath);
    assert.deepEqual(moved, ['/host/proc/sys/net', '/run']);
    const written = mounts.filter(({ readOnly }) => readOnly !== true).map(({ mountPath }) => mountPath);
    assert.deepEqual(written, ['/var/lib/cni/egress', '/host/proc/sys/net', '/run']);
    assert.deepEqual(agent.env, [
      { name: 'EGRESS_PROC_SYS', value: '/host/proc/sys' },
      { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
    ]);
    assert.ok(written.includes(defaults.dataDir));
  });

  test('mounts the whole host only to be read', () => {
    const mount = installer.volumeMounts.find(({ name }: { name: string }) => name === 'root');
    assert.deepEqual([mount.readOnly, mount.mountPropagation], [true, 'HostToContainer']);
  });

  test('runs on every node, also on one that is not ready', () => {
    assert.deepEqual(pod.tolerations, [{ operator: 'Exists' }]);
    assert.equal(pod.priorityClassName, 'system-node-critical');
  });

  test('mounts the ConfigMap that kustomization.yaml makes, and reads the file that is in it', () => {
    const [{ name, files }] = kustomization.configMapGenerator;
    const volume = pod.volumes.find(({ configMap }: { configMap?: object }) => configMap);
    assert.equal(volume.configMap.name, name);
    const { mountPath } = installer.volumeMounts.find(({ name }: { name: string }) => name === volume.name);
    const source = installer.env.find(({ name }: { name: string }) => name === 'POLICY_SOURCE');
    assert.equal(source.value, `${mountPath}/${files[0]}`);
  });
});

describe('policy.yaml', () => {
  /** As it is, and with the example instead of its last two lines. */
  const asItIs = textOf('policy.yaml');
  const withExample = asItIs
    .replace(/\nexits: \[\]\npolicies: \[\]\n$/, '\n')
    .replace(/^# (?=tunnel:|exits:|policies:| )/gm, '');

  for (const [what, text] of Object.entries({ 'as it is': asItIs, 'with its example': withExample })) {
    test(`${what} has neither mistakes nor what "egress validate" warns of`, () => {
      const judged = judgePolicy('policy.yaml', parseDocument(text).toJS(), []);
      assert.ok('value' in judged, JSON.stringify(judged));
      assert.deepEqual(warningsOf('policy.yaml', judged.value), []);
    });
  }

  test('steers no pod until somebody writes so', () => {
    assert.deepEqual(parseDocument(asItIs).toJS().policies, []);
    const { policies, exits } = parseDocument(withExample).toJS();
    assert.equal(policies.length, 1);
    assert.deepEqual(
      exits.map(({ gateways }: { gateways: unknown[] }) => gateways.length),
      [2],
      'an address on one node alone would be no exit for pods of the others',
    );
  });
});

describe('the rights at the API', () => {
  const rules = objectsOf(textOf('rbac.yaml')).flatMap(({ rules = [] }) => rules);

  test('are to read and patch nodes, to read labels, exits and policies, also those of others, and to say what became of them, and nothing else', () => {
    const kinds = ['egressexits', 'egresspolicies', 'namespacedegresspolicies'];
    const cilium = ['ciliumegressgatewaypolicies', 'ciliumegressnatpolicies'];
    assert.deepEqual(rules, [
      { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'patch', 'list', 'watch'] },
      { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['egress.cni'], resources: kinds, verbs: ['list', 'watch'] },
      { apiGroups: ['egress.cni'], resources: kinds.map((kind) => `${kind}/status`), verbs: ['patch'] },
      { apiGroups: ['cilium.io'], resources: cilium, verbs: ['list', 'watch'] },
      { apiGroups: [''], resources: ['services'], verbs: ['list', 'watch'] },
      {
        apiGroups: ['apiextensions.k8s.io'],
        resources: ['customresourcedefinitions'],
        resourceNames: ['namespacedegresspolicies.egress.cni', ...cilium.map((kind) => `${kind}.cilium.io`)],
        verbs: ['get'],
      },
      { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
    ]);
  });

  test('are explained in README.md with the taint that they are for', () => {
    assert.ok(install('README.md').includes(`--register-with-taints=${startupTaint}=:NoSchedule`));
  });
});

describe('versions', () => {
  test('are the same in package.json, the DaemonSet, Containerfile and the Helm chart', () => {
    const chart = parseDocument(install('helm/cni-egress/Chart.yaml')).toJS();
    const [, inContainerfile] = /^ARG VERSION=(.*)$/m.exec(install('Containerfile')) ?? [];
    const [, inImage] = installer.image.split(':');
    assert.deepEqual([inImage, inContainerfile, chart.version, chart.appVersion], [version, version, version, version]);
  });
});
