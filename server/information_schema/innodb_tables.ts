/**
 * What MySQL's information_schema tells of InnoDB, in its columns and without rows: there is no
 * InnoDB here. Monitors read them without looking at ENGINES (mysqld_exporter, innotop, pt-kill).
 */
import { type VirtualTable, emptyTable } from './virtual_table.ts';

const COMPRESSION =
  'page_size# compress_ops# compress_ops_ok# compress_time# uncompress_ops# uncompress_time#';
const COMPRESSION_MEMORY =
  'page_size# buffer_pool_instance# pages_used# pages_free# relocation_ops# relocation_time#';

const TRANSACTIONS = `trx_id trx_state trx_started@ trx_requested_lock_id? trx_wait_started@? trx_weight#
  trx_mysql_thread_id# trx_query~? trx_operation_state? trx_tables_in_use# trx_tables_locked# trx_lock_structs#
  trx_lock_memory_bytes# trx_rows_locked# trx_rows_modified# trx_concurrency_tickets# trx_isolation_level
  trx_unique_checks# trx_foreign_key_checks# trx_last_foreign_key_error? trx_adaptive_hash_latched#
  trx_adaptive_hash_timeout# trx_is_read_only# trx_autocommit_non_locking# trx_schedule_weight#?`;

const METRICS = `NAME SUBSYSTEM COUNT# MAX_COUNT#? MIN_COUNT#? AVG_COUNT%? COUNT_RESET# MAX_COUNT_RESET#?
  MIN_COUNT_RESET#? AVG_COUNT_RESET%? TIME_ENABLED@? TIME_DISABLED@? TIME_ELAPSED#? TIME_RESET@? STATUS TYPE COMMENT`;

const BUFFER_POOL = `POOL_ID# POOL_SIZE# FREE_BUFFERS# DATABASE_PAGES# OLD_DATABASE_PAGES# MODIFIED_DATABASE_PAGES#
  PENDING_DECOMPRESS# PENDING_READS# PENDING_FLUSH_LRU# PENDING_FLUSH_LIST# PAGES_MADE_YOUNG# PAGES_NOT_MADE_YOUNG#
  PAGES_MADE_YOUNG_RATE% PAGES_MADE_NOT_YOUNG_RATE% NUMBER_PAGES_READ# NUMBER_PAGES_CREATED# NUMBER_PAGES_WRITTEN#
  PAGES_READ_RATE% PAGES_CREATE_RATE% PAGES_WRITTEN_RATE% NUMBER_PAGES_GET# HIT_RATE# YOUNG_MAKE_PER_THOUSAND_GETS#
  NOT_YOUNG_MAKE_PER_THOUSAND_GETS# NUMBER_PAGES_READ_AHEAD# NUMBER_READ_AHEAD_EVICTED# READ_AHEAD_RATE%
  READ_AHEAD_EVICTED_RATE% LRU_IO_TOTAL# LRU_IO_CURRENT# UNCOMPRESS_TOTAL# UNCOMPRESS_CURRENT#`;

// prettier-ignore
const COLUMNS: Readonly<Record<string, string>> = {
  INNODB_BUFFER_POOL_STATS: BUFFER_POOL,
  INNODB_CMP: COMPRESSION,
  INNODB_CMP_RESET: COMPRESSION,
  INNODB_CMPMEM: COMPRESSION_MEMORY,
  INNODB_CMPMEM_RESET: COMPRESSION_MEMORY,
  INNODB_COLUMNS: 'TABLE_ID# NAME POS# MTYPE# PRTYPE# LEN# HAS_DEFAULT# DEFAULT_VALUE~?',
  INNODB_DATAFILES: 'SPACE# PATH',
  INNODB_FIELDS: 'INDEX_ID NAME POS#',
  INNODB_FOREIGN: 'ID FOR_NAME REF_NAME N_COLS# TYPE#',
  INNODB_FOREIGN_COLS: 'ID FOR_COL_NAME REF_COL_NAME POS#',
  INNODB_INDEXES: 'INDEX_ID# NAME TABLE_ID# TYPE# N_FIELDS# PAGE_NO# SPACE# MERGE_THRESHOLD#',
  // MySQL 5.7's; later ones have performance_schema.data_locks.
  INNODB_LOCKS: 'lock_id lock_trx_id lock_mode lock_type lock_table lock_index? lock_space#? lock_page#? lock_rec#? lock_data?',
  INNODB_LOCK_WAITS: 'requesting_trx_id requested_lock_id blocking_trx_id blocking_lock_id',
  INNODB_METRICS: METRICS,
  INNODB_TABLES: 'TABLE_ID# NAME FLAG# N_COLS# SPACE# ROW_FORMAT? ZIP_PAGE_SIZE# SPACE_TYPE? INSTANT_COLS# TOTAL_ROW_VERSIONS#',
  INNODB_TABLESPACES: `SPACE# NAME FLAG# ROW_FORMAT? PAGE_SIZE# ZIP_PAGE_SIZE# SPACE_TYPE? FS_BLOCK_SIZE# FILE_SIZE#
    ALLOCATED_SIZE# AUTOEXTEND_SIZE# SERVER_VERSION? SPACE_VERSION# ENCRYPTION? STATE?`,
  INNODB_TABLESPACES_BRIEF: 'SPACE NAME PATH FLAG SPACE_TYPE',
  INNODB_TABLESTATS: `TABLE_ID# NAME STATS_INITIALIZED NUM_ROWS# CLUST_INDEX_SIZE# OTHER_INDEX_SIZE# MODIFIED_COUNTER#
    AUTOINC# REF_COUNT#`,
  INNODB_TRX: TRANSACTIONS,
};

export const INNODB_TABLES: readonly VirtualTable<unknown>[] = Object.entries(COLUMNS).map(
  ([name, columns]) => emptyTable(name, columns),
);
