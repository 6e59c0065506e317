/** Failed logins, locked accounts, and what a new password must be like. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SqlError } from '../../../base/errors.ts';
import { PasswordCheck } from '../../../server/password_check.ts';
import { LoginGuard } from '../../../server/access/login_guard.ts';
import { ShowFixture } from '../executors/fixture.ts';

let show: ShowFixture;
let check: PasswordCheck;

beforeEach(async () => {
  show = await ShowFixture.open();
  check = new PasswordCheck(show.services.access, show.services.logins, show.services);
  await show.run("CREATE USER u IDENTIFIED WITH mysql_native_password BY 'right'");
});
afterEach(async () => {
  await show.close();
});

async function login(user: string, password: string, peer = '10.0.0.1'): Promise<string> {
  try {
    const account = await check.expect({ user, password, peer });
    return `${account.user}@${account.host}`;
  } catch (error) {
    if (error instanceof SqlError) return error.message;
    throw error;
  }
}

const text = async (user: string): Promise<string> =>
  (await show.text(`SHOW CREATE USER ${user}`))[1] ?? '';

const denied = (user: string, peer = '10.0.0.1'): string =>
  `Access denied for user '${user}'@'${peer}' (using password: YES)`;

describe('too many failed logins', () => {
  it('are followed by refusals, for that user and address, which look the same', async () => {
    show.config.setLive('failed_login_attempts', '3');
    for (const user of ['u', 'nobody']) {
      for (let time = 0; time < 3; time += 1) {
        expect(await login(user, 'wrong')).toBe(denied(user));
      }
    }
    expect(await login('u', 'right')).toBe(denied('u'));
    expect(await login('u', 'right', '10.0.0.2')).toBe('u@%');
    const { logins } = show.services;
    expect([logins.isLocked('u', '10.0.0.1'), logins.isLocked('nobody', '10.0.0.1')]).toEqual([
      true,
      true,
    ]);
  });

  it('outlive a restart, and end when the password is changed', async () => {
    show.config.setLive('failed_login_attempts', '1');
    await login('u', 'wrong');
    // The lock is stored behind the answer.
    await show.catalog.transaction(async () => {
      await Promise.resolve();
    });
    const { clock, config, log } = show.services;
    const after = new LoginGuard({ clock, config, log, catalog: show.catalog });
    await after.load();
    expect(after.isLocked('u', '10.0.0.1')).toBe(true);
    await show.run("ALTER USER u IDENTIFIED BY 'other'");
    expect(await login('u', 'other')).toBe('u@%');
    expect(await show.catalog.grants.loginLocks()).toEqual([]);
  });

  it('count for those that are on their way already', async () => {
    show.config.setLive('failed_login_attempts', '3');
    // One of a hundred guesses at once is right, and comes too late.
    const guesses = await Promise.all(
      Array.from({ length: 100 }, (_, at) => login('u', at === 50 ? 'right' : `guess-${at}`)),
    );
    expect(new Set(guesses)).toEqual(new Set([denied('u')]));
  });

  it('of an account with limits of its own go by these', async () => {
    await show.run(
      "CREATE USER v IDENTIFIED WITH mysql_native_password BY 'right' FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME 1",
    );
    await show.run('ALTER USER u FAILED_LOGIN_ATTEMPTS 0');
    show.config.setLive('failed_login_attempts', '1');
    for (const user of ['u', 'v']) {
      await login(user, 'wrong');
      expect(await login(user, 'right')).toBe(`${user}@%`);
    }
    await login('v', 'wrong');
    await login('v', 'wrong');
    expect(await login('v', 'right')).toBe(denied('v'));
    show.clock.ms += 86_400_000 - 1;
    expect(await login('v', 'right')).toBe(denied('v'));
    show.clock.ms += 1;
    expect(await login('v', 'right')).toBe('v@%');
  });

  it('shut out until the account is unlocked, where that is asked for', async () => {
    await show.run('ALTER USER u FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED');
    await login('u', 'wrong');
    show.clock.ms += 100 * 365 * 86_400_000;
    expect(await login('u', 'right')).toBe(denied('u'));
    await show.run('ALTER USER u ACCOUNT UNLOCK');
    expect(await login('u', 'right')).toBe('u@%');
  });

  it('have limits that SHOW CREATE USER shows and that have limits themselves', async () => {
    await show.run('CREATE USER w FAILED_LOGIN_ATTEMPTS 4 PASSWORD_LOCK_TIME 90 SECOND');
    expect(await text('w')).toMatch(/ FAILED_LOGIN_ATTEMPTS 4 PASSWORD_LOCK_TIME 90 SECOND /);
    for (const [words, again] of [
      ['PASSWORD_LOCK_TIME 2 DAY', 'PASSWORD_LOCK_TIME 2 '],
      ['PASSWORD_LOCK_TIME 24 HOUR', 'PASSWORD_LOCK_TIME 1 '],
      ['PASSWORD_LOCK_TIME UNBOUNDED', 'PASSWORD_LOCK_TIME UNBOUNDED '],
    ] as const) {
      await show.run(`ALTER USER w ${words}`);
      expect(await text('w')).toContain(again);
    }
    await expect(show.run('ALTER USER w FAILED_LOGIN_ATTEMPTS 32768')).rejects.toMatchObject({
      errno: 1210,
    });
    await expect(show.run('ALTER USER w PASSWORD_LOCK_TIME 32768')).rejects.toMatchObject({
      errno: 1210,
    });
  });

  it('are forgotten after a good one, and never counted when the setting is 0', async () => {
    show.config.setLive('failed_login_attempts', '2');
    await login('u', 'wrong');
    expect(await login('u', 'right')).toBe('u@%');
    await login('u', 'wrong');
    expect(await login('u', 'right')).toBe('u@%');
    show.config.setLive('failed_login_attempts', '0');
    for (let time = 0; time < 5; time += 1) await login('u', 'wrong');
    expect(await login('u', 'right')).toBe('u@%');
  });
});

describe('an account', () => {
  it('that is locked is told so only with its password', async () => {
    await show.run('ALTER USER u ACCOUNT LOCK');
    expect(await login('u', 'wrong')).toBe(denied('u'));
    expect(await login('u', 'right')).toBe(
      "Access denied for user 'u'@'10.0.0.1'. Account is locked.",
    );
    await show.run('ALTER USER u ACCOUNT UNLOCK');
    expect(await login('u', 'right')).toBe('u@%');
  });

  it('with the most specific host is the one', async () => {
    await show.run(
      `CREATE USER 'u'@'10.%' IDENTIFIED BY 'ten', 'u'@'10.0.0.1' IDENTIFIED BY 'one'`,
    );
    expect(await login('u', 'one')).toBe('u@10.0.0.1');
    expect(await login('u', 'ten')).toBe(denied('u'));
    expect(await login('u', 'ten', '10.0.0.2')).toBe('u@10.%');
    expect(await login('u', 'right', '11.0.0.1')).toBe('u@%');
  });

  it('without a password comes in from this machine only', async () => {
    await show.run('CREATE USER open');
    expect(await login('open', '', '127.0.0.1')).toBe('open@%');
    expect(await login('open', '')).toMatch(/^Access denied/);
  });
});

describe('a new password', () => {
  it('is stored as a hash of the safer plugin', async () => {
    await show.run("CREATE USER v IDENTIFIED BY 'Secret.1'");
    const account = show.services.access.find({ user: 'v', host: '%' });
    expect(account?.plugin).toBe('caching_sha2_password');
    expect(account?.authString).toMatch(/^\$A\$005\$/);
    expect(await login('v', 'Secret.1')).toBe('v@%');
    // The second time by its digest, which goes with the password.
    expect(await login('v', 'Secret.1')).toBe('v@%');
    expect(await login('v', 'Secret.2')).toBe(denied('v'));
    await show.run("ALTER USER v IDENTIFIED BY 'Secret.2'");
    expect(await login('v', 'Secret.1')).toBe(denied('v'));
    expect(await login('v', 'Secret.2')).toBe('v@%');
  });

  it('must be what the settings say', async () => {
    const rules = [
      ['validate_password_length', '8', 'short'],
      ['validate_password_mixed_case_count', '1', 'lowercase1!'],
      ['validate_password_number_count', '2', 'Secret.1'],
      ['validate_password_special_char_count', '1', 'Secret12'],
      ['validate_password_check_user_name', 'true', 'yllaicepse'],
    ] as const;
    for (const [setting, value, password] of rules) {
      show.config.setLive(setting, value);
      const user = setting.endsWith('user_name') ? 'especially' : 'w';
      expect(await show.error(`CREATE USER ${user} IDENTIFIED BY '${password}'`)).toMatch(/^1819 /);
      show.config.setLive(setting, setting.endsWith('user_name') ? 'false' : '0');
    }
    expect(await show.error("CREATE USER w IDENTIFIED BY 'short'")).toBe('no error');
  });
});
