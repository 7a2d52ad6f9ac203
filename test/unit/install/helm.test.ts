import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { schemaProblems } from '../../support/kubernetes-schema.ts';

const root = resolve(import.meta.dirname, '../../..');
const tool = (name: string): string => resolve(root, '.cache/tools', name);
const missing = ['helm', 'kustomize'].filter((name) => !existsSync(tool(name)));
/** They take minutes to build, so only whoever wants this test builds them, and CI. */
const skip =
  missing.length > 0 && process.env.CI !== 'true'
    ? `not run: no ${missing.join(', no ')} in .cache/tools; "sh install/tools.sh charts" builds them`
    : false;

interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  // biome-ignore lint/suspicious/noExplicitAny: any object of Kubernetes
  readonly [key: string]: any;
}

const objectsIn = (text: string): KubernetesObject[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS())
    .filter((object) => object !== null);

const chart = resolve(root, 'install/helm/cni-egress');
const helmArguments = (...set: readonly string[]): string[] => [
  ...['template', 'cni-egress', chart, '--namespace', 'cni-egress', '--kube-version', '1.32.0'],
  ...set.flatMap((value) => ['--set-json', value]),
];
const helm = (...set: readonly string[]): KubernetesObject[] =>
  objectsIn(execFileSync(tool('helm'), helmArguments(...set), { encoding: 'utf8' }));
const kustomize = (folder = 'kustomize'): KubernetesObject[] =>
  objectsIn(execFileSync(tool('kustomize'), ['build', resolve(root, 'install', folder)], { encoding: 'utf8' }));

