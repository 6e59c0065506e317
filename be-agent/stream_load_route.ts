/**
 * `PUT /api/{db}/{table}/_stream_load` on a backend (Doris's stream load): begin at the server,
 * read and write the rows here, commit at the server. Answers with Doris's JSON and status 200
 * whatever became of the load; `Status` says it.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { FrontendPort, LoadTarget } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import { type HttpAnswer, type HttpRequest, basicCredentials } from '../base/http_server.ts';
import type { BackendId, TxnId } from '../base/ids.ts';
import type { Clock, Log, Random } from '../base/ports.ts';
import type { LoadReport, LoadServices } from './data/load.ts';
import { type StreamLoadOptions, parseStreamLoadHeaders } from './data/stream_load_options.ts';

/** A commit may have to wait for others of the same table. */
const COMMIT_TIMEOUT_MS = 600_000;
const CALL_TIMEOUT_MS = 30_000;

export interface StreamLoadDeps {
  readonly backendId: BackendId;
  readonly dir: string;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly frontend: FrontendPort;
  /** Where the load's segments go. */
  readonly output: (
    txnId: TxnId,
    target: LoadTarget,
    signal: AbortSignal,
  ) => Promise<Pick<LoadServices, 'store' | 'sink'>>;
}

interface Timing {
  readonly startedMs: number;
  beginTxnMs: number;
  writeMs: number;
  commitMs: number;
}

export async function streamLoad(deps: StreamLoadDeps, request: HttpRequest): Promise<HttpAnswer> {
  const credentials = basicCredentials(request.message.headers.authorization);
  if (credentials === undefined) return UNAUTHORIZED;
  const startedMs = deps.clock.monotonic();
  const timing: Timing = { startedMs, beginTxnMs: 0, writeMs: 0, commitMs: 0 };
  let label = String(request.message.headers['label'] ?? '');
  try {
    const options = parseStreamLoadHeaders(request.message.headers);
    label = options.label ?? Buffer.from(deps.random.bytes(16)).toString('hex');
    return await load(deps, { request, options, label, credentials, timing });
  } catch (error) {
    if (error instanceof SqlError && error.code === 'ACCESS_DENIED') {
      return { ...UNAUTHORIZED, body: failed(deps, label, timing, error) };
    }
    return { body: failed(deps, label, timing, error) };
  }
}

interface LoadJob {
  readonly request: HttpRequest;
  readonly options: StreamLoadOptions;
  readonly label: string;
  readonly credentials: { readonly user: string; readonly password: string };
  readonly timing: Timing;
}

async function load(deps: StreamLoadDeps, job: LoadJob): Promise<HttpAnswer> {
  const { frontend, backendId, config, clock } = deps;
  const { request, options, label, credentials, timing } = job;
  const seconds = options.timeoutSeconds ?? config.get('stream_load_default_timeout_second');
  const begun = await frontend.call(
    'beginLoad',
    {
      backendId,
      database: request.params['db'] ?? '',
      table: request.params['table'] ?? '',
      label,
      credentials: { ...credentials, peer: request.peer },
      timeoutMs: seconds * 1000,
    },
    { timeoutMs: CALL_TIMEOUT_MS, signal: request.signal },
  );
  timing.beginTxnMs = clock.monotonic() - timing.startedMs;
  if (begun.status === 'LABEL_EXISTS') {
    return {
      body: {
        TxnId: begun.txnId,
        Label: label,
        Status: 'Label Already Exists',
        ExistingJobStatus: begun.existingStatus,
        Message: `Label [${label}] has already been used, relate to txn [${begun.txnId}]`,
        ...counts(undefined),
        ...times(deps, timing),
      },
    };
  }
  const { txnId, target } = begun;
  const tempDir = join(deps.dir, 'storage');
  await mkdir(tempDir, { recursive: true });
  try {
    const { random, log } = deps;
    const timeout = AbortSignal.timeout(seconds * 1000);
    const signal = AbortSignal.any([request.signal, timeout]);
    const output = await deps.output(txnId, target, signal);
    const services = { ...output, clock, random, config, log };
    const input = { body: request.message, options, target, tempDir, signal };
    const { runStreamLoad } = await import('./data/stream_load_parse.ts');
    const report = await runStreamLoad(input, services);
    timing.writeMs = clock.monotonic() - timing.startedMs - timing.beginTxnMs;
    const { rowErrors, ...outcome } = report;
    await frontend.call('commitLoad', { txnId, outcome }, { timeoutMs: COMMIT_TIMEOUT_MS });
    const { beginTxnMs, writeMs, startedMs } = timing;
    timing.commitMs = clock.monotonic() - startedMs - beginTxnMs - writeMs;
    return { body: succeeded(deps, { txnId, label, report, rowErrors, timing }) };
  } catch (caught) {
    const error = request.signal.aborted ? clientGone(caught) : caught;
    const reason = error instanceof Error ? error.message : String(error);
    await abort(deps, txnId, reason);
    throw error;
  }
}

