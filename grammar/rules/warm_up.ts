/** Statements about warm-up jobs. */
import type { JobRef, ShowFilter, TableName } from '../nodes/clauses.ts';
import type {
  AlterWarmUpJob,
  CancelWarmUpJob,
  ExplainWarmUp,
  OnTablesRule,
  PauseWarmUpJob,
  ResumeWarmUpJob,
  RetryWarmUpJob,
  ShowCacheHotspot,
  ShowWarmUpJobFailures,
  ShowWarmUpJobRuns,
  ShowWarmUpJobs,
  WaitForWarmUpJob,
  WarmUp,
  WarmUpSource,
  WarmUpTable,
} from '../nodes/warm_up.ts';
import { K, T } from '../tokens.ts';
import { ClauseRules } from './clauses.ts';
import { alts } from './expr.ts';

export class WarmUpRules extends ClauseRules {
  warmUp = this.RULE('warmUp', (): WarmUp => {
    this.CONSUME(K.WARM);
    this.CONSUME(K.UP);
    this.SUBRULE(this.computeGroupWords);
    const target = this.SUBRULE(this.nameOrString);
    this.CONSUME(K.WITH);
    const source = this.SUBRULE(this.warmUpSource);
    const force = this.SUBRULE(this.forceWord);
    const onTables = this.OPTION(() => this.SUBRULE(this.onTables)) ?? [];
    const properties = this.SUBRULE(this.properties);
    return { kind: 'WarmUp', target, source, force, onTables, properties };
  });

  warmUpSource = this.RULE('warmUpSource', (): WarmUpSource =>
    this.OR(
      alts<WarmUpSource>([
        {
          ALT: () => {
            this.SUBRULE(this.computeGroupWords);
            return { kind: 'computeGroup', name: this.SUBRULE(this.nameOrString) };
          },
        },
        {
          ALT: () => {
            const tables: WarmUpTable[] = [];
            this.AT_LEAST_ONE_SEP({
              SEP: K.AND,
              DEF: () => {
                tables.push(this.SUBRULE(this.warmUpTable));
              },
            });
            return { kind: 'tables', tables };
          },
        },
      ]),
    ),
  );

  warmUpTable = this.RULE('warmUpTable', (): WarmUpTable => {
    this.CONSUME(K.TABLE);
    const table: TableName = this.SUBRULE(this.tableName);
    const partition = this.OPTION(() => {
      this.CONSUME(K.PARTITION);
      return this.SUBRULE(this.name);
    });
    if (this.RECORDING_PHASE) return { db: undefined, name: '', partition };
    return { db: table.db, name: table.name, partition };
  });

