/**
 * How backends ask each other about replicas over HTTP, all with the cluster's token. A backend
 * says whom it means: at an address that somebody else has by now, nobody is harmed.
 */
import type { WireError } from '../../base/errors.ts';

/** PUT with `?crc32=`, and GET with `?offset=&length=`. */
export const SEGMENT_PATH = '/api/_replica/segment/{tablet}/{rowset}/{segment}';
/** POST, wire text: the arguments of the `ReplicaPeer` method of this name. */
export const METHOD_PATH = '/api/_replica/{method}';
export const BACKEND_HEADER = 'x-thermocline-backend';

/** Longest segment that one backend takes from another, bytes. */
export const SEGMENT_BYTES_MAX = 2 ** 30;
/** Longest list of rowsets or snapshot, bytes. */
export const LIST_BYTES_MAX = 64 * 2 ** 20;

/** Wire text of every answer but that of a good GET, which is the bytes. */
export type PeerAnswer = { readonly value: unknown } | { readonly error: WireError };

/** Status of an answer with an `error`. */
export const FAILED_STATUS = 409;