/** Node says no more than `aborted`. */
function clientGone(cause: unknown): SqlError {
  const why = 'the client closed the connection before the end of the body';
  return new SqlError('LOAD_FAILED', { why }, { cause });
}

/** Best effort: what is not aborted here, the server aborts when its time is over. */
async function abort(deps: StreamLoadDeps, txnId: TxnId, reason: string): Promise<void> {
  try {
    await deps.frontend.call('abortLoad', { txnId, reason }, { timeoutMs: CALL_TIMEOUT_MS });
  } catch (error) {
    deps.log.warn('a failed load could not be aborted', { txnId, error: String(error) });
  }
}

interface Success {
  readonly txnId: TxnId;
  readonly label: string;
  readonly report: LoadReport;
  readonly rowErrors: readonly string[];
  readonly timing: Timing;
}

function succeeded(deps: StreamLoadDeps, success: Success): Record<string, unknown> {
  const { txnId, label, report, rowErrors, timing } = success;
  return {
    TxnId: txnId,
    Label: label,
    Status: 'Success',
    Message: 'OK',
    ...counts(report),
    ...(rowErrors.length === 0 ? {} : { FirstErrors: rowErrors }),
    ...times(deps, timing),
  };
}

function failed(
  deps: StreamLoadDeps,
  label: string,
  timing: Timing,
  error: unknown,
): Record<string, unknown> {
  let message: string;
  if (error instanceof SqlError) {
    ({ message } = error);
  } else {
    // The signal's reason (client gone, timeout), or something nobody thought of.
    message = error instanceof Error ? error.message : String(error);
    deps.log.error('stream load failed', { label, error: message });
  }
  const code = error instanceof SqlError ? { ErrorCode: error.errno } : {};
  const named = label === '' ? {} : { Label: label };
  return {
    ...named,
    Status: 'Fail',
    Message: message,
    ...code,
    ...counts(undefined),
    ...times(deps, timing),
  };
}

function counts(report: LoadReport | undefined): Record<string, number> {
  const loaded = report?.loadedRows ?? 0;
  const filtered = report?.filteredRows ?? 0;
  const unselected = report?.unselectedRows ?? 0;
  return {
    NumberTotalRows: loaded + filtered + unselected,
    NumberLoadedRows: loaded,
    NumberFilteredRows: filtered,
    NumberUnselectedRows: unselected,
    LoadBytes: report?.loadBytes ?? 0,
  };
}

function times(deps: StreamLoadDeps, timing: Timing): Record<string, number> {
  return {
    LoadTimeMs: Math.round(deps.clock.monotonic() - timing.startedMs),
    BeginTxnTimeMs: Math.round(timing.beginTxnMs),
    WriteDataTimeMs: Math.round(timing.writeMs),
    CommitAndPublishTimeMs: Math.round(timing.commitMs),
  };
}

const UNAUTHORIZED: HttpAnswer = {
  status: 401,
  headers: { 'www-authenticate': 'Basic realm="thermocline"' },
  body: { Status: 'Fail', Message: 'HTTP basic authentication is needed: user and password' },
};
