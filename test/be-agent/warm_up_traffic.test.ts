import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { AgentMetrics } from '../../be-agent/agent_metrics.ts';
import type { BlockCache } from '../../be-agent/cache/block_cache.ts';
import type { CacheObject } from '../../be-agent/cache/cache_object.ts';
import { type WarmTablet, newWarmUpProgress } from '../../be-agent/cache/downloader.ts';
import { newCounts } from '../../be-agent/cooldown/counts.ts';
import { newReplicaCounts } from '../../be-agent/replica/replica_counts.ts';
import { Compactions } from '../../be-agent/data/compactions.ts';
import { DownloadRate } from '../../be-agent/download_rate.ts';
import { eventDrivenStats } from '../../be-agent/event_driven_stats.ts';
import type { VaultStores } from '../../be-agent/vault_stores.ts';
import { WarmUpBatches } from '../../be-agent/warm_up_batches.ts';
import { WarmUpTraffic } from '../../be-agent/warm_up_traffic.ts';
import type { WarmUpRequest, WarmUpTablet } from '../../base/agent_messages.ts';
import {
  type BackendId,
  type JobId,
  type PartitionId,
  type TabletId,
  type VaultId,
  id,
  rowsetId,
} from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { RowsetMeta } from '../../base/schema.ts';
import { CacheFixture } from './cache/cache_fixture.ts';

const JOB = id<JobId>(7);
const SEGMENT = 1000;
const INDEX = 100;

let fixture: CacheFixture;
let cache: BlockCache;
let traffic: WarmUpTraffic;

beforeEach(async () => {
  fixture = new CacheFixture();
  cache = await fixture.cache();
  traffic = new WarmUpTraffic({ clock: fixture.clock, log: SILENT_LOG, slowMs: () => 1000 });
});

afterEach(async () => {
  await fixture.end();
});

/** One tablet with one rowset of so many segments; its objects are in the store. */
function tablet(number: number, segments: number): [WarmUpTablet, WarmTablet] {
  const tabletId = id<TabletId>(number);
  const rowset: RowsetMeta = {
    rowsetId: rowsetId(number.toString(16).padStart(32, '0')),
    tabletId,
    startVersion: 2,
    endVersion: 2,
    vaultId: id<VaultId>(1),
    rows: 1,
    bytes: segments * SEGMENT,
    createdMs: 0,
    segments: Array.from({ length: segments }, (_, segment) => ({
      segment,
      bytes: SEGMENT,
      rows: 1,
      indexOffset: SEGMENT - INDEX,
      crc32: 0,
    })),
  } as unknown as RowsetMeta;
  const objects = rowset.segments.map(({ segment }): CacheObject =>
    fixture.object(`${number}_${segment}`, SEGMENT, { indexOffset: SEGMENT - INDEX, tabletId }),
  );
  const partitionId = id<PartitionId>(1);
  return [
    { tabletId, partitionId, ttlSeconds: 0, rowsets: [rowset] },
    { tabletId, objects },
  ];
}

async function warm(
  pairs: readonly [WarmUpTablet, WarmTablet][],
  event?: WarmUpRequest['event'],
): Promise<void> {
  const tablets = pairs.map(([message]) => message);
  const objects = pairs.map(([, warmTablet]) => warmTablet);
  const batch = traffic.begin({ jobId: JOB, tablets, event }, objects);
  await fixture.downloader(cache).run(objects, {
    force: false,
    signal: new AbortController().signal,
    progress: newWarmUpProgress(),
    onSettled: (object, outcome) => {
      batch.settled(object, outcome);
    },
  });
  batch.end();
}

