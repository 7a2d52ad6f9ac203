import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../documents.ts';
import { run } from '../run.ts';
import { kubernetesTool, toolFolder } from '../tools.ts';
import { ourImage, type WholeCluster, type WholeNode } from './whole.ts';

/**
 * Commands of documents, given word for word by somebody with kubectl and helm, in a folder as the repository is: with the image,
 * and with a policy file that was written into the kustomization.
 */
export class DocumentCommands {
  readonly #cluster: WholeCluster;
  readonly #folder: string;
  /** Those that were given. */
  readonly given = new Set<string>();

  constructor(cluster: WholeCluster, policy: object) {
    this.#cluster = cluster;
    this.#folder = join(cluster.lab.folder, 'repository');
    ourImage();
    mkdirSync(this.#folder);
    symlinkSync(join(root, 'dist'), join(this.#folder, 'dist'));
    cpSync(join(root, 'install'), join(this.#folder, 'install'), { recursive: true });
    writeFileSync(join(this.#folder, 'install/kustomize/policy.yaml'), JSON.stringify(policy));
  }

  /** Gives a command, on a node as root there if one is named. What it prints; a failure is an error. */
  async give(command: string, on?: WholeNode): Promise<string> {
    const { code, stdout, stderr } = await this.attempt(command, on);
    if (code !== 0) throw new Error(`${command}: exit code ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Gives a command that may fail. NAME is `internet`, NODE is node 3, POD is our pod there, or in the namespace `default` the one that runs there. */
  async attempt(command: string, on?: WholeNode) {
    const { api } = this.#cluster;
    this.given.add(command);
    const node = this.#cluster.node(3);
    const pod = command.includes('POD') ? await this.#podIn(command, node) : '';
    const script = `cd ${this.#folder}; ${command
      .replace(/(EGRESS-)?POD/, pod)
      .replace('NODE', node.name)
      .replace('NAME', 'internet')}`;
    if (on !== undefined) return on.machine.inside.run(['sh', '-ec', script]);
    const path = [join(kubernetesTool('kubectl'), '..'), toolFolder, process.env.PATH].join(':');
    const environment = [`PATH=${path}`, `KUBECONFIG=${api.file('admin.kubeconfig')}`, `HOME=${this.#folder}`];
    return run(api.machine.inside(['env', ...environment, 'sh', '-ec', script]));
  }

  async #podIn(command: string, node: WholeNode): Promise<string> {
    if (command.includes('-n cni-egress')) return this.#cluster.ourPod(node);
    const chosen = ['--field-selector', `spec.nodeName=${node.name}`, '-o', 'name'];
    return (await this.#cluster.api.kubectl(['get', 'pods', ...chosen])).trim().replace('pod/', '');
  }
}
