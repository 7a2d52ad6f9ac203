import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { type SystemCalls, systemCalls } from '../support/system-calls.ts';

const many = 1000;
/** The most that a call may cost beside many as a part of what it costs beside one. */
const most = 1.1;

// DEL of cni-egress 0.1.0 took 300 ms on a full node; the plugins of Cilium and Antrea ask an agent that has all pods in memory.
test(
  'what a call asks of the kernel does not grow with the pods of the node and their connections',
  labTest,
  async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const model = await node.started();
    const few = await costs(lab, node);
    await crowd(node, model, join(lab.folder, 'flows'));
    const crowded = await costs(lab, node);
    for (const [call, one] of Object.entries(few)) {
      for (const key of ['calls', 'bytes'] as const) {
        const now = crowded[call]?.[key] ?? Number.POSITIVE_INFINITY;
        assert.ok(now < most * one[key], `${call}: ${one[key]} ${key} beside one pod, ${now} beside ${many}`);
      }
    }
  },
);

/** The life of a pod, of one without a policy, and what a runtime asks meanwhile. GC is about all pods by what it is. */
async function costs(lab: Lab, node: LabNode): Promise<Readonly<Record<string, SystemCalls>>> {
  const [pod, other] = await node.withoutEgress(
    async () => [await node.started(), await node.started('other')] as const,
  );
  const verb = (command: 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'VERSION', of: Pod) =>
    systemCalls(lab, (through) => node.plugin(command, { pod: of, through, config: { cniVersion: '1.1.0' } }));
  return {
    VERSION: await verb('VERSION', pod),
    STATUS: await verb('STATUS', pod),
    'ADD of a pod without a policy': await verb('ADD', other),
    ADD: await verb('ADD', pod),
    CHECK: await verb('CHECK', pod),
    DEL: await verb('DEL', pod),
    'DEL of a pod without a policy': await verb('DEL', other),
  };
}

/** Copies of a pod, by its record and its elements, and IPv4 connections of others: of IPv6 the kernel filters none. */
async function crowd(node: LabNode, model: Pod, flowFile: string): Promise<void> {
  const folder = node.state('egress/attachments');
  const [file = ''] = await readdir(folder);
  const record = await readFile(join(folder, file), 'utf8');
  const names = Array.from({ length: many }, (_, i) => `copy${i}`);
  const copied = (text: string, i: number) =>
    (JSON.parse(record).addresses as string[]).reduce(
      (rest, address) =>
        rest.replaceAll(
          address,
          address.includes(':') ? `fd00:10::9:${i.toString(16)}` : `10.0.${8 + (i >> 8)}.${i & 255}`,
        ),
      text.replaceAll(model.containerID, names[i] ?? ''),
    );
  for (const [i, name] of names.entries()) {
    await writeFile(join(folder, file.replace(model.containerID, name)), copied(record, i));
  }
  const elements = await elementsOf(node, model);
  const script = names.flatMap((_, i) =>
    elements.map((element) => `add element inet cni-egress ${copied(element, i)}\n`),
  );
  await node.machine.must(['nft', '-f', '-'], { stdin: script.join('') });
  const flows = names.map(
    (_, i) => `-I -s 198.18.${i >> 8}.${i & 255} -d 198.51.100.9 -p udp --sport 1000 --dport 53 -t 600\n`,
  );
  await writeFile(flowFile, flows.join(''));
  await node.machine.must(['conntrack', '--load-file', flowFile]);
}

/** What the sets of pods have of a pod: `pods4 { 10.0.0.2 comment "…" : jump … }`. */
async function elementsOf({ machine }: LabNode, { containerID }: Pod): Promise<string[]> {
  const table = await machine.must(['nft', 'list', 'table', 'inet', 'cni-egress']);
  const sets = table.matchAll(/^\t(?:set|map) (\w+) \{(.*?)^\t\}/gms);
  return [...sets].flatMap(([, name, body = '']) => {
    const [, elements = ''] = /elements = \{(.*?)\}/s.exec(body) ?? [];
    const own = elements.split(',').find((element) => element.includes(containerID));
    return own === undefined ? [] : [`${name} { ${own.trim()} }`];
  });
}
