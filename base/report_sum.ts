/**
 * Sums over reports of replicas: equal sums mean equal reports, whatever their order, so that a
 * backend need not send again what the server knows. 64 bits, added up, so that one replica's
 * change is a subtraction and an addition. Not against forgers: both ends trust each other.
 */
import type { ReplicaReport } from './replica.ts';

/** 64 bits of one report as two unsigned 32-bit numbers. */
export interface ReportHash {
  readonly high: number;
  readonly low: number;
}

/** The sum of no report. */
export const NO_REPORTS: ReportHash = { high: 0, low: 0 };

export function reportHash(report: ReplicaReport): ReportHash {
  const { lead } = report;
  const text = [
    report.tabletId,
    report.replicaId,
    report.partitionId,
    report.version,
    report.rows,
    report.localBytes,
    report.remoteBytes,
    report.rowsets,
    report.isBad ? 1 : 0,
    report.busy ? 1 : 0,
    report.policyId ?? '',
    lead === undefined ? '' : `${lead.replicaId}@${lead.term}`,
    report.metaId ?? '',
    report.cooledVersion ?? '',
    report.cooldownState,
    report.dueMs ?? '',
    report.cooldownWaits,
    report.cooldownError,
  ].join('\u0001');
  return hash(text);
}

/** Two multiplicative hashes of the UTF-16 units, mixed into each other at the end. */
function hash(text: string): ReportHash {
  let high = 0xde_ad_be_ef;
  let low = 0x41_c6_ce_57;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    high = Math.imul(high ^ unit, 2_654_435_761);
    low = Math.imul(low ^ unit, 1_597_334_677);
  }
  high =
    Math.imul(high ^ (high >>> 16), 2_246_822_507) ^ Math.imul(low ^ (low >>> 13), 3_266_489_909);
  low =
    Math.imul(low ^ (low >>> 16), 2_246_822_507) ^ Math.imul(high ^ (high >>> 13), 3_266_489_909);
  return { high: high >>> 0, low: low >>> 0 };
}

export function plus(a: ReportHash, b: ReportHash): ReportHash {
  const low = a.low + b.low;
  return { high: (a.high + b.high + (low > 0xff_ff_ff_ff ? 1 : 0)) >>> 0, low: low >>> 0 };
}

export function minus(a: ReportHash, b: ReportHash): ReportHash {
  const low = a.low - b.low;
  return { high: (a.high - b.high - (low < 0 ? 1 : 0)) >>> 0, low: low >>> 0 };
}

/** 16 hex digits. */
export function sumText({ high, low }: ReportHash): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** As `PartitionSum.sum`: 16 hex digits. */
export function reportSum(reports: Iterable<ReplicaReport>): string {
  let sum = NO_REPORTS;
  for (const report of reports) sum = plus(sum, reportHash(report));
  return sumText(sum);
}
