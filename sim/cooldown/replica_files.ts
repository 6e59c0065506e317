/**
 * The files of replica stores, in memory: what is in one outlives the processes of its backend.
 * They are emptied and used again, because making one takes as long as a good part of a run.
 */
import Database from 'better-sqlite3';
import { ReplicaTables } from '../../be-agent/replica/replica_tables.ts';

export interface ReplicaFile {
  readonly database: Database.Database;
  readonly tables: ReplicaTables;
}

const NAMES = ['replica', 'rowset', 'prepared', 'upload', 'policy', 'resource'] as const;

const unused: ReplicaFile[] = [];

/** An empty one, or a copy of another. */
export function openReplicaFile(image?: Buffer): ReplicaFile {
  const known = image === undefined ? unused.pop() : undefined;
  if (known !== undefined) {
    for (const name of NAMES) known.database.exec(`DELETE FROM ${name}`);
    return known;
  }
  const database = new Database(image ?? ':memory:');
  return { database, tables: new ReplicaTables(database) };
}

/** Nobody uses it any more. */
export function closeReplicaFile(file: ReplicaFile): void {
  unused.push(file);
}
