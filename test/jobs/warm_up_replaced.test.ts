/** Warm-ups whose rowsets are replaced while they are on their way. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type TabletId, id, rowsetId } from '../../base/ids.ts';
import { segmentKey } from '../../base/schema.ts';
import { WarmUpWorld } from './warm_up_world.ts';

const MERGED = rowsetId('c'.repeat(32));

describe('a warm-up job', () => {
  let world: WarmUpWorld;

  beforeEach(async () => {
    world = await WarmUpWorld.create();
  });

  afterEach(async () => {
    await world.remove();
  });

  async function replaceRowset(tabletId: TabletId): Promise<string> {
    const { catalog } = world;
    const table = await catalog.tables.get('d', 't');
    const [rowset] = (await catalog.rowsets.visible([tabletId])).get(tabletId) ?? [];
    if (rowset === undefined) throw new Error('nothing to replace');
    const [backend] = await catalog.backends.list();
    const compaction = await catalog.compactions.begin({
      tabletId,
      tableId: table.tableId,
      vaultId: table.vaultId,
      rowsetId: MERGED,
      kind: 'FULL',
      backendId: backend?.backendId ?? id(0),
      inputRowsets: 1,
      inputBytes: rowset.bytes,
    });
    if (compaction === undefined) throw new Error('it did not begin');
    await catalog.compactions.commit(compaction, {
      inputs: [rowset.rowsetId],
      output: { ...rowset, rowsetId: MERGED },
      bytesRead: rowset.bytes,
      inputsGarbageMs: 0,
    });
    return segmentKey(tabletId, rowset.rowsetId, 0);
  }

  it('warms what replaced a rowset whose object was gone, and does not fail', async () => {
    const jobId = await world.warmTable();
    const backends = await world.membersOf('dst');
    await world.until(() => backends.some(({ held }) => held.length > 0));
    const backend = backends.find(({ held }) => held.length > 0);
    const tabletId = backend?.held[0]?.run.tablets[0]?.tabletId ?? id<TabletId>(0);
    const item = await replaceRowset(tabletId);
    const reason = `no object ${item}`;
    for (const { held } of backends) {
      for (const one of held.splice(0)) {
        const isIt = one.run.tablets.some((tablet) => tablet.tabletId === tabletId);
        one.finish(isIt ? [{ item, reason }] : []);
      }
    }
    const sent: string[] = [];
    await world.until(async () => {
      for (const { held } of backends) {
        for (const one of held.splice(0)) {
          sent.push(...one.run.tablets.flatMap((t) => t.rowsets.map((r) => r.rowsetId)));
          one.finish();
        }
      }
      return (await world.job(jobId)).state === 'FINISHED';
    });
    expect(sent).toContain(MERGED);
    expect(await world.job(jobId)).toMatchObject({ failedTablets: 0, errMsg: '' });
  });

  it('fails when an object is gone whose rowset is visible', async () => {
    const jobId = await world.warmTable();
    const backends = await world.membersOf('dst');
    await world.until(() => backends.some(({ held }) => held.length > 0));
    await world.until(async () => {
      for (const { held } of backends) {
        for (const one of held.splice(0)) {
          const [tablet] = one.run.tablets;
          const rowset = tablet?.rowsets[0]?.rowsetId ?? MERGED;
          const item = segmentKey(tablet?.tabletId ?? id<TabletId>(0), rowset, 0);
          one.finish([{ item, reason: 'no such object' }]);
        }
      }
      return (await world.job(jobId)).state === 'CANCELLED';
    });
    expect((await world.job(jobId)).errMsg).toContain('no such object');
  });
});
