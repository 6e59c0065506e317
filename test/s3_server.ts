/**
 * A real S3 server for tests and benches: one-node Ceph with its S3 gateway (radosgw) from Debian's
 * packages, objects in memory, on loopback. Every test file that needs one starts its own (2-3 s):
 * nothing is shared between Jest's workers, so nothing can outlive them.
 *
 * No process is ever left behind: the kernel kills the daemons when their starter dies
 * (PR_SET_PDEATHSIG through setpriv), and the next start removes the directories of dead starters.
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { S3Client } from '@aws-sdk/client-s3';
import { missingPrograms, programPath } from './clients/programs.ts';

export interface S3Server {
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** A client of its own, for who looks at what is stored; to be destroyed. */
  client(): S3Client;
  /** Of CREATE RESOURCE, in parentheses. */
  resource(bucket: string, rootPath: string): string;
  createBucket(name: string): Promise<void>;
  /** With all its objects. */
  deleteBucket(name: string): Promise<void>;
  /**
   * Stops the gateway only: connections are refused from now on, the objects stay. Making and
   * deleting buckets takes 30 s in the time after it: the cluster waits for the old gateway's
   * answer to every such change.
   */
  stopGateway(): Promise<void>;
  startGateway(): Promise<void>;
  /** Stops everything and removes its files. */
  stop(): Promise<void>;
}

const PROGRAMS = [
  'ceph',
  'ceph-mon',
  'ceph-osd',
  'monmaptool',
  'radosgw',
  'radosgw-admin',
  'setpriv',
] as const;

const DIRECTORY_PREFIX = 'thermocline-s3-';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 3000;
/** Another process may take a port between our choosing and Ceph's binding it. */
const START_TRIES = 3;
const POLL_MS = 25;

const run = promisify(execFile);

/** Why there can be no S3 server here, or undefined. In CI the programs must be there. */
export function s3ServerMissing(): string | undefined {
  const missing = missingPrograms(PROGRAMS);
  if (missing === undefined) return undefined;
  if (process.env['CI'] !== undefined) throw new Error(missing);
  return missing;
}

export async function startS3Server(): Promise<S3Server> {
  const missing = missingPrograms(PROGRAMS);
  if (missing !== undefined) throw new Error(missing);
  await removeLeftovers();
  for (let tries = 1; ; tries += 1) {
    const cluster = new CephCluster(
      await mkdtemp(join(tmpdir(), `${DIRECTORY_PREFIX}${process.pid}-`)),
    );
    try {
      await cluster.start();
      return cluster;
    } catch (error) {
      await cluster.stop();
      if (tries === START_TRIES) throw error;
    }
  }
}

