/**
 * Whether there is such a user must not show in how long a failed login takes. Times are not
 * measured: the work is counted.
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { systemRandom } from '../../../base/system_ports.ts';
import { type AuthChannel, Authenticator } from '../../../server/mysql/authenticator.ts';
import { PacketEncoder } from '../../../server/mysql/packet_encoder.ts';
import { makeCachingSha2, verifyCachingSha2 } from '../../../server/mysql/passwords.ts';
import { PasswordCheck } from '../../../server/password_check.ts';
import { ShowFixture } from '../executors/fixture.ts';

let show: ShowFixture;
let verified: string[];

const verify = async (authString: string, password: Buffer): Promise<boolean> => {
  verified.push(password.toString());
  return await verifyCachingSha2(authString, password);
};

beforeEach(async () => {
  verified = [];
  show = await ShowFixture.open();
  await show.run(`CREATE USER known IDENTIFIED BY 'right'; CREATE USER empty;
    CREATE USER shut IDENTIFIED BY 'right' ACCOUNT LOCK;
    CREATE USER old IDENTIFIED WITH mysql_native_password BY 'right';
    CREATE USER elsewhere@'203.0.113.7' IDENTIFIED BY 'right';
    CREATE USER often IDENTIFIED BY 'right' FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1`);
  show.services.logins.failed('often', '10.0.0.1', {
    failedLoginAttempts: 1,
    passwordLockSecond: 60,
  });
});
afterEach(async () => {
  await show.close();
});

const check = (): PasswordCheck =>
  new PasswordCheck(show.services.access, show.services.logins, { ...show.services, verify });

describe('the slow hash', () => {
  it('has as many rounds, and as much salt, for a text that is no hash', async () => {
    const calls: (readonly number[])[] = [];
    const crypt = async (...[password, salt, rounds]: readonly [Buffer, Buffer, number]) => {
      calls.push([password.length, salt.length, rounds]);
      return await Promise.resolve('.'.repeat(43));
    };
    const stored = await makeCachingSha2('right', systemRandom.bytes(20));
    for (const authString of [stored, '-', '']) {
      expect(await verifyCachingSha2(authString, Buffer.from('wrong'), crypt)).toBe(false);
    }
    expect(calls).toEqual([calls[0], calls[0], calls[0]]);
    expect(calls[0]).toEqual([5, 20, 5000]);
  });
});

describe('a failed login', () => {
  it.each(['known', 'nobody', 'shut', 'often', 'elsewhere', 'empty'])(
    'over MySQL is the same exchange and one hash: %s',
    async (user) => {
      const passwords = check();
      const findAccount = async (name: string, host: string) =>
        await Promise.resolve(passwords.find(name, host));
      const sent: Buffer[] = [];
      const send: AuthChannel['send'] = (encode) => {
        const packets = new PacketEncoder();
        encode(packets);
        sent.push(Buffer.from(packets.take()));
      };
      const channel: AuthChannel = {
        host: '10.0.0.1',
        scramble: Buffer.alloc(20, 1),
        canSwitch: true,
        isPrivate: true,
        send,
        sendLater: send,
        receive: async () => await Promise.resolve(Buffer.from('wrong\0')),
      };
      const response = Buffer.alloc(32, 7);
      const claim = { user, database: '', collationId: 45, attributes: {}, response };
      const login = new Authenticator({ findAccount }, verify).authenticate(channel, {
        ...claim,
        plugin: 'caching_sha2_password',
      });
      await expect(login).rejects.toMatchObject({
        message: `Access denied for user '${user}'@'10.0.0.1' (using password: YES)`,
      });
      expect(verified).toEqual(['wrong']);
      expect(sent).toHaveLength(1);
    },
  );

  it.each(['known', 'nobody', 'shut', 'often', 'elsewhere', 'empty', 'old'])(
    'over HTTP is one hash: %s',
    async (user) => {
      const login = check().expect({ user, password: 'wrong', peer: '10.0.0.1' });
      await expect(login).rejects.toMatchObject({
        message: `Access denied for user '${user}'@'10.0.0.1' (using password: YES)`,
      });
      expect(verified).toEqual(['wrong']);
    },
  );
});
