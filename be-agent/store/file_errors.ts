/** File system errors → object store errors. */
import { ObjectStoreError } from '../../base/ports.ts';
import type { ObjectStoreErrorKind } from '../../base/ports.ts';

/** Errors not listed are DISK: the directory does not do what directories do. */
const KINDS: Readonly<Record<string, ObjectStoreErrorKind>> = {
  ENOENT: 'NOT_FOUND',
  ENOTDIR: 'NOT_FOUND',
  EISDIR: 'NOT_FOUND',
  EACCES: 'ACCESS_DENIED',
  EPERM: 'ACCESS_DENIED',
  // A symbolic link where O_NOFOLLOW allows none.
  ELOOP: 'ACCESS_DENIED',
  // Too many open files: passes.
  EMFILE: 'UNAVAILABLE',
  ENFILE: 'UNAVAILABLE',
  EAGAIN: 'UNAVAILABLE',
  EBUSY: 'UNAVAILABLE',
};

const TEXTS: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EIO: 'input/output error of the disk',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ELOOP: 'it is a symbolic link',
  ENOENT: 'no such object',
  ENOTDIR: 'a part of its path is a file',
  EISDIR: 'it is a directory',
  EEXIST: 'a file or directory is in the way',
  ENOTEMPTY: 'a directory is in the way',
  EMFILE: 'too many open files',
};

/** `ENOENT` and the like; undefined for other errors. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Leaves ObjectStoreErrors and programming errors (`TypeError` of a caller) as they are. */
export function fileError(url: string, operation: string, key: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const text = TEXTS[errno] ?? 'failed';
  const where = key === '' ? '' : `: '${key}'`;
  return new ObjectStoreError(
    kindOf(operation, errno),
    key,
    `${url}: cannot ${operation}: ${text} (${errno})${where}`,
    error,
  );
}

function kindOf(operation: string, errno: string): ObjectStoreErrorKind {
  // A put of `a/b` where `a` is an object, or of `a` where `a/b` is one.
  if (operation === 'put' && (errno === 'EEXIST' || errno === 'ENOTEMPTY')) return 'UNSUPPORTED';
  const kind = KINDS[errno] ?? 'DISK';
  if (kind !== 'NOT_FOUND') return kind;
  // Only reading can find nothing; for the others it is the root that vanished, or a file where a
  // directory should be.
  if (operation === 'get') return 'NOT_FOUND';
  return errno === 'ENOENT' ? 'BUCKET_MISSING' : 'UNSUPPORTED';
}
