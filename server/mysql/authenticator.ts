/** The exchange that proves who a client is, for logins and COM_CHANGE_USER. */
import { SqlError } from '../../base/errors.ts';
import { FastAuthCache } from './fast_auth_cache.ts';
import type { Account, AuthPlugin, FrontDoor } from './handler.ts';
import { ANNOUNCED_PLUGIN } from './handshake.ts';
import type { Claim } from './handshake.ts';
import type { PacketEncoder } from './packet_encoder.ts';
import {
  type VerifySlowly,
  fastAuthDigest,
  verifyCachingSha2,
  verifyFastAuth,
  verifyNative,
} from './passwords.ts';
import { RsaKey } from './rsa_key.ts';

const AUTH_SWITCH = 0xfe;
const AUTH_MORE_DATA = 0x01;
const REQUEST_PUBLIC_KEY = 0x02;
const FAST_AUTH_SUCCESS = 0x03;
const FULL_AUTHENTICATION = 0x04;

/** The connection as the exchange sees it. */
export interface AuthChannel {
  readonly host: string;
  readonly scramble: Buffer;
  /** The client can be told to use another plugin. */
  readonly canSwitch: boolean;
  /** Nobody can listen: TLS, a unix socket or loopback. A password may then come in clear. */
  readonly isPrivate: boolean;
  send(encode: (packets: PacketEncoder) => void): void;
  /** As `send`, on its way with what is sent next: two packets, one call of the system. */
  sendLater(encode: (packets: PacketEncoder) => void): void;
  /** Payload of the client's next packet; rejects when it is gone. */
  receive(): Promise<Buffer>;
}

/**
 * What stands in for an account that does not exist: a plugin whose whole exchange is gone
 * through, with the same work, and a hash that nothing matches. It is caching_sha2_password
 * because that is what accounts are created with.
 */
const NOBODY: Account = { plugin: 'caching_sha2_password', authString: '-' };

export class Authenticator {
  readonly #frontDoor: Pick<FrontDoor, 'findAccount' | 'loginFailed'>;
  readonly #verify: VerifySlowly;
  readonly #cache = new FastAuthCache();
  readonly #rsa = new RsaKey();
  /** Ends when the slow hashes asked for so far are done: one at a time finishes first sooner. */
  #hashing: Promise<unknown> = Promise.resolve();

  constructor(
    frontDoor: Pick<FrontDoor, 'findAccount' | 'loginFailed'>,
    verify: VerifySlowly = verifyCachingSha2,
  ) {
    this.#frontDoor = frontDoor;
    this.#verify = verify;
  }

  /**
   * Resolves when the client has proved the claim; rejects with ACCESS_DENIED (the same for an
   * unknown user and a wrong password), AUTH_NOT_SUPPORTED, or when the client is gone.
   */
  async authenticate(channel: AuthChannel, claim: Claim): Promise<void> {
    const found = (await this.#frontDoor.findAccount(claim.user, channel.host)) ?? NOBODY;
    const account = withoutNeedlessSwitch(found, claim);
    const response = await this.#responseFor(account.plugin, channel, claim);
    const accepted = await this.#check(account, channel, claim.user, response);
    if (accepted) return;
    this.#frontDoor.loginFailed?.(claim.user, channel.host);
    throw new SqlError('ACCESS_DENIED', {
      user: claim.user,
      host: channel.host,
      using: isEmptyPassword(response) ? 'NO' : 'YES',
    });
  }

  /** The client's answer to the challenge in the account's plugin, asked for again if need be. */
  async #responseFor(plugin: AuthPlugin, channel: AuthChannel, claim: Claim): Promise<Buffer> {
    if (!channel.canSwitch) {
      if (plugin === ANNOUNCED_PLUGIN) return claim.response;
      throw new SqlError('AUTH_NOT_SUPPORTED');
    }
    if (claim.plugin === plugin) return claim.response;
    channel.send((packets) => {
      packets.begin();
      packets.u8(AUTH_SWITCH);
      packets.nulText(plugin);
      packets.bytes(channel.scramble);
      packets.u8(0);
      packets.end();
    });
    return channel.receive();
  }

  async #check(
    account: Account,
    channel: AuthChannel,
    user: string,
    response: Buffer,
  ): Promise<boolean> {
    switch (account.plugin) {
      case 'mysql_native_password':
        return verifyNative(account.authString, channel.scramble, response);
      case 'caching_sha2_password':
        return this.#checkCachingSha2(account.authString, channel, user, response);
    }
  }

  async #checkCachingSha2(
    authString: string,
    channel: AuthChannel,
    user: string,
    response: Buffer,
  ): Promise<boolean> {
    if (isEmptyPassword(response)) return authString === '';
    const known = this.#cache.get(user, authString);
    if (known !== undefined && verifyFastAuth(known, channel.scramble, response)) {
      // The answer to the login follows at once.
      channel.sendLater((packets) => {
        encodeMore(packets, Buffer.of(FAST_AUTH_SUCCESS));
      });
      return true;
    }
    sendMore(channel, Buffer.of(FULL_AUTHENTICATION));
    const password = await this.#receivePassword(channel);
    if (password === undefined) return false;
    const accepted = await this.#verifySlowly(authString, password);
    if (accepted) this.#cache.set(user, authString, fastAuthDigest(password));
    return accepted;
  }

  /**
   * The password of a full authentication: encrypted for our key, or in clear. libmariadb sends
   * it in clear whenever its TLS option is on (the default of the `mysql` program), even when the
   * connection has no TLS. That is accepted where nobody can listen.
   */
  async #receivePassword(channel: AuthChannel): Promise<Buffer | undefined> {
    let payload = await channel.receive();
    if (payload.length === 1 && payload[0] === REQUEST_PUBLIC_KEY) {
      sendMore(channel, Buffer.from(await this.#rsa.publicPem()));
      payload = await channel.receive();
    }
    const decrypted = await this.#rsa.decryptPassword(payload, channel.scramble);
    if (decrypted !== undefined || payload.at(-1) !== 0) return decrypted;
    return channel.isPrivate ? payload.subarray(0, -1) : undefined;
  }

  #verifySlowly(authString: string, password: Buffer): Promise<boolean> {
    const verified = this.#hashing.then(() => this.#verify(authString, password));
    this.#hashing = verified.catch(() => undefined);
    return verified;
  }
}

/**
 * No password is the same in both plugins, and newer clients do not know mysql_native_password any
 * more: who begins with the other one is not told to switch.
 */
function withoutNeedlessSwitch(account: Account, { plugin }: Claim): Account {
  const isNeedless = account.authString === '' && plugin === 'caching_sha2_password';
  return isNeedless ? { ...account, plugin } : account;
}

function sendMore(channel: AuthChannel, data: Buffer): void {
  channel.send((packets) => {
    encodeMore(packets, data);
  });
}

function encodeMore(packets: PacketEncoder, data: Buffer): void {
  packets.begin();
  packets.u8(AUTH_MORE_DATA);
  packets.bytes(data);
  packets.end();
}

/** No password is an empty response or, from some clients after an auth switch, a single NUL. */
function isEmptyPassword(response: Buffer): boolean {
  return response.length === 0 || (response.length === 1 && response[0] === 0);
}
