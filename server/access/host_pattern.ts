/** Host patterns of accounts, as MySQL has them: which addresses they match, and which wins. */
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { isLoopback } from '../../base/http_access.ts';

/**
 * `%` stands for any run of characters and `_` for one; `10.0.0.0/8` and
 * `10.0.0.0/255.0.0.0` for a network; `localhost` for this machine. No name is looked up.
 */
export function hostMatches(pattern: string, address: string): boolean {
  const host = address.replace(/^::ffff:/, '').toLowerCase();
  const wanted = pattern.toLowerCase();
  if (wanted === '%' || wanted === host) return true;
  if (wanted === 'localhost') return isLoopback(host);
  if (wanted.includes('/')) return networkMatches(wanted, host);
  return likeMatches(wanted, host);
}

/**
 * Order in which accounts are tried: whole addresses, networks (the smallest first), patterns
 * (those with the longest text before the first wildcard first), and `%` last.
 */
export function moreSpecificFirst(left: string, right: string): number {
  const [a, b] = [specificity(left), specificity(right)];
  return b.rank - a.rank || b.length - a.length || (left < right ? -1 : left > right ? 1 : 0);
}

function specificity(pattern: string): { readonly rank: number; readonly length: number } {
  if (pattern.includes('/')) return { rank: 2, length: prefixBits(pattern) ?? 0 };
  const wildcard = pattern.search(/[%_]/);
  if (wildcard < 0) return { rank: pattern.toLowerCase() === 'localhost' ? 3 : 4, length: 0 };
  return { rank: 1, length: wildcard };
}

/** Bits of the network's part; undefined: the text names no network. */
function prefixBits(pattern: string): number | undefined {
  const [address = '', mask = '', ...rest] = pattern.split('/');
  if (rest.length > 0) return undefined;
  const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : undefined;
  if (bits === undefined) return undefined;
  if (/^\d{1,3}$/.test(mask)) return Number(mask) <= bits ? Number(mask) : undefined;
  if (bits !== 32 || !isIPv4(mask)) return undefined;
  const text = mask
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
  return /^1*0*$/.test(text) ? text.replaceAll('0', '').length : undefined;
}

function networkMatches(pattern: string, host: string): boolean {
  const bits = prefixBits(pattern);
  const [network = ''] = pattern.split('/');
  if (bits === undefined || isIPv4(network) !== isIPv4(host)) return false;
  if (!isIPv4(host) && !isIPv6(host)) return false;
  const family = isIPv4(host) ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(network, bits, family);
  return list.check(host, family);
}

/** In time proportional to pattern × host, whatever the pattern is. */
function likeMatches(pattern: string, host: string): boolean {
  let [at, from, star, mark] = [0, 0, -1, 0];
  while (from < host.length) {
    const sign = pattern[at];
    if (sign === '%') {
      star = at;
      mark = from;
      at += 1;
    } else if (sign !== undefined && (sign === '_' || sign === host[from])) {
      at += 1;
      from += 1;
    } else if (star >= 0) {
      mark += 1;
      from = mark;
      at = star + 1;
    } else {
      return false;
    }
  }
  return /^%*$/.test(pattern.slice(at));
}

/** Whether the text can be a host of an account: what is wrong with it, or undefined. */
export function hostPatternFault(pattern: string): string | undefined {
  if (pattern.length > HOST_LENGTH_MAX) return `it is longer than ${HOST_LENGTH_MAX} characters`;
  if (pattern === '') return "it is empty; '%' is any host";
  if (/[\p{Cc}\s'"`\\]/u.test(pattern)) return 'it has a character in it that no host has';
  if (pattern.includes('/') && prefixBits(pattern) === undefined) {
    return 'it is no network: address/bits or address/mask';
  }
  return undefined;
}
const HOST_LENGTH_MAX = 255;
