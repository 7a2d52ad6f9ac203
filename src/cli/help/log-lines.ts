import type { Topic, Words } from './topic.ts';

/** Of each message that a log may hold. A remedy where there is something to do. */
const words: Readonly<Record<string, Words & { readonly remedy: string }>> = {
  done: {
    cause: 'A call of the plugin ended well.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","command":"ADD","msg":"done"}',
    solution: '“durationMs” is how long it took.',
  },
  failed: {
    cause:
      'A call of the plugin ended with an error, which the runtime was told, too: “code” is its name, “error” has the details.',
    remedy: 'Look the code up: egress help CODE',
    example: '{"level":"warn","command":"ADD","code":"exit-interface","msg":"failed"}',
    solution: 'egress help exit-interface',
  },
  changing: {
    cause: 'With the log level debug: these commands stand for what is changed in the kernel now.',
    remedy: 'Nothing has to be done',
    example: '{"level":"debug","tried":1,"commands":"nft -f - <<…","msg":"changing"}',
    solution: '“tried” above 1: somebody else changed the ruleset at the same time.',
  },
  'ADD failed, and could not be undone': {
    cause:
      'An ADD failed, and so did the attempt to take back what it had made. The record stays for the DEL that the runtime sends.',
    remedy: 'Nothing, when a DEL follows; else egress gc',
    example: '{"level":"warn","attachment":"pods/4f2a/eth0","error":"…","msg":"ADD failed, and could not be undone"}',
    solution: 'egress gc --dry-run shows what is left, egress gc removes it.',
  },
  'pods are steered, but what a flushed ruleset lets through is not held back': {
    cause: 'The kernel took no filter at a pod’s interface.',
    remedy: 'modprobe cls_bpf, and give egress CAP_BPF; then egress repair',
    example: '{"level":"warn","error":"What comes in by veth1a2b3c4d cannot be marked: ENOENT", …}',
    solution: 'egress help cannot-mark',
  },
  'could not be taken off its connections': {
    cause:
      'Connections of a pod were held by the exit that they began with, and the pod’s element could not be removed after the last had ended.',
    remedy: 'Nothing: it is tried again with the next change',
    example:
      '{"level":"warn","attachment":"pods/4f2a/eth0","error":"…","msg":"could not be taken off its connections"}',
    solution: 'egress repair, when it stays.',
  },
  'could not hold its connections': {
    cause:
      'Connections of a running pod should stay with the exit that they began with, and could not be held before the pod’s change. The change makes what is missing, or says why it cannot.',
    remedy: 'Nothing: it is tried again with the next change',
    example: '{"level":"warn","attachment":"pods/4f2a/eth0","error":"…","msg":"could not hold its connections"}',
    solution: 'egress adopt --outdated, when it stays.',
  },
  'could not be repaired': {
    cause: 'An exit, a pod or the gateway’s side (“of”) could not be set up again. The others were.',
    remedy: 'Mend what “error” names, then egress repair',
    example: '{"level":"warn","of":"partners","error":"…which is down","msg":"could not be repaired"}',
    solution: 'ip link set eth1 up; egress repair',
  },
  'node.json and our table are both gone: rp_filter of the exits’ interfaces stays as it is, whatever it was before egress':
    {
      cause: 'Nobody knows any more which value a kernel parameter had before egress.',
      remedy: 'Set it to the value that you want',
      example: '{"level":"warn","exits":["partners"], …}',
      solution: 'sysctl -w net.ipv4.conf.eth1.rp_filter=1',
    },
  'the process of the fast path ended; another one begins': {
    cause:
      'Exits with fastPath have a process beside the agent. It ended before it should. Connections went the ordinary way from then on.',
    remedy: 'Nothing, when it stays: another one begins at once',
    example: '{"level":"warn","problem":"ended with SIGKILL", …}',
    solution: 'egress status tells whether the fast path is on again.',
  },
  'none of ours, and left alone': {
    cause:
      'A table, rule or route has our name or our number and is not of a shape that egress makes. It is not touched.',
    remedy: 'Find out whose it is, and give it another name or number',
    example: '{"level":"warn","left":"ip rule priority 900 …","msg":"none of ours, and left alone"}',
    solution: 'egress doctor lists all of them under numbers.',
  },
  'the store cannot be changed: a record is left of what is gone': {
    cause: 'The disk is full or read-only. What a pod had in the kernel is gone, and its record is still there.',
    remedy: 'Make room, then egress gc',
    example: '{"level":"warn","error":"ENOSPC…","msg":"the store cannot be changed: a record is left of what is gone"}',
    solution: 'df -h /var/lib/cni; egress gc',
  },
  'metrics can be read': {
    cause: 'The agent shows its metrics at “url”.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","url":"http://127.0.0.1:14597/metrics","msg":"metrics can be read"}',
    solution: 'curl -s http://127.0.0.1:14597/metrics',
  },
  'has looked at all of the node once': {
    cause: 'The agent’s first round is over.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","msg":"has looked at all of the node once"}',
    solution: 'From now on a change of the node is seen at once.',
  },
  'egress leaves this node: the agent begins nothing any more': {
    cause: 'egress uninstall --drain was called: pods that end are cleaned up after, and no pod begins to be steered.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","msg":"egress leaves this node: the agent begins nothing any more"}',
    solution: 'When it was a mistake: egress install.',
  },
  'serves no exit to others any more: egress leaves this node': {
    cause: 'The same, on a gateway: its egress addresses are taken away.',
    remedy: 'Move its exits to another gateway before: egress exit move',
    example: '{"level":"info","exits":["internet"], …}',
    solution: 'egress exit move internet --to 172.18.0.4, first there.',
  },
  'the gateway was silent and another has the address: its pods use that one': {
    cause:
      'The gateway in use did not answer through the tunnel, and another gateway of the exit says that it has the address. The agent moved the exit on this node.',
    remedy: 'Look after the silent gateway: egress doctor there',
    example: '{"level":"info","exit":"internet","from":"172.18.0.3","to":"172.18.0.4","tookMs":210, …}',
    solution: 'egress status shows which gateway is used.',
  },
  'the node is as the configuration says now': {
    cause: 'The policy file or the chain entry changed, and the agent made it so: “applied” has what was changed.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","applied":["route default via 192.168.0.9 …"], …}',
    solution: 'egress status',
  },
  'set up what was not there when the agent began': {
    cause:
      'The agent began on a node that is a gateway now, or after a reboot, or after somebody took something while no agent ran: “mended” has what.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","mended":["table inet cni-egress is missing", …], …}',
    solution: 'egress status shows what the node serves.',
  },
  'put back what somebody had taken or changed': {
    cause: 'Somebody flushed, removed or changed something of ours: “mended” has what, “wrongForMs” for how long.',
    remedy: 'Find out who does it: a firewall that flushes the ruleset, a tool that resets parameters',
    example: '{"level":"info","mended":["table inet cni-egress"],"wrongForMs":45, …}',
    solution: 'grep -r "flush ruleset" /etc/nftables.conf /etc/nftables.d, and flush its own tables there.',
  },
  'took down what pods left that are gone': {
    cause: 'A pod ended without a DEL, as after a crash of the runtime.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","collected":["pods/4f2a/eth0"], …}',
    solution: 'egress gc does the same by hand.',
  },
  'an object of the cluster is refused': {
    cause:
      'An EgressExit or EgressPolicy has a mistake, or contradicts another one or the policy file. It changes nothing else.',
    remedy: 'Mend the object at the place that the line names',
    example:
      '{"level":"warn","object":"EgressPolicy web","problems":"#/spec/exit: unknown exit …","inForce":"dropped", …}',
    solution: 'kubectl get egresspolicies -o wide shows the same; "inForce" says what counts on this node until then.',
  },
  'the kernel had no room for its notifications: all of the node is looked at': {
    cause:
      'So much changed at once that the kernel threw notifications away. What they told is not lost: the agent looks at everything.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","msg":"the kernel had no room for its notifications: all of the node is looked at"}',
    solution: 'When it comes all the time, find out what changes so much: nft monitor, ip monitor.',
  },
  'could not be done': {
    cause:
      'Something is not as it should be, and the agent cannot make it so: “failure” has the reason. It is said once, and tried again each round.',
    remedy: 'Mend what “failure” names; egress doctor tells more',
    example:
      '{"level":"warn","failure":"partners: exit \\"partners\\" drops what is to leave with …","msg":"could not be done"}',
    solution: 'The line “is no more” with the same failure says that it is over.',
  },
  'is no more': {
    cause: 'A failure that was told before is over, or another one.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","failure":"…","msg":"is no more"}',
    solution: 'egress check',
  },
  adopted: {
    cause: 'A pod that ran already was given its exits.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","pod":{"namespace":"default","name":"web"},"msg":"adopted"}',
    solution: 'egress status shows it.',
  },
  'the agent looks after this node': {
    cause: 'The agent has begun.',
    remedy: 'Nothing has to be done',
    example: '{"level":"info","dataDir":"/var/lib/cni/egress","msg":"the agent looks after this node"}',
    solution: 'egress status says since when.',
  },
  'the agent ends, and leaves the node as it is': {
    cause: 'The agent was told to stop. Pods go on to be steered; nothing is mended by itself any more.',
    remedy: 'Start it again, when that was not meant',
    example: '{"level":"info","msg":"the agent ends, and leaves the node as it is"}',
    solution: 'systemctl start egress-agent',
  },
};

/** A page for each message of a log, by its text. */
export const logTopics: readonly Topic[] = Object.entries(words).map(([message, rest]) => ({
  kind: 'log line',
  names: [message],
  title: message,
  ...rest,
}));
