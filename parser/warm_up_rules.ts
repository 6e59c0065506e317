/**
 * What a WARM UP statement asks for, checked: modes, properties and ON TABLES
 * (reference/warm-up 1.3, 1.4, 1.8; DESIGN 4.4). Pure functions; names are not looked up here.
 */
import { SqlError } from '../base/errors.ts';
import type { TableFilter } from '../base/table_filter.ts';
import type { Properties, Property } from '../grammar/nodes/clauses.ts';
import type { AlterWarmUpJob, OnTablesRule, WarmUp } from '../grammar/nodes/warm_up.ts';
import { badProperty, readProperties } from './properties.ts';

/** `syncModeText` is what the SyncMode column shows. */
export type WarmUpRules =
  | { readonly syncMode: 'ONCE'; readonly syncModeText: 'ONCE' }
  | {
      readonly syncMode: 'PERIODIC';
      readonly syncModeText: string;
      /** Start to start, 1 or more. */
      readonly intervalSeconds: number;
    }
  | {
      readonly syncMode: 'EVENT_DRIVEN';
      readonly syncModeText: string;
      readonly event: 'LOAD';
      /** undefined: all tables. */
      readonly filter: TableFilter | undefined;
    };

const SCHEMA = {
  sync_mode: { kind: 'choice', choices: ['once', 'periodic', 'event_driven'] },
  // Read below, where their errors have Doris's words.
  sync_interval_sec: { kind: 'text' },
  sync_event: { kind: 'text' },
} as const;
/** Every new table's name is compared with all of them. */
const ON_TABLES_RULES_MAX = 1000;
const INTERVAL_MAX_SECONDS = 2 ** 31 - 1;

/** Throws the errors of the property list and those named WARM_UP_... */
export function checkWarmUp(statement: WarmUp): WarmUpRules {
  const { source, onTables, properties } = statement;
  if (source.kind === 'tables' && onTables.length > 0)
    throw new SqlError('WARM_UP_ON_TABLES_TABLE');
  const values = readProperties(properties, SCHEMA);
  const mode = values.sync_mode ?? 'once';
  if (source.kind === 'tables' && mode !== 'once') {
    const property = find(properties, 'sync_mode');
    if (property !== undefined) throw badProperty(property, 'once (a WITH TABLE job runs once)');
  }
  if (onTables.length > 0 && mode !== 'event_driven') throw new SqlError('WARM_UP_ON_TABLES_MODE');
  switch (mode) {
    case 'once':
      refuse(properties, 'sync_interval_sec', mode);
      refuse(properties, 'sync_event', mode);
      return { syncMode: 'ONCE', syncModeText: 'ONCE' };
    case 'periodic': {
      refuse(properties, 'sync_event', mode);
      const seconds = intervalSeconds(values.sync_interval_sec);
      const syncModeText = `PERIODIC (${seconds}s)`;
      return { syncMode: 'PERIODIC', syncModeText, intervalSeconds: seconds };
    }
    case 'event_driven':
      refuse(properties, 'sync_interval_sec', mode);
      checkEvent(values.sync_event);
      return {
        syncMode: 'EVENT_DRIVEN',
        syncModeText: 'EVENT_DRIVEN (LOAD)',
        event: 'LOAD',
        filter: onTables.length === 0 ? undefined : tableFilter(onTables),
      };
  }
}

/** What ALTER WARM UP JOB changes; whether the job has it is not known here. */
export interface Alteration {
  /** Start to start, 1 or more. */
  readonly intervalSeconds: number | undefined;
  readonly filter: TableFilter | undefined;
}

/** Throws the errors of the property list, WARM_UP_BAD_INTERVAL and those of `tableFilter`. */
export function alteration({ change }: AlterWarmUpJob): Alteration {
  if (change.kind === 'onTables') {
    return { intervalSeconds: undefined, filter: tableFilter(change.rules) };
  }
  const { properties } = change;
  for (const name of ['sync_mode', 'sync_event']) {
    if (find(properties, name) === undefined) continue;
    const where = 'in ALTER WARM UP JOB: a job keeps its mode; cancel it and create another';
    throw new SqlError('USELESS_PROPERTY', { name, where });
  }
  const { sync_interval_sec } = SCHEMA;
  const values = readProperties(properties, { sync_interval_sec });
  return { intervalSeconds: intervalSeconds(values.sync_interval_sec), filter: undefined };
}

function find(properties: Properties, key: string): Property | undefined {
  return properties.find((property) => property.key === key);
}

/** A property that means nothing in this mode. */
function refuse(properties: Properties, name: string, mode: string): void {
  if (find(properties, name) === undefined) return;
  throw new SqlError('USELESS_PROPERTY', { name, where: `with sync_mode=${mode}` });
}

function intervalSeconds(text: string | undefined): number {
  if (text === undefined) throw new SqlError('WARM_UP_NO_INTERVAL');
  const value = /^\d{1,10}$/.test(text.trim()) ? Number(text) : 0;
  if (value >= 1 && value <= INTERVAL_MAX_SECONDS) return value;
  throw new SqlError('WARM_UP_BAD_INTERVAL', { value: text.slice(0, 60) });
}

function checkEvent(text: string | undefined): void {
  if (text === undefined) throw new SqlError('WARM_UP_NO_EVENT');
  if (text.trim().toLowerCase() === 'load') return;
  throw new SqlError('WARM_UP_BAD_EVENT', { value: text.slice(0, 60) });
}

/** Throws WARM_UP_ONLY_EXCLUDE, WARM_UP_BAD_PATTERN, WARM_UP_MANY_RULES. */
export function tableFilter(rules: readonly OnTablesRule[]): TableFilter {
  if (rules.length > ON_TABLES_RULES_MAX) {
    const args = { count: rules.length, limit: ON_TABLES_RULES_MAX };
    throw new SqlError('WARM_UP_MANY_RULES', args);
  }
  for (const { pattern } of rules) {
    // A dot that stands for itself, with something on both sides.
    if (!/^[^.]+\..+$/s.test(pattern)) {
      throw new SqlError('WARM_UP_BAD_PATTERN', { pattern: pattern.slice(0, 130) });
    }
  }
  const patterns = (action: OnTablesRule['action']): string[] => [
    ...new Set(rules.filter((rule) => rule.action === action).map((rule) => rule.pattern)),
  ];
  const include = patterns('INCLUDE').toSorted();
  if (include.length === 0) throw new SqlError('WARM_UP_ONLY_EXCLUDE');
  return { include, exclude: patterns('EXCLUDE').toSorted() };
}
