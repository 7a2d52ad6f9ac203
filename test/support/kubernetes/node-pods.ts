import { rmSync, writeFileSync } from 'node:fs';
import { tool } from '../tools.ts';
import { until } from './kubelet.ts';
import { type Place, podObject } from './pods.ts';
import type { WholeNode } from './whole.ts';

/**
 * Pods of one node, as far as the node itself knows and does without an API server: static pods, which a kubelet finds in a folder, and
 * what crictl says and does there.
 */
export class NodePods {
  readonly #node: WholeNode;

  constructor(node: WholeNode) {
    this.#node = node;
  }

  #crictl(...words: readonly string[]) {
    const endpoint = ['--runtime-endpoint', 'unix:///run/containerd/containerd.sock', '--timeout', '300s'];
    return this.#node.machine.inside.run([tool('crictl'), ...endpoint, ...words]);
  }

  /** The running container of a pod, or the sandbox, by its ID; an empty text if there is none. */
  async #find(what: 'ps' | 'pods', pod: string): Promise<string> {
    const ready = what === 'ps' ? [] : ['--state', 'Ready'];
    const { stdout } = await this.#crictl(what, '-q', ...ready, '--label', `io.kubernetes.pod.name=${pod}`);
    return stdout.trim().split('\n')[0] ?? '';
  }

  /** Has the kubelet start a pod; waits until it runs. Returns its name, which ends with the node's. */
  async start(place: Place): Promise<string> {
    writeFileSync(this.#file(place.name), JSON.stringify(podObject(place)));
    const name = `${place.name}-${this.#node.name}`;
    await until(async () => (await this.#find('ps', name)) !== '');
    return name;
  }

  /** Has the kubelet end a pod that {@link start} began; waits until its network is gone. */
  async end(name: string): Promise<void> {
    rmSync(this.#file(name));
    await until(async () => (await this.#find('pods', `${name}-${this.#node.name}`)) === '');
  }

  readonly #file = (name: string): string => this.#node.machine.path(`static/${name}.json`);

  /** Ends the sandbox of a pod, as after a crash; waits until the kubelet has made another one that runs. */
  async renew(pod: string): Promise<void> {
    const old = await this.#find('pods', pod);
    const { code, stderr } = await this.#crictl('stopp', old);
    if (code !== 0) throw new Error(`crictl stopp ${pod}: ${stderr}`);
    await until(async () => {
      const now = await this.#find('pods', pod);
      return now !== '' && now !== old && (await this.#find('ps', pod)) !== '';
    });
  }

  /** With which address a pod is seen outside; `nothing` without an answer. */
  async seen(pod: string, address: string, protocol = 'tcp'): Promise<string> {
    const container = await this.#find('ps', pod);
    const command = ['/usr/bin/python3', '/programs/ask.py', protocol, address, '8080'];
    const { code, stdout } = await this.#crictl('exec', '--sync', container, ...command);
    return code === 0 ? (stdout.split(' ')[0] ?? '') : 'nothing';
  }
}
