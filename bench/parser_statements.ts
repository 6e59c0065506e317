/** One statement per kind, as people and tools send them. */
import type { StatementKind } from '../parser/statement.ts';

export const STATEMENTS: Readonly<Partial<Record<StatementKind, string>>> = {
  WarmUp:
    'WARM UP COMPUTE GROUP read_group WITH TABLE shop.orders PARTITION p1 AND TABLE shop.items',
  ShowWarmUpJobs: "SHOW WARM UP JOB WHERE Status = 'RUNNING' ORDER BY CreateTime DESC LIMIT 20",
  CancelWarmUpJob: 'CANCEL WARM UP JOB WHERE ID = 17',
  ShowCacheHotspot: "SHOW CACHE HOTSPOT '/read_group/shop.orders'",
  ShowBackends: 'SHOW BACKENDS',
  ShowComputeGroups: 'SHOW COMPUTE GROUPS',
  AddBackend: 'ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP read_group',
  ShowStorageVaults: 'SHOW STORAGE VAULT',
  CreateStorageVault:
    'CREATE STORAGE VAULT IF NOT EXISTS v PROPERTIES ("type"="s3", "s3.endpoint"="127.0.0.1:9000", "s3.region"="eu", "s3.bucket"="b", "s3.root.path"="p", "s3.access_key"="a", "s3.secret_key"="s", "use_path_style"="true")',
  AdminShowConfig: "ADMIN SHOW FRONTEND CONFIG LIKE '%warm%'",
  AdminSetConfig: 'ADMIN SET FRONTEND CONFIG ("max_connections" = "7")',
  CreateDatabase: 'CREATE DATABASE IF NOT EXISTS shop',
  CreateTable:
    "CREATE TABLE shop.orders (day DATE NOT NULL, id BIGINT, name VARCHAR(20), price DECIMAL(10, 2)) DUPLICATE KEY(day, id) PARTITION BY RANGE(day) (PARTITION p1 VALUES LESS THAN ('2024-01-01'), PARTITION p2 VALUES LESS THAN MAXVALUE) DISTRIBUTED BY HASH(id) BUCKETS 8",
  AlterTable: 'ALTER TABLE shop.orders ADD COLUMN note VARCHAR(100) AFTER name',
  DropTable: 'DROP TABLE IF EXISTS shop.orders',
  TruncateTable: 'TRUNCATE TABLE shop.orders PARTITION (p1)',
  Insert: "INSERT INTO shop.orders (day, id, name) VALUES ('2024-01-01', 1, 'one')",
  Select: "SELECT name, COUNT(*) FROM shop.orders WHERE day >= '2024-01-01' GROUP BY name LIMIT 10",
  ShowDatabases: 'SHOW DATABASES',
  ShowTables: "SHOW FULL TABLES FROM shop LIKE 'o%'",
  ShowCreateTable: 'SHOW CREATE TABLE `shop`.`orders`',
  ShowColumns: 'SHOW FULL COLUMNS FROM orders FROM shop',
  ShowPartitions: "SHOW PARTITIONS FROM shop.orders WHERE PartitionName = 'p1' LIMIT 1",
  ShowVariables: "SHOW VARIABLES LIKE 'max_allowed_packet'",
  ShowStatus: "SHOW SESSION STATUS LIKE 'Threads%'",
  ShowWarnings: 'SHOW WARNINGS',
  ShowProcesslist: 'SHOW FULL PROCESSLIST',
  Describe: 'DESC shop.orders',
  SetVariables: 'SET NAMES utf8mb4',
  Use: 'USE shop',
  UseComputeGroup: 'USE @read_group',
  Begin: 'BEGIN',
  Commit: 'COMMIT',
  Kill: 'KILL QUERY 17',
  CreateUser: "CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY 'secret'",
  Grant: "GRANT SELECT ON shop.* TO 'reader'@'%'",
};
