/** `docs/metrics.md`: what the server and the backends register, asked of the registries themselves. */
import { SILENT_LOG } from '../base/ports.ts';
import type { MetricDoc } from '../base/read_metrics.ts';
import { systemClock } from '../base/system_ports.ts';
import { AgentMetrics, type AgentMetricsDeps } from '../be-agent/agent_metrics.ts';
import { WarmUpTraffic } from '../be-agent/warm_up_traffic.ts';
import { ServerMetrics } from '../server/server_metrics.ts';
import type { Services } from '../server/services.ts';

/** Text of the page below its first line. */
export function metricsPage(): string {
  // Nothing is read from these: only a scrape would.
  const traffic = new WarmUpTraffic({ clock: systemClock, log: SILENT_LOG, slowMs: () => 0 });
  const backend = new AgentMetrics({ traffic } as unknown as AgentMetricsDeps).described();
  const server = new ServerMetrics({} as unknown as Services).described();
  return `# Metrics

The server and every backend answer \`GET /metrics\` on their HTTP ports in the text format of Prometheus. Counters begin at 0 when the process starts.

Names that Doris has are Doris's.

## Server

${table(server)}

Labels: \`src\` and \`dst\` are names of compute groups (\`src\` is empty for WITH TABLE), \`side\` is \`src\` or \`dst\`, \`window\` is \`5m\`, \`30m\` or \`1h\`.
Series of a job stay for ten minutes after its end.

## Backend

Every sample has the label \`backend_id\`.

${table(backend)}

\`GET /api/warmup_event_driven_stats\` of a backend says the same of event-driven jobs, per job and for the last 5 minutes, half hour and hour.
`;
}

function table(metrics: readonly MetricDoc[]): string {
  const rows = metrics.map(({ name, type, labels, help }) => {
    const names = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${names} | ${help.replaceAll('|', String.raw`\|`)} |`;
  });
  return ['| name | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}
