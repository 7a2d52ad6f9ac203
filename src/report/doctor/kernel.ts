import type { Feature, Trial } from '../../datapath/examiner.ts';
import { notHeldBack } from '../../node/check-node.ts';
import type { Facts } from './facts.ts';
import { fault, ok, type Seen, warning } from './finding.ts';

/** What a node without the feature lacks, and the remedy; a feature that nothing needs is none of a fault. */
const needs: Readonly<Record<Feature, { readonly lack: string; readonly remedy: string; readonly isFault: boolean }>> =
  {
    nf_tables: {
      lack: 'no pod can be steered',
      remedy: 'a kernel with CONFIG_NF_TABLES; modprobe nf_tables',
      isFault: true,
    },
    fib: {
      lack: 'no pod can be steered',
      remedy: 'a kernel with CONFIG_NFT_FIB_INET; modprobe nft_fib_inet',
      isFault: true,
    },
    intervals: { lack: 'no pod can be steered', remedy: 'Linux 4.19 or newer', isFault: true },
    'egress hook': {
      lack: 'what leaves by an exit is not counted at its interface',
      remedy: 'Linux 5.16 or newer with CONFIG_NETFILTER_EGRESS, if you want to see it',
      isFault: false,
    },
    'group policy': {
      lack: 'exits with gateways do not work on this node',
      remedy: 'a kernel with CONFIG_VXLAN; modprobe vxlan',
      isFault: true,
    },
    flowtable: {
      lack: 'exits with fastPath go the ordinary way',
      remedy: 'modprobe nf_flow_table_inet nft_flow_offload, or a kernel with CONFIG_NF_FLOW_TABLE_INET',
      isFault: false,
    },
  };

/** The kernel’s version, and the features that egress is made of, each tried. */
export async function kernel({ system, examiner, usesTunnel, node }: Facts): Promise<readonly Seen[]> {
  const trials = await examiner.tryFeatures();
  const held = node?.unmarked
    ? [warning(notHeldBack, 'modprobe cls_bpf, and give egress CAP_BPF; then egress repair')]
    : [];
  if ('untried' in trials) {
    // As in the agent's container, on every node of a cluster: no reason to look there.
    const where = 'egress doctor as root on the host tries its features, too';
    return [ok(`Linux ${system.kernel}; ${where} (here ${trials.untried})`), ...held];
  }
  const usesFastPath = node?.exits.some(({ fastPath }) => fastPath) === true;
  const wrong = trials.flatMap((trial) => lackOf(trial, { usesTunnel, usesFastPath }));
  const working = trials.filter(({ problem }) => problem === undefined).map(({ feature }) => feature);
  return [...wrong, ...held, ok(`Linux ${system.kernel}; tried: ${working.join(', ')}`)];
}

function lackOf(
  { feature, problem }: Trial,
  { usesTunnel, usesFastPath }: { readonly usesTunnel: boolean; readonly usesFastPath: boolean },
): Seen[] {
  const { lack, remedy, isFault } = needs[feature];
  if (problem === undefined) return [];
  const text = `the kernel refuses ${feature} (${problem}): ${lack}`;
  if (feature === 'flowtable' && !usesFastPath)
    return [ok(`the kernel has no ${feature} (${problem}); egress needs none here`)];
  return [isFault && (feature !== 'group policy' || usesTunnel) ? fault(text, remedy) : warning(text, remedy)];
}
