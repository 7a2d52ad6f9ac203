/** Where a command of a document is tried. */
export type Trial =
  /** `test/lab/readme.test.ts` gives it, word for word, in this scene. */
  | { readonly scene: Scene }
  /** Another test gives it, or what it stands for. */
  | { readonly test: string }
  /** No test can give it. Its files, scripts, commands and options are looked for all the same. */
  | { readonly untried: string };

/** Where `test/lab/readme.test.ts` gives commands: the repository, a new host, a node with steered pods. */
export type Scene = 'repository' | 'new host' | 'steered pods';

const inCluster = { test: 'test/cluster/whole-commands.test.ts' };
const needsSystemd = { untried: 'needs systemd; test/unit/conf/service.test.ts looks at the unit' };

const onOtherKernels = {
  untried: 'needs a disk of Debian, which takes minutes to make, and minutes of an emulated machine',
};

/** Every command that stands in a block of a document. */
export const trials: Readonly<Record<string, Trial>> = {
  'npm run demo': { test: 'test/lab/readme.test.ts' },
  'npm test': { untried: 'it is what runs the tests' },
  'dist/egress validate my-policy.json': { scene: 'new host' },
  'dist/egress install --policy-source my-policy.json': { scene: 'new host' },
  'PATH=$PATH:/opt/cni/bin': { scene: 'new host' },
  'egress status': { scene: 'new host' },
  'kubectl get pod POD -o wide': inCluster,
  'kubectl -n cni-egress get pods -o wide': inCluster,
  'kubectl -n cni-egress exec EGRESS-POD -c agent -- egress doctor': inCluster,
  'egress install --policy-source my-policy.yaml': { scene: 'new host' },
  'install -m 644 egress-agent.service /etc/systemd/system/': needsSystemd,
  'systemctl enable --now egress-agent': needsSystemd,
  'journalctl -u egress-agent -o cat': needsSystemd,
  "(echo 'flush ruleset'; nft list tables | grep -vE ' cni-egress(-fast)?$' | while read -r table; do nft -s list $table; done) > /etc/nftables.conf":
    { test: 'test/lab/saved-ruleset.test.ts' },
  'nft list table inet cni-egress': { scene: 'steered pods' },
  'nft list table netdev cni-egress': { scene: 'steered pods' },
  'ip rule': { scene: 'steered pods' },
  'ip route show table all': { scene: 'steered pods' },
  'npm run -s image': { test: 'test/unit/install/image.test.ts' },
  'ctr -n k8s.io images import dist/image.tar': inCluster,
  'skopeo copy oci:dist/image docker://YOUR.REGISTRY/cni-egress:0.1.0': { untried: 'needs a registry' },
  'helm install cni-egress install/helm/cni-egress --namespace cni-egress --create-namespace': inCluster,
  'kubectl label namespace cni-egress pod-security.kubernetes.io/enforce=privileged': inCluster,
  'kubectl apply -f install/objects.yaml': { test: 'test/cluster/objects.test.ts' },
  'kubectl get egressexits,egresspolicies': inCluster,
  'kubectl explain egresspolicy.spec': { test: 'test/cluster/objects.test.ts' },
  'kubelet --register-with-taints=egress.cni/not-ready=:NoSchedule': { test: 'test/cluster/whole.test.ts' },
  'node_modules/.bin/node --test test/unit/store/store.test.ts': { scene: 'repository' },
  "node_modules/.bin/node --test --test-name-pattern='first packet' test/lab/first-packet.test.ts": {
    untried: 'npm test runs that file, and this takes as long',
  },
  'grep -ohE "(describe|test)\\(.*" test/lab/first-packet.test.ts': { scene: 'repository' },
  'npm run test:kernels': onOtherKernels,
  'npm run test:kernels -- bookworm test/lab/first-packet.test.ts': onOtherKernels,
};

/** Every block that shows what a program says, or how parts hang together, by its first line. */
export const shown: Readonly<Record<string, { readonly test: string } | { readonly drawing: string }>> = {
  'Before, with the chain "bridge", they are the addresses of three nodes:': { test: 'test/lab/readme.test.ts' },
  'EXIT      ID     INTERFACE  ADDRESS        NEXT HOP                 HEALTH  SERVED  STEERED  LEFT  DROPPED': {
    test: 'test/lab/readme.test.ts',
  },
  'partner-a/web-0 10.0.0.2 → tcp 203.0.113.9:443 leaves by exit "partners" (eth1, next hop 192.168.0.1) with 192.168.0.240.':
    { test: 'test/lab/readme.test.ts' },
  'FAULT    forwarding      net.ipv4.ip_forward is 0, so the node forwards nothing': {
    test: 'test/lab/doctor.test.ts',
  },
  '113 Pod partner-a/web-0: egress knows no annotation "egress.cni/exits", did you mean "egress.cni/exit"?': {
    test: 'test/unit/conf/published.test.ts',
  },
  '/etc/cni/egress/policy.json#/exits/0/nextHop: expected an IP address, got "192.168.0"': {
    test: 'test/unit/conf/published.test.ts',
  },
  'pod ──► classify (nftables, prerouting)     which program has this source address?': {
    drawing: 'chains on a node; test/unit/datapath/layout.test.ts knows their names',
  },
  "pod's node    ip rule ──► table 500007      default via 172.18.0.3 dev egress0 onlink, or unreachable": {
    drawing: 'chains on two nodes; test/unit/datapath/layout.test.ts knows their names',
  },
};

