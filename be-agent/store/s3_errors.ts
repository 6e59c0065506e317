/** What an S3 server or the way to it answers → object store errors. */
import type { ObjectStoreErrorKind } from '../../base/ports.ts';
import { AttemptError } from './retry.ts';

/** A failed answer, from the hot path or from the SDK. */
export interface S3Failure {
  /** HTTP status, 300..599. */
  readonly status: number;
  /** `Code` of the XML body; undefined when there was none. */
  readonly code: string | undefined;
  readonly message: string | undefined;
  /** Header, in seconds or as a date. */
  readonly retryAfter: string | undefined;
}

interface CodeRow {
  readonly kind: ObjectStoreErrorKind;
  /** What an operator should read; without it the server's own message stands. */
  readonly text?: string;
  /** The server says that nothing was done. */
  readonly harmless?: true;
}

/** {bucket} is filled in. Codes of AWS and Ceph; what is not here goes by the status. */
// prettier-ignore
const CODES: Readonly<Record<string, CodeRow>> = {
  NoSuchKey:                  { kind: 'NOT_FOUND', text: 'no such object' },
  NoSuchUpload:               { kind: 'NOT_FOUND', text: 'no such upload' },
  NoSuchBucket:               { kind: 'BUCKET_MISSING', text: "bucket '{bucket}' does not exist" },
  InvalidBucketName:          { kind: 'BUCKET_MISSING', text: "'{bucket}' is not a bucket name" },
  InvalidAccessKeyId:         { kind: 'ACCESS_DENIED', text: 'access key is not known' },
  SignatureDoesNotMatch:      { kind: 'ACCESS_DENIED', text: 'secret key is wrong' },
  AccessDenied:               { kind: 'ACCESS_DENIED', text: 'access denied' },
  AccountProblem:             { kind: 'ACCESS_DENIED' },
  AllAccessDisabled:          { kind: 'ACCESS_DENIED' },
  UserSuspended:              { kind: 'ACCESS_DENIED', text: 'the user of the access key is suspended' },
  QuotaExceeded:              { kind: 'ACCESS_DENIED', text: 'the quota of the bucket or its user is used up' },
  RequestTimeTooSkewed:       { kind: 'ACCESS_DENIED', text: "this machine's clock differs too much from the server's" },
  PreconditionFailed:         { kind: 'PRECONDITION', text: 'the condition does not hold' },
  // AWS: another conditional write to the key was under way, upload again.
  ConditionalRequestConflict: { kind: 'UNAVAILABLE', text: 'conflicts with another conditional write', harmless: true },
  // Ceph: two writers met on the bucket index.
  ConcurrentModification:     { kind: 'UNAVAILABLE', text: 'conflicts with another write', harmless: true },
  InvalidRange:               { kind: 'RANGE', text: 'the range is beyond the end' },
  NotImplemented:             { kind: 'UNSUPPORTED', text: 'not implemented by this server' },
  MethodNotAllowed:           { kind: 'UNSUPPORTED' },
  PermanentRedirect:          { kind: 'UNSUPPORTED', text: "bucket '{bucket}' is served by another endpoint" },
  AuthorizationHeaderMalformed: { kind: 'UNSUPPORTED' },
  SlowDown:                   { kind: 'THROTTLED', text: 'the server asks to slow down', harmless: true },
  TooManyRequests:            { kind: 'THROTTLED', harmless: true },
  RequestLimitExceeded:       { kind: 'THROTTLED', harmless: true },
  ServiceUnavailable:         { kind: 'UNAVAILABLE', harmless: true },
  InternalError:              { kind: 'UNAVAILABLE' },
  RequestTimeout:             { kind: 'UNAVAILABLE', text: 'the server waited too long for the body', harmless: true },
  IncompleteBody:             { kind: 'UNAVAILABLE', harmless: true },
};

