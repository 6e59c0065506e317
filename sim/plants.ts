/**
 * Bugs to plant: the simulator must find each of them. They are put in from outside, between real
 * parts; product code knows nothing of them.
 */
import Database from 'better-sqlite3';
import type { AgentTransport, BatchProgress, WarmUpRequest } from '../base/agent_messages.ts';
import type { WarmUpRunner } from '../be-agent/warm_up_batches.ts';
import type { SimOptions } from './options.ts';

export interface Plant {
  /** What is wrong, in one sentence. */
  readonly bug: string;
  /** Makes the run one in which the bug can show. */
  options(drawn: SimOptions): SimOptions;
  /** The agent's way of downloading a batch. */
  runner(honest: WarmUpRunner): WarmUpRunner;
  /** The agent's answer to a cancellation. */
  cancel(stop: () => void, isBusy: boolean): void;
  /** Before a server opens its catalog again. */
  beforeRestart(catalogFile: string): void;
  /** The server's way to its backends; `isDown`: nobody listens there now. */
  transport(honest: AgentTransport, isDown: (backendId: number) => boolean): AgentTransport;
}

/** Batches of events have runs from here on (jobs/event_delivery.ts). */
const EVENT_RUN_MIN = 1_000_000;

const NOTHING_PLANTED: Plant = {
  bug: 'none',
  options: (drawn) => drawn,
  runner: (honest) => honest,
  cancel: (stop) => {
    stop();
  },
  beforeRestart: () => undefined,
  transport: (honest) => honest,
};

export const PLANTS = {
  none: NOTHING_PLANTED,

  'slot-not-re-owned': {
    ...NOTHING_PLANTED,
    bug: 'a restarted server does not know who held the slots of the target groups',
    options: (drawn) => ({
      ...drawn,
      store: { ...drawn.store, latencyMs: 500 },
      faults: { ...drawn.faults, serverCrashMs: 5000 },
    }),
    beforeRestart: (catalogFile) => {
      const database = new Database(catalogFile);
      database.exec('DELETE FROM warm_up_slot');
      database.close();
    },
  },

  'acknowledged-before-durable': {
    ...NOTHING_PLANTED,
    bug: 'a batch is acknowledged when its downloads have begun, not when the blocks are there',
    runner: (honest) => async (run) => {
      const { counts, tablets } = run;
      void honest({ ...run, counts: { ...counts, failures: [] } }).catch(() => undefined);
      for (const { rowsets } of tablets) {
        for (const { bytes } of rowsets) counts.totalBytes += bytes;
      }
      counts.doneBytes = counts.totalBytes;
      counts.doneTablets = tablets.length;
      await Promise.resolve();
    },
  },

  'event-lost-while-down': {
    ...NOTHING_PLANTED,
    bug: 'what is sent to a target that is down counts as delivered',
    options: (drawn) => ({
      ...drawn,
      embedded: false,
      eventJobs: 3,
      faults: { ...drawn.faults, agentCrashMs: 5000 },
    }),
    transport: (honest, isDown) => ({
      call: async (backendId, name, request, options) => {
        const dispatch = request as WarmUpRequest;
        if (name !== 'warmUp' || dispatch.run < EVENT_RUN_MIN || !isDown(backendId)) {
          return await honest.call(backendId, name, request, options);
        }
        const done: unknown = doneAtOnce(backendId, dispatch);
        return done as never;
      },
    }),
  },

  'cancel-ignored-when-busy': {
    ...NOTHING_PLANTED,
    bug: 'an agent that is downloading does not listen to a cancellation',
    options: (drawn) => ({
      ...drawn,
      store: { ...drawn.store, latencyMs: 800 },
      agentConfig: { ...drawn.agentConfig, file_cache_download_concurrency: '1' },
      serverConfig: { ...drawn.serverConfig, file_cache_download_concurrency: '1' },
    }),
    cancel: (stop, isBusy) => {
      if (!isBusy) stop();
    },
  },
} as const satisfies Record<string, Plant>;

export type PlantName = keyof typeof PLANTS;

export function isPlantName(name: string): name is PlantName {
  return Object.hasOwn(PLANTS, name);
}

function doneAtOnce(backendId: number, request: WarmUpRequest): BatchProgress {
  const { jobId, run, batch, epoch, tablets } = request;
  let bytes = 0;
  for (const { rowsets } of tablets) for (const rowset of rowsets) bytes += rowset.bytes;
  return {
    jobId,
    run,
    batch,
    epoch,
    backendId: backendId as BatchProgress['backendId'],
    incarnation: 'planted',
    state: 'DONE',
    totalBytes: bytes,
    doneBytes: bytes,
    cachedBytes: 0,
    totalTablets: tablets.length,
    doneTablets: tablets.length,
    skippedTablets: 0,
    failedTablets: 0,
    failures: [],
    throttled: false,
  };
}