/** The samples of `/metrics` that have a value other than 0, without labels and buckets. */
async function samples(): Promise<Record<string, number>> {
  const batches = new WarmUpBatches({
    backendId: id<BackendId>(1),
    incarnation: 'x',
    clock: fixture.clock,
    log: SILENT_LOG,
    run: async () => {
      await Promise.resolve();
    },
    throttled: () => false,
    report: () => undefined,
  });
  const metrics = new AgentMetrics({
    backendId: id<BackendId>(1),
    cache,
    stores: { counts: () => [] } as unknown as VaultStores,
    traffic,
    batches,
    rate: new DownloadRate(fixture.clock, () => -1),
    cooldown: { counts: newCounts(), running: () => 0 },
    replicas: { counts: newReplicaCounts(), store: { list: () => [] } },
    compactions: new Compactions({
      backendId: id<BackendId>(1),
      clock: fixture.clock,
      run: () => Promise.reject(new Error('no compaction here')),
    }),
  });
  const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith('file_cache'));
  const found = lines.map((line): [string, number] => {
    const [, name = '', value = ''] = /^(\w+)\{[^}]*\} (\S+)$/.exec(line) ?? [];
    return [name, Number(value)];
  });
  const wanted = found.filter(
    ([name, value]) => value !== 0 && /warm_up_|_download_|recycle/.test(name),
  );
  return Object.fromEntries(wanted.filter(([name]) => !name.endsWith('_bucket')));
}