function byStatus(status: number): CodeRow {
  switch (status) {
    case 401:
    case 403:
      return { kind: 'ACCESS_DENIED', text: 'access denied' };
    case 404:
      return { kind: 'NOT_FOUND', text: 'no such object' };
    case 412:
      return { kind: 'PRECONDITION', text: 'the condition does not hold' };
    case 416:
      return { kind: 'RANGE', text: 'the range is beyond the end' };
    case 408:
    case 425:
      return { kind: 'UNAVAILABLE' };
    case 429:
      return { kind: 'THROTTLED', harmless: true };
    case 501:
      return { kind: 'UNSUPPORTED', text: 'not implemented by this server' };
    default:
      return { kind: status >= 500 ? 'UNAVAILABLE' : 'UNSUPPORTED' };
  }
}

/** Where a call was going, for messages. */
export interface S3Call {
  readonly url: string;
  readonly bucket: string;
  /** `get`, `put` ... */
  readonly operation: string;
  readonly key: string;
}

/** `nowMs`: for a Retry-After that is a date. */
export function s3Error(call: S3Call, failure: S3Failure, nowMs: number): AttemptError {
  const { status, code, message } = failure;
  const row = (code === undefined ? undefined : CODES[code]) ?? byStatus(status);
  const said = (row.text ?? message ?? 'failed').replace('{bucket}', call.bucket);
  return new AttemptError(
    row.kind,
    call.key,
    callText(call, `${said} (${code ?? 'HTTP'} ${status})`),
    {
      harmless: row.harmless ?? false,
      retryAfterMs: retryAfterMs(failure.retryAfter, nowMs),
    },
  );
}

export function callText(call: S3Call, what: string): string {
  const where = call.key === '' ? '' : `: '${call.key}'`;
  return `${call.url}: cannot ${call.operation}: ${what}${where}`;
}

function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

/** Connecting failed, so no byte of the request was sent. */
const NOT_SENT: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'endpoint refused the connection',
  ENOTFOUND: 'the name of the endpoint is not known',
  EAI_AGAIN: 'the name of the endpoint cannot be resolved now',
  EHOSTUNREACH: 'the endpoint cannot be reached',
  ENETUNREACH: 'the network of the endpoint cannot be reached',
  UND_ERR_CONNECT_TIMEOUT: 'the endpoint does not accept the connection in time',
  CERT_HAS_EXPIRED: "the endpoint's certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the endpoint's certificate is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "the endpoint's certificate chain is self-signed",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the endpoint's certificate cannot be verified",
  ERR_TLS_CERT_ALTNAME_INVALID: "the endpoint's certificate is for another name",
  ERR_SSL_WRONG_VERSION_NUMBER: 'the endpoint does not speak TLS (http instead of https?)',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'the endpoint does not speak TLS (http instead of https?)',
};

/** The connection failed, at once or in the middle. */
export function connectionError(call: S3Call, error: unknown): AttemptError {
  const code = firstCode(error);
  const text = code === undefined ? undefined : NOT_SENT[code];
  const said = text ?? 'the connection was lost';
  const suffix = code === undefined ? '' : ` (${code})`;
  return new AttemptError('UNAVAILABLE', call.key, callText(call, said + suffix), {
    harmless: text !== undefined,
    cause: error,
  });
}

/** Node hides the codes of several tried addresses in an AggregateError. */
function firstCode(error: unknown): string | undefined {
  const { code, errors, cause, message } = (error ?? {}) as Record<string, unknown>;
  if (typeof code === 'string') return code;
  if (Array.isArray(errors)) return firstCode(errors[0]);
  if (cause !== undefined) return firstCode(cause);
  // The SDK wraps errors it takes for foreign and keeps their text only.
  return typeof message === 'string' ? /\bE[A-Z]{4,}\b/.exec(message)?.[0] : undefined;
}

/** Code and Message of S3's error body. The rest may quote what was signed and is not looked at. */
export function parseErrorBody(xml: string): { code?: string; message?: string } {
  const code = /<Code>([\w.]{1,100})<\/Code>/.exec(xml)?.[1];
  const message = /<Message>([^<]{1,300})/.exec(xml)?.[1];
  return {
    ...(code === undefined ? {} : { code }),
    ...(message === undefined ? {} : { message }),
  };
}
