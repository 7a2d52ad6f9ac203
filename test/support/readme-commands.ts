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

const needsCluster = { untried: 'needs a cluster, or the container runtime of its nodes' };
const needsSystemd = { untried: 'needs systemd; test/unit/conf/service.test.ts looks at the unit' };

/** Every command that stands in a block of a document. */
export const trials: Readonly<Record<string, Trial>> = {
  'npm run demo': { test: 'test/lab/readme.test.ts' },
  'npm test': { untried: 'it is what runs the tests' },
  'dist/egress validate my-policy.json': { scene: 'new host' },
  'dist/egress install --policy-source my-policy.json': { scene: 'new host' },
  'PATH=$PATH:/opt/cni/bin': { scene: 'new host' },
  'egress status': { scene: 'new host' },
  'kubectl get pod POD -o wide': needsCluster,
  'kubectl -n cni-egress get pods -o wide': needsCluster,
  'kubectl -n cni-egress exec EGRESS-POD -c agent -- egress doctor': needsCluster,
  'egress install --policy-source my-policy.yaml': { scene: 'new host' },
  'install -m 644 egress-agent.service /etc/systemd/system/': needsSystemd,
  'systemctl enable --now egress-agent': needsSystemd,
  'journalctl -u egress-agent -o cat': needsSystemd,
  "(echo 'flush ruleset'; nft list tables | grep -v ' cni-egress$' | while read -r table; do nft -s list $table; done) > /etc/nftables.conf":
    { test: 'test/lab/saved-ruleset.test.ts' },
  'nft list table inet cni-egress': { scene: 'steered pods' },
  'nft list table netdev cni-egress': { scene: 'steered pods' },
  'ip rule': { scene: 'steered pods' },
  'ip route show table all': { scene: 'steered pods' },
  'npm run -s image': { test: 'test/unit/install/image.test.ts' },
  'ctr -n k8s.io images import dist/image.tar': needsCluster,
  'skopeo copy oci:dist/image docker://YOUR.REGISTRY/cni-egress:0.1.0': { untried: 'needs a registry' },
  'helm install cni-egress install/helm/cni-egress --namespace cni-egress --create-namespace': {
    test: 'test/unit/install/helm.test.ts',
  },
  'kubectl label namespace cni-egress pod-security.kubernetes.io/enforce=privileged': needsCluster,
  'kubectl apply -f install/objects.yaml': { test: 'test/cluster/objects.test.ts' },
  'kubectl get egressexits,egresspolicies': { test: 'test/cluster/objects.test.ts' },
  'kubectl explain egresspolicy.spec': { test: 'test/cluster/objects.test.ts' },
  'kubelet --register-with-taints=egress.cni/not-ready=:NoSchedule': needsCluster,
  'node_modules/.bin/node --test test/unit/store/store.test.ts': { scene: 'repository' },
  "node_modules/.bin/node --test --test-name-pattern='first packet' test/lab/first-packet.test.ts": {
    untried: 'npm test runs that file, and this takes as long',
  },
  'grep -ohE "(describe|test)\\(.*" test/lab/first-packet.test.ts': { scene: 'repository' },
  'modprobe vrf && node_modules/.bin/node --test test/kernels/vrf.test.ts': {
    untried: 'the kernel of the lab may have no VRF',
  },
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
