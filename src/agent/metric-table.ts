/** What a metric is. Labels are in the order in which people read them. */
interface Definition {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}

const counter = (help: string, ...labels: readonly string[]) => ({ type: 'counter', help, labels }) as const;
const gauge = (help: string, ...labels: readonly string[]) => ({ type: 'gauge', help, labels }) as const;

/** Seconds: a call of the plugin takes some tens of milliseconds, and a runtime gives up after minutes. */
const callBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

const definitions = {
  build_info: gauge('The agent that runs; always 1.', 'version'),
  start_timestamp_seconds: gauge('When the agent was started.'),

  exit_info: gauge('An exit that is set up on this node; always 1.', 'exit', 'id', 'interface', 'gateway'),
  exit_steered_packets_total: counter('Packets that programs, or the tunnel, sent to an exit.', 'exit'),
  exit_steered_bytes_total: counter('Bytes of the packets that programs, or the tunnel, sent to an exit.', 'exit'),
  exit_left_packets_total: counter('Packets that left by an exit’s interface, with its address.', 'exit'),
  exit_left_bytes_total: counter('Bytes that left by an exit’s interface, with its address.', 'exit'),
  exit_tunnelled_packets_total: counter('Packets that went into the tunnel to an exit’s gateway.', 'exit'),
  exit_tunnelled_bytes_total: counter('Bytes that went into the tunnel to an exit’s gateway.', 'exit'),
  exit_served_packets_total: counter('Packets of other nodes, to an exit that is served here.', 'exit'),
  exit_served_bytes_total: counter('Bytes of other nodes, to an exit that is served here.', 'exit'),
  exit_dropped_packets_total: counter(
    'Packets sent to an exit that did not leave this node, where that is known.',
    'exit',
  ),

  gateway_answers: gauge(
    'Whether the gateway that an exit’s packets are sent to says that it holds the exit’s address: 1, or 0.',
    'exit',
    'gateway',
  ),
  gateway_changes_total: counter('Silent gateways of an exit that were left for another one.', 'exit'),

  vrrp_state: gauge(
    'The state of the Virtual Router of an exit on this gateway: 1 for the one it is in.',
    'exit',
    'state',
  ),
  vrrp_holds: gauge('Whether this gateway has the addresses of an exit: 1, or 0.', 'exit'),
  vrrp_transitions_total: counter('How often this gateway became Active for an exit, or ceased to be.', 'exit'),
  vrrp_bad_packets_total: counter(
    'Packets of VRRP’s protocol that were no advertisements for us, by reason.',
    'interface',
    'reason',
  ),

  dropped_packets_total: counter('Packets that were dropped, by reason.', 'reason'),
  dropped_bytes_total: counter('Bytes that were dropped, by reason.', 'reason'),
  unmarked_packets_total: counter('Packets that somebody took our mark from.'),
  unmarked_bytes_total: counter('Bytes of packets that somebody took our mark from.'),

  pod_packets_total: counter('Packets from a pod that policies are for.', 'pod_namespace', 'pod_name'),
  pod_bytes_total: counter('Bytes from a pod that policies are for.', 'pod_namespace', 'pod_name'),
  pods_omitted: gauge('Pods without series of their own, because of the limit --metrics-pods.'),
  policy_pods: gauge('Pods on this node that a policy is for.', 'policy'),
  attachments: gauge('Interfaces of pods that are set up on this node.'),

  address_connections: gauge('Connections that conntrack knows to leave with an egress address.', 'exit', 'address'),
  address_ports_in_use: gauge('Source ports of an egress address in use.', 'exit', 'address', 'protocol'),

  restored_objects_total: counter('Objects that somebody had taken or changed, and that were put back.', 'kind'),
  applied_objects_total: counter('Objects that were changed because the configuration was.', 'kind'),
  adopted_pods_total: counter('Running pods that were given other exits than they had.'),
  collected_attachments_total: counter('Interfaces of pods that are gone, which were taken down.'),

  rounds_total: counter('Rounds of the agent; one of which a part could not be done has failed.', 'result'),
  round_duration_seconds: {
    type: 'histogram',
    help: 'Durations of rounds that succeeded.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  last_round_timestamp_seconds: gauge('When the last round that succeeded had ended; 0 until then.'),
  failures: gauge('Things that the last round could not make as they should be.'),
  configuration_readable: gauge('Whether the configuration could be read in the last round: 1, or 0.'),

  call_duration_seconds: {
    type: 'histogram',
    help: 'Durations of calls of the plugin, by the log that it writes.',
    labels: ['command'],
    buckets: callBuckets,
  },
  call_errors_total: counter('Failed calls of the plugin, by the log that it writes.', 'command', 'code'),
  call_logs: gauge('Logs of the plugin that are followed; without one there are no metrics of calls.'),

  metrics_errors_total: counter('Attempts to read what is counted that failed.'),
} as const satisfies Readonly<Record<string, Definition>>;

/** Name of a metric, without the prefix that all have. */
export type MetricName = keyof typeof definitions;

/** All metrics of the agent. The conventions are Prometheus': base units, and `_total` for counters. */
export const metricTable: Readonly<Record<MetricName, Definition>> = definitions;

/** The name on the page. */
export const fullName = (name: MetricName): string => `cni_egress_${name}`;