/** Directories of starters that were killed; their daemons died with them. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${DIRECTORY_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) {
      await rm(join(tmpdir(), name), { recursive: true, force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code === 'EPERM';
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = servers.map(
    async (server) =>
      await new Promise<number>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', () => {
          resolve((server.address() as AddressInfo).port);
        });
      }),
  );
  const chosen = await Promise.all(ports);
  await Promise.all(
    servers.map(async (server) => {
      await new Promise((resolve) => server.close(resolve));
    }),
  );
  return chosen;
}

class CephCluster implements S3Server {
  readonly region = 'us-east-1';
  readonly accessKey = randomBytes(10).toString('hex').toUpperCase();
  readonly secretKey = randomBytes(20).toString('hex');
  readonly #directory: string;
  readonly #fsid = randomUUID();
  readonly #daemons = new Map<string, ChildProcess>();
  #gatewayPort = 0;
  #monitorPort = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#gatewayPort}`;
  }

  async start(): Promise<void> {
    const [gatewayPort = 0, monitorPort = 0] = await freePorts(2);
    this.#gatewayPort = gatewayPort;
    this.#monitorPort = monitorPort;
    for (const name of ['mon', 'osd', 'rgw', 'log', 'run']) {
      await mkdir(join(this.#directory, name));
    }
    await writeFile(this.#file('ceph.conf'), this.#config());
    await writeFile(
      this.#file('keyring'),
      '[mon.]\n\tkey = ' + cephKey() + '\n\tcaps mon = "allow *"\n',
    );
    const address = `[v2:127.0.0.1:${monitorPort}]`;
    const map = ['--create', '--clobber', '--addv', 'a', address, '--fsid', this.#fsid];
    await this.#call('monmaptool', [...map, this.#file('monmap')], false);
    const mkfs = ['-i', 'a', '--mkfs', '--monmap', this.#file('monmap')];
    await this.#call('ceph-mon', [...mkfs, '--keyring', this.#file('keyring')]);
    this.#spawn('ceph-mon', ['-i', 'a']);
    const osdUuid = randomUUID();
    // The store's directory is made while the monitor finds itself.
    const osdMkfs = this.#call('ceph-osd', ['-i', '0', '--mkfs', '--osd-uuid', osdUuid]);
    await Promise.all([osdMkfs, this.#call('ceph', ['osd', 'new', osdUuid, '0'])]);
    this.#spawn('ceph-osd', ['-i', '0']);
    await this.#until('the object daemon', async () =>
      (await this.#call('ceph', ['osd', 'stat'])).includes('1 up'),
    );
    this.#spawn('radosgw', ['-n', 'client.rgw']);
    await this.#untilGatewayAnswers();
    const user = ['--uid=test', '--display-name=test', `--access-key=${this.accessKey}`];
    const create = ['-n', 'client.rgw', 'user', 'create', ...user];
    await this.#call('radosgw-admin', [...create, `--secret-key=${this.secretKey}`]);
  }

  async createBucket(name: string): Promise<void> {
    const { CreateBucketCommand } = await import('@aws-sdk/client-s3');
    await this.#withClient(async (client) => {
      await client.send(new CreateBucketCommand({ Bucket: name }));
    });
  }

  async deleteBucket(name: string): Promise<void> {
    const sdk = await import('@aws-sdk/client-s3');
    await this.#withClient(async (client) => {
      for await (const page of sdk.paginateListObjectsV2({ client }, { Bucket: name })) {
        const objects = (page.Contents ?? []).map(({ Key }) => ({ Key }));
        if (objects.length === 0) break;
        const removal = { Bucket: name, Delete: { Objects: objects } };
        await client.send(new sdk.DeleteObjectsCommand(removal));
      }
      await client.send(new sdk.DeleteBucketCommand({ Bucket: name }));
    });
  }

  async stopGateway(): Promise<void> {
    await this.#kill('radosgw');
  }

  async startGateway(): Promise<void> {
    this.#spawn('radosgw', ['-n', 'client.rgw']);
    await this.#untilGatewayAnswers();
  }

  async stop(): Promise<void> {
    // Nothing is worth a clean shutdown: the objects were in memory.
    for (const name of [...this.#daemons.keys()].reverse()) await this.#kill(name);
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  client(): S3Client {
    return new S3Client({
      endpoint: this.endpoint,
      region: this.region,
      forcePathStyle: true,
      credentials: { accessKeyId: this.accessKey, secretAccessKey: this.secretKey },
    });
  }

  resource(bucket: string, rootPath: string): string {
    return `("type"="s3", "s3.endpoint"="${this.endpoint}", "s3.region"="${this.region}",
      "s3.bucket"="${bucket}", "s3.root.path"="${rootPath}", "s3.access_key"="${this.accessKey}",
      "s3.secret_key"="${this.secretKey}", "use_path_style"="true")`;
  }

  async #withClient(work: (client: S3Client) => Promise<void>): Promise<void> {
    const client = this.client();
    try {
      await work(client);
    } finally {
      client.destroy();
    }
  }

  #file(...parts: string[]): string {
    return join(this.#directory, ...parts);
  }

  async #untilGatewayAnswers(): Promise<void> {
    await this.#until('the gateway', async () => {
      await (await fetch(this.endpoint)).arrayBuffer();
      return true;
    });
  }

  async #until(what: string, ready: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      for (const [name, daemon] of this.#daemons) {
        if (daemon.exitCode !== null || daemon.signalCode !== null) {
          const log = await readFile(this.#file('log', `${name}.out`), 'utf8');
          throw new Error(`${name} ended while ${what} was awaited: ${log.slice(-2000)}`);
        }
      }
      try {
        if (await ready()) return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
      }
      if (performance.now() > deadline) throw new Error(`${what} is not up in time`);
      await sleep(POLL_MS);
    }
  }

  async #call(program: string, args: readonly string[], withConfig = true): Promise<string> {
    const config = withConfig ? ['-c', this.#file('ceph.conf')] : [];
    const { stdout } = await run(programPath(program) ?? program, [...config, ...args], {
      timeout: START_TIMEOUT_MS,
      cwd: this.#directory,
    });
    return stdout;
  }

  #spawn(name: string, args: readonly string[]): void {
    const out = openSync(this.#file('log', `${name}.out`), 'a');
    const command = [programPath(name) ?? name, '-c', this.#file('ceph.conf'), ...args, '-f'];
    const daemon = spawn(programPath('setpriv') ?? 'setpriv', ['--pdeathsig', 'KILL', ...command], {
      stdio: ['ignore', out, out],
      cwd: this.#directory,
    });
    closeSync(out);
    // A failed start shows as an exit code in #until; without a listener it would be thrown.
    daemon.on('error', () => undefined);
    daemon.unref();
    this.#daemons.set(name, daemon);
  }

  async #kill(name: string): Promise<void> {
    const daemon = this.#daemons.get(name);
    this.#daemons.delete(name);
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    daemon.ref();
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGKILL');
    await Promise.race([ended, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })]);
  }

  /** The settings that make a cluster of one daemon each come up in two seconds. */
  #config(): string {
    const at = (...parts: string[]): string => this.#file(...parts);
    return `
[global]
fsid = ${this.#fsid}
mon_host = [v2:127.0.0.1:${this.#monitorPort}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv4 = true
ms_bind_msgr1 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = true
run_dir = ${at('run')}
admin_socket = ${at('run')}/$name.asok
pid_file = ${at('run')}/$name.pid
log_file = ${at('log')}/$name.log
crash_dir = ${at('log')}
keyring = ${at('keyring')}
# one copy on one disk
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 2000
mon_osd_min_in_ratio = 0
# a disk that is nearly full with other things must not stop the monitor
mon_data_avail_warn = 1
mon_data_avail_crit = 0
[mon]
mon_data = ${at('mon')}
mon_cluster_log_file = ${at('log', 'cluster.log')}
# answers at once instead of collecting changes for a second
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
[osd]
osd_data = ${at('osd')}
osd_objectstore = memstore
memstore_device_bytes = 8589934592
osd_memory_target = 1073741824
osd_class_load_list = *
osd_class_default_list = *
[client]
ms_mon_client_mode = crc
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:${this.#gatewayPort} tcp_nodelay=1
rgw_data = ${at('rgw')}
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_run_sync_thread = false
rgw_thread_pool_size = 64
rgw_dynamic_resharding = false
`;
  }
}

/** A secret in the form ceph-authtool writes: type 1, no time, 16 bytes. */
function cephKey(): string {
  const head = Buffer.alloc(12);
  head.writeUInt16LE(1, 0);
  head.writeUInt16LE(16, 10);
  return Buffer.concat([head, randomBytes(16)]).toString('base64');
}