/** Commands of kubectl and helm within sentences and tables. */
export const ofClusters: Readonly<Record<string, Trial>> = {
  'kubectl apply -k install/kustomize': inCluster,
  'kubectl -n cni-egress get pods': inCluster,
  'kubectl -n cni-egress exec POD -c installer -- egress ready': inCluster,
  'kubectl -n cni-egress exec POD -c agent -- egress status': inCluster,
  'kubectl -n cni-egress exec POD -c agent -- egress doctor': inCluster,
  'kubectl -n cni-egress logs POD -c agent': inCluster,
  'kubectl -n cni-egress get pods -o wide': inCluster,
  'kubectl get nodes -o yaml': inCluster,
  'kubectl get nodes -o wide': inCluster,
  "kubectl get nodes -o jsonpath='{.items[*].spec.podCIDRs}'": inCluster,
  'kubectl get servicecidrs': inCluster,
  'kubectl get egresspolicies': inCluster,
  'kubectl describe egresspolicy NAME': inCluster,
  'kubectl taint node NODE egress.cni/not-ready-': inCluster,
  'kubectl apply -k install/kustomize-remove': inCluster,
  'kubectl -n cni-egress rollout status daemonset cni-egress': inCluster,
  'kubectl -n cni-egress logs POD -c installer': inCluster,
  'kubectl delete -k install/kustomize': inCluster,
  'helm upgrade cni-egress install/helm/cni-egress --namespace cni-egress --reuse-values --set uninstall=true':
    inCluster,
  'helm uninstall cni-egress --namespace cni-egress': inCluster,
  'kubectl get': { untried: 'names the command' },
  'kubectl apply': { untried: 'names the command' },
  'kubectl delete -k': { test: 'test/cluster/whole-life.test.ts' },
};

/** Those that a whole cluster is given, of blocks and of sentences. */
export const givenInCluster: readonly string[] = Object.entries({ ...trials, ...ofClusters }).flatMap(
  ([command, trial]) => (trial === inCluster ? [command] : []),
);

const waits = 'goes on until it is told to stop, or packets come';
const installs = 'test/lab/installer.test.ts and uninstall-gateway.test.ts give it with folders of their own';
const named = 'names the command; what it needs behind it stands elsewhere';

/** Commands of egress within sentences and tables that `test/lab/readme.test.ts` does not give, with the reason. */
export const untriedInText: Readonly<Record<string, string>> = {
  'egress agent': waits,
  'egress status --watch': waits,
  'egress gateway --watch': waits,
  'egress trace': named,
  'egress trace POD DESTINATION': waits,
  'egress trace default/web udp/203.0.113.9:5060': waits,
  'egress gateway --drain': 'needs an agent: test/lab/drain.test.ts',
  'egress gateway --undrain': 'needs an agent: test/lab/drain.test.ts',
  'egress install': installs,
  'egress install --policy-source my-policy.yaml': 'a block of conf/README.md has it, too, and is tried',
  'egress uninstall': installs,
  'egress uninstall --drain': installs,
  'egress uninstall --drain --binary': installs,
  'egress ready': installs,
  'egress ready --wait 25': 'test/unit/installer/drain.test.ts',
  'egress import FILE… --gateway ADDRESS --node RANGE --cluster-cidr RANGE': 'test/unit/cli/import.test.ts',
  'egress man | man -l -': 'a lab has no man; test/unit/cli/shell.test.ts looks at the page',
  'egress import': named,
  'egress explain': named,
  'egress who': named,
  'egress who ADDRESS:PORT': named,
  'egress exit move': named,
  'egress validate': named,
  'dist/egress validate install/kustomize/policy.yaml': 'test/unit/install/manifests.test.ts',
};

/** Commands within sentences that end with 1 where `test/lab/readme.test.ts` gives them, as they should: nobody has that address. */
export const findNothing: readonly string[] = ['egress who 192.0.2.50:40000', 'egress who 192.168.0.245:1300'];