  onTables = this.RULE('onTables', (): OnTablesRule[] => {
    this.CONSUME(K.ON);
    this.CONSUME(K.TABLES);
    this.CONSUME(T.LParen);
    const rules: OnTablesRule[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        const action = this.OR(
          alts<OnTablesRule['action']>([
            { ALT: () => (this.CONSUME(K.INCLUDE), 'INCLUDE') },
            { ALT: () => (this.CONSUME(K.EXCLUDE), 'EXCLUDE') },
          ]),
        );
        const at = this.LA(1).startOffset;
        rules.push({ action, pattern: this.SUBRULE(this.stringLiteral), at });
      },
    });
    this.CONSUME(T.RParen);
    return rules;
  });

  explainWarmUp = this.RULE('explainWarmUp', (): ExplainWarmUp => {
    this.CONSUME(K.EXPLAIN);
    return { kind: 'ExplainWarmUp', warmUp: this.SUBRULE(this.warmUp) };
  });

  warmUpJobWords = this.RULE('warmUpJobWords', (): void => {
    this.CONSUME(K.WARM);
    this.CONSUME(K.UP);
    this.CONSUME(K.JOB);
  });

  showWarmUpJob = this.RULE(
    'showWarmUpJob',
    (): ShowWarmUpJobs | ShowWarmUpJobRuns | ShowWarmUpJobFailures => {
      this.CONSUME(K.SHOW);
      this.SUBRULE(this.warmUpJobWords);
      const id = this.OPTION(() => this.SUBRULE(this.integer));
      const what = this.OPTION2(() =>
        this.OR([{ ALT: () => this.CONSUME(K.RUNS) }, { ALT: () => this.CONSUME(K.FAILURES) }]),
      );
      const filter = this.SUBRULE(this.filter);
      if (what?.tokenType === K.FAILURES) return { kind: 'ShowWarmUpJobFailures', id, filter };
      if (what !== undefined) return { kind: 'ShowWarmUpJobRuns', id, filter };
      return { kind: 'ShowWarmUpJobs', filter: byId(id, filter) };
    },
  );

  cancelWarmUpJob = this.RULE('cancelWarmUpJob', (): CancelWarmUpJob => {
    this.CONSUME(K.CANCEL);
    return { kind: 'CancelWarmUpJob', job: this.SUBRULE(this.whichWarmUpJob) };
  });

  pauseWarmUpJob = this.RULE('pauseWarmUpJob', (): PauseWarmUpJob => {
    this.CONSUME(K.PAUSE);
    return { kind: 'PauseWarmUpJob', job: this.SUBRULE(this.whichWarmUpJob) };
  });

  resumeWarmUpJob = this.RULE('resumeWarmUpJob', (): ResumeWarmUpJob => {
    this.CONSUME(K.RESUME);
    return { kind: 'ResumeWarmUpJob', job: this.SUBRULE(this.whichWarmUpJob) };
  });

  retryWarmUpJob = this.RULE('retryWarmUpJob', (): RetryWarmUpJob => {
    this.CONSUME(K.RETRY);
    return { kind: 'RetryWarmUpJob', job: this.SUBRULE(this.whichWarmUpJob) };
  });

  whichWarmUpJob = this.RULE('whichWarmUpJob', (): JobRef => {
    this.SUBRULE(this.warmUpJobWords);
    return this.SUBRULE(this.jobRef);
  });

  alterWarmUpJob = this.RULE('alterWarmUpJob', (): AlterWarmUpJob => {
    this.CONSUME(K.ALTER);
    const job = this.SUBRULE(this.whichWarmUpJob);
    const change = this.OR(
      alts<AlterWarmUpJob['change']>([
        { ALT: () => ({ kind: 'onTables', rules: this.SUBRULE(this.onTables) }) },
        {
          ALT: () => {
            this.OR1([
              { ALT: () => this.CONSUME(K.SET) },
              { ALT: () => this.CONSUME(K.PROPERTIES) },
            ]);
            return { kind: 'properties', properties: this.SUBRULE(this.propertyList) };
          },
        },
      ]),
    );
    return { kind: 'AlterWarmUpJob', job, change };
  });

  waitForWarmUpJob = this.RULE('waitForWarmUpJob', (): WaitForWarmUpJob => {
    this.CONSUME(K.WAIT);
    this.CONSUME(K.FOR);
    const job = this.SUBRULE(this.whichWarmUpJob);
    const timeoutSeconds = this.OPTION(() => {
      this.CONSUME(K.TIMEOUT);
      return this.SUBRULE(this.integer);
    });
    return { kind: 'WaitForWarmUpJob', job, timeoutSeconds };
  });

  showCacheHotspot = this.RULE('showCacheHotspot', (): ShowCacheHotspot => {
    this.CONSUME(K.SHOW);
    this.CONSUME(K.CACHE);
    this.CONSUME(K.HOTSPOT);
    const path = this.SUBRULE(this.stringLiteral);
    return { kind: 'ShowCacheHotspot', path, filter: this.SUBRULE(this.filter) };
  });
}

/** `SHOW WARM UP JOB 17` is short for WHERE ID = 17. */
function byId(id: number | undefined, filter: ShowFilter): ShowFilter {
  if (id === undefined) return filter;
  const left = { kind: 'Column', path: ['JobId'] } as const;
  const right = { kind: 'Number', text: String(id) } as const;
  const same = { kind: 'Binary', op: '=', left, right } as const;
  const { where } = filter;
  return {
    ...filter,
    where: where === undefined ? same : { kind: 'Binary', op: 'AND', left: same, right: where },
  };
}