/** The objects of a kustomization of somebody's own, in a folder of its own beside this project. */
function ownKustomization(text: string, policy: string): KubernetesObject[] {
  const folder = mkdtempSync(join(root, 'dist', '.kustomization-'));
  try {
    mkdirSync(join(folder, 'cluster'));
    symlinkSync(root, join(folder, 'cni-egress'));
    writeFileSync(join(folder, 'cluster/kustomization.yaml'), text);
    writeFileSync(join(folder, 'cluster/policy.yaml'), policy);
    return objectsIn(execFileSync(tool('kustomize'), ['build', join(folder, 'cluster')], { encoding: 'utf8' }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const policyIn = (object: KubernetesObject) => parseAllDocuments(object.data['policy.yaml'])[0]?.toJS();

/** By kind, without definitions, which a chart has beside its templates; the policy as it is read, for its comments are only in one of them. */
const byKind = (objects: readonly KubernetesObject[]) =>
  Object.fromEntries(
    objects
      .filter(({ kind }) => kind !== 'CustomResourceDefinition')
      .map((object) => [
        object.kind,
        object.kind === 'ConfigMap' ? { ...object, data: { 'policy.yaml': policyIn(object) } } : object,
      ]),
  );

const installerIn = (objects: readonly KubernetesObject[]) =>
  objects.find(({ kind }) => kind === 'DaemonSet')?.spec.template.spec;

const templateIn = (objects: readonly KubernetesObject[]): KubernetesObject => {
  const set = objects.find(({ kind }) => kind === 'DaemonSet');
  assert.ok(set);
  return set.spec.template;
};

const names = (items: readonly { readonly name: string }[]): readonly string[] => items.map(({ name }) => name);

describe('the Helm chart', { skip }, () => {
  test('installs as it is what the kustomization does; the namespace is made by helm', () => {
    const { Namespace, ...others } = byKind(kustomize());
    assert.ok(Namespace);
    assert.deepEqual(byKind(helm()), others);
  });

  test('takes egress off the nodes as kustomize-remove does', () => {
    const { Namespace, ...others } = byKind(kustomize('kustomize-remove'));
    assert.ok(Namespace);
    assert.deepEqual(byKind(helm('uninstall=true')), others);
    const set = others.DaemonSet;
    const [container, agent] = set?.spec.template.spec.containers ?? [];
    assert.equal(
      set?.spec.updateStrategy.rollingUpdate.maxUnavailable,
      '100%',
      'a node that waits keeps no other waiting',
    );
    assert.deepEqual(
      container.readinessProbe.exec.command,
      ['/usr/bin/egress', 'ready'],
      'so kubectl shows when it is done',
    );
    assert.equal(container.startupProbe, undefined);
    assert.deepEqual(agent.command, ['/usr/bin/egress', 'agent'], 'somebody has to end what the node serves');
    assert.ok(names(container.volumeMounts).includes('data'));
    assert.deepEqual(
      [...container.command, ...container.args],
      ['/usr/bin/egress', 'uninstall', '--drain', '--binary', '--stay'],
    );
  });

  test('shows in "kubectl exec" without -c what the plugin keeps of the node', () => {
    for (const [set, name] of [
      [[], 'agent'],
      [['agent={"enabled":false}'], 'installer'],
    ] as const) {
      const { metadata, spec } = templateIn(helm(...set));
      assert.equal(metadata.annotations['kubectl.kubernetes.io/default-container'], name);
      assert.ok(names(spec.containers).includes(name));
    }
  });

  test('keeps to the schemas of Kubernetes, as it is and with every value changed', async () => {
    const changed = helm(
      'image={"repository":"example/egress","tag":"9","pullPolicy":"Always","pullSecrets":["one"]}',
      'cni={"binDir":"/usr/lib/cni","confDir":"/etc/cni/other"}',
      'env=[{"name":"A","value":"1"}]',
      'nodeSelector={"a":"b"}',
      'tolerations=[{"key":"k","operator":"Exists"}]',
      'maxUnavailable=3',
      'resources={"limits":{"memory":"1Gi"}}',
      'agent={"metrics":"[::1]:9000","resources":{"limits":{"memory":"2Gi"}}}',
    );
    for (const object of [...helm(), ...changed, ...kustomize()]) assert.deepEqual(await schemaProblems(object), []);
    const { containers, volumes, nodeSelector, tolerations, imagePullSecrets } = installerIn(changed);
    assert.equal(containers[0].image, 'example/egress:9');
    assert.deepEqual(imagePullSecrets, [{ name: 'one' }]);
    assert.deepEqual(
      containers.map(({ resources }: KubernetesObject) => resources.limits.memory),
      ['1Gi', '2Gi'],
    );
    assert.deepEqual(containers[1].args, ['--conf-dir', '/etc/cni/other', '--metrics', '[::1]:9000']);
    const { httpGet } = containers[1].readinessProbe;
    assert.deepEqual([httpGet.host, httpGet.port], ['::1', 9000]);
    assert.deepEqual(containers[0].env.at(-1), { name: 'A', value: '1' });
    assert.deepEqual(
      [nodeSelector, tolerations],
      [{ 'kubernetes.io/os': 'linux', a: 'b' }, [{ key: 'k', operator: 'Exists' }]],
    );
    const paths = volumes.map(({ hostPath }: { hostPath?: { path: string } }) => hostPath?.path);
    assert.ok(paths.includes('/usr/lib/cni') && paths.includes('/etc/cni/other'), paths.join(' '));
  });

  for (const [metrics, hosts] of Object.entries({ off: [], '0.0.0.0:9000': ['127.0.0.1', '127.0.0.1'] })) {
    test(`asks the agent whether it is well where that can be asked: ${metrics}`, () => {
      const [, agent] = installerIn(helm(`agent.metrics="${metrics}"`)).containers;
      assert.deepEqual(
        [agent.readinessProbe, agent.livenessProbe].flatMap((probe) => probe?.httpGet.host ?? []),
        hosts,
      );
    });
  }

  for (const uninstall of [false, true]) {
    test(`keeps pods in one place for installer and agent, another one, too: uninstall ${uninstall}`, () => {
      const { containers, volumes } = installerIn(helm('cni.dataDir="/srv/egress"', `uninstall=${uninstall}`));
      const [installer, agent] = containers;
      const mountOf = ({ volumeMounts }: KubernetesObject) =>
        volumeMounts.find(({ name }: { name: string }) => name === 'data')?.mountPath;
      assert.equal(installer.env.find(({ name }: { name: string }) => name === 'DATA_DIR')?.value, '/srv/egress');
      assert.deepEqual(agent.args.slice(2, 4), ['--data-dir', '/srv/egress']);
      assert.deepEqual(
        [mountOf(installer), mountOf(agent)],
        [uninstall ? '/host-files/srv/egress' : undefined, '/srv/egress'],
      );
      assert.equal(volumes.find(({ name }: { name: string }) => name === 'data').hostPath.path, '/srv/egress');
    });
  }

  test('has no agent when none is wanted, and none of its folders of the host', async () => {
    const objects = helm('agent.enabled=false');
    for (const object of objects) assert.deepEqual(await schemaProblems(object), []);
    const { containers, volumes } = installerIn(objects);
    assert.deepEqual(names(containers), ['installer']);
    assert.deepEqual(names(volumes), ['bin', 'conf', 'egress-conf', 'root', 'policy', 'run']);
    const removing = installerIn(helm('agent.enabled=false', 'uninstall=true'));
    assert.ok(names(removing.volumes).includes('data'));
  });

  test('leaves out what is not wanted', () => {
    const kinds = helm('resourceQuota.create=false', 'podDisruptionBudget.create=false').map(({ kind }) => kind);
    assert.deepEqual(
      kinds.filter((kind) => kind === 'ResourceQuota' || kind === 'PodDisruptionBudget'),
      [],
    );
  });

  for (const [value, place] of Object.entries({
    'cni.binDri="/opt/cni/bin"': /binDri/,
    'cni.binDir="opt/cni/bin"': /binDir/,
    'cni.dataDir="data"': /dataDir/,
    'env=[{"name":"DATA_DIR","value":"/srv/egress"}]': /set cni.dataDir instead/,
    'image.tag=1': /tag/,
    'agent.enabled="no"': /enabled/,
    'agent.metric="off"': /metric/,
    'agent.metrics="localhost"': /metrics/,
    'maxUnavailable="ten"': /maxUnavailable/,
  })) {
    test(`refuses ${value}`, () => {
      const { status, stderr } = spawnSync(tool('helm'), helmArguments(value), { encoding: 'utf8' });
      assert.notEqual(status, 0);
      assert.match(stderr, place);
    });
  }
});

describe('a kustomization of somebody’s own, as README.md has it', { skip }, () => {
  const [, asWritten = ''] =
    /```yaml\n(resources: [^`]*)```/.exec(readFileSync(join(root, 'install/README.md'), 'utf8')) ?? [];
  const policy = 'clusterCIDRs: [10.7.0.0/16]\nexits: []\npolicies: []\n';
  const removing = 'components: [../cni-egress/install/kustomize-remove/component]\n';

  for (const [what, { text, words }] of Object.entries({
    'installs with its image and its policy': { text: asWritten, words: ['--watch'] },
    'and with the component takes egress off, with its image and its policy until then': {
      text: `${asWritten}${removing}`,
      words: ['--drain', '--binary', '--stay'],
    },
  })) {
    test(what, async () => {
      const objects = ownKustomization(text, policy);
      const { containers } = installerIn(objects);
      assert.deepEqual(
        containers.map(({ image }: KubernetesObject) => image),
        ['YOUR.REGISTRY/cni-egress:0.1.0', 'YOUR.REGISTRY/cni-egress:0.1.0'],
      );
      assert.deepEqual(containers[0].args, words);
      const maps = objects.filter(({ kind }) => kind === 'ConfigMap');
      assert.deepEqual(maps.map(policyIn), [{ clusterCIDRs: ['10.7.0.0/16'], exits: [], policies: [] }]);
      assert.deepEqual(
        maps.map(({ metadata }) => metadata.name),
        ['cni-egress-policy'],
      );
      for (const object of objects) assert.deepEqual(await schemaProblems(object), []);
    });
  }
});