describe('numbers of warm-ups', () => {
  it('count planned batches: tablets, segments and index parts, when they are in the cache', async () => {
    const [whole, broken] = [tablet(1, 3), tablet(2, 2)];
    fixture.store.sizes.delete('2_1');
    await warm([whole, broken]);
    const planned = 'file_cache_once_or_periodic_warm_up';
    expect(await samples()).toMatchObject({
      [`${planned}_submitted_tablet_num`]: 2,
      [`${planned}_submitted_segment_num`]: 5,
      [`${planned}_submitted_segment_size`]: 5 * (SEGMENT - INDEX),
      [`${planned}_submitted_index_num`]: 5,
      [`${planned}_submitted_index_size`]: 5 * INDEX,
      [`${planned}_finished_tablet_num`]: 1,
      [`${planned}_finished_segment_num`]: 4,
      [`${planned}_finished_index_size`]: 4 * INDEX,
      file_cache_warm_up_rowset_triggered_by_job_num: 2,
      file_cache_warm_up_rowset_complete_num: 1,
      file_cache_warm_up_failed_task_num: 1,
      file_cache_download_submitted_num: 5,
      file_cache_download_finished_num: 4,
      file_cache_download_failed_num: 1,
    });
    expect(eventDrivenStats(traffic, fixture.clock)).toEqual([]);
  });

  it('count events: both ends, latencies, slow ones and those that were there', async () => {
    const nowMs = fixture.clock.now();
    const counts = { segNum: 4, segBytes: 3600, idxNum: 4, idxBytes: 400 };
    const other = id<JobId>(8);
    traffic.triggered([{ jobIds: [JOB, other], triggerMs: nowMs, rowsets: 2, counts }]);
    const pairs = [tablet(1, 3), tablet(2, 2), tablet(3, 1)];
    fixture.store.sizes.delete('2_1');
    await warm(pairs, { triggersMs: [nowMs - 2000, nowMs - 10, nowMs - 20] });
    await warm(pairs.slice(0, 1), { triggersMs: [nowMs - 2000] });
    const event = 'file_cache_event_driven_warm_up';
    const found = await samples();
    expect(found).toEqual({
      file_cache_warm_up_bytes_total: 5 * SEGMENT,
      file_cache_warm_up_requests_total: 6,
      [`${event}_requested_segment_num`]: 8,
      [`${event}_requested_segment_size`]: 7200,
      [`${event}_requested_index_num`]: 8,
      [`${event}_requested_index_size`]: 800,
      [`${event}_submitted_segment_num`]: 9,
      [`${event}_submitted_segment_size`]: 8100,
      [`${event}_submitted_index_num`]: 9,
      [`${event}_submitted_index_size`]: 900,
      [`${event}_finished_segment_num`]: 8,
      [`${event}_finished_segment_size`]: 7200,
      [`${event}_finished_index_num`]: 8,
      [`${event}_finished_index_size`]: 800,
      [`${event}_failed_segment_num`]: 1,
      [`${event}_failed_segment_size`]: 900,
      [`${event}_failed_index_num`]: 1,
      [`${event}_failed_index_size`]: 100,
      [`${event}_skipped_rowset_num`]: 1,
      file_cache_warm_up_rowset_last_call_unix_ts: nowMs * 1000,
      file_cache_warm_up_rowset_last_handle_unix_ts: nowMs * 1000,
      file_cache_warm_up_rowset_last_finish_unix_ts: nowMs * 1000,
      file_cache_warm_up_rowset_triggered_by_event_driven_num: 4,
      file_cache_warm_up_rowset_complete_num: 3,
      file_cache_warm_up_failed_task_num: 1,
      file_cache_warm_up_rowset_latency_sum: 2_020_000,
      file_cache_warm_up_rowset_latency_count: 2,
      file_cache_warm_up_rowset_slow_count: 1,
      file_cache_warm_up_rowset_request_to_handle_latency_sum: 4_030_000,
      file_cache_warm_up_rowset_request_to_handle_latency_count: 4,
      file_cache_warm_up_rowset_request_to_handle_slow_count: 2,
      file_cache_warm_up_rowset_handle_to_finish_latency_count: 2,
      file_cache_download_submitted_num: 6,
      file_cache_download_finished_num: 5,
      file_cache_download_failed_num: 1,
    });
    const everywhere = (value: number) => ({ '5m': value, '30m': value, '1h': value });
    const [stats, ...more] = eventDrivenStats(traffic, fixture.clock);
    expect(more).toEqual([]);
    expect(stats).toMatchObject({
      job_id: 7,
      requested: {
        seg: { num: everywhere(9), size: everywhere(8100) },
        idx: { num: everywhere(9), size: everywhere(900) },
      },
      finish: { seg: { num: everywhere(8), size: everywhere(7200) } },
      fail: { idx: { num: everywhere(1), size: everywhere(100) } },
      last_trigger_ts: nowMs - 10,
      last_finish_ts: nowMs,
    });
    traffic.forget(JOB);
    expect(eventDrivenStats(traffic, fixture.clock)).toEqual([]);
  });

  it('do not wait for what a cancelled batch left', async () => {
    const [message, { objects }] = tablet(1, 3);
    const event = { triggersMs: [fixture.clock.now() - 60_000] };
    const batch = traffic.begin({ jobId: JOB, tablets: [message], event }, [
      { tabletId: message.tabletId, objects },
    ]);
    const [first] = objects;
    if (first === undefined) return;
    batch.settled(first, 'downloaded');
    batch.settled(first, 'failed');
    const numbers = () => {
      const [stats] = eventDrivenStats(traffic, fixture.clock);
      return [stats?.requested.seg.num['5m'], stats?.finish.seg.num['5m']];
    };
    expect(numbers()).toEqual([3, 1]);
    batch.end();
    expect(numbers()).toEqual([1, 1]);
  });

  it('count objects that are dropped because they are gone', async () => {
    await warm([tablet(1, 3)]);
    await cache.dropPrefix(1, '1_');
    expect(await samples()).toMatchObject({
      file_cache_recycle_cache_requested_segment_num: 3,
      file_cache_recycle_cache_finished_segment_num: 3,
      file_cache_recycle_cache_finished_index_num: 3,
    });
  });

  it('leave the hit ratio of queries alone', async () => {
    const pair = tablet(1, 3);
    await warm([pair]);
    await warm([pair]);
    await warm([pair], { triggersMs: [0] });
    const [object] = pair[1].objects;
    if (object === undefined) return;
    expect(cache.stats()).toMatchObject({ hits: 0, hitBytes: 0, misses: 0, missBytes: 0 });
    expect(cache.stats().queues.map(({ hits }) => hits)).toEqual([0, 0, 0, 0]);
    await cache.read(object, 0, 10);
    expect(cache.stats()).toMatchObject({ hits: 1, hitBytes: 10, misses: 0, missBytes: 0 });
  });
});
