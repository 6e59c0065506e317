/** RENAME USER: accounts get other names and keep what they have. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { executeStatement } from '../../../server/executors/table.ts';
import { parseStatements } from '../../../parser/parse.ts';
import { ShowFixture } from './fixture.ts';

const LIMITS = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 20, allowMulti: false };
let show: ShowFixture;

beforeEach(async () => {
  show = await ShowFixture.open();
  await show.run("CREATE ROLE 'r'; CREATE USER a IDENTIFIED BY 'secret'; CREATE USER b");
  await show.run("GRANT SELECT_PRIV ON d.t TO a; GRANT 'r' TO a; GRANT SELECT_PRIV ON d.u TO b");
});
afterEach(async () => {
  await show.close();
});

const grants = async (user: string): Promise<string[]> =>
  (await show.text(`SHOW GRANTS FOR ${user}`)).slice(1);

describe('a renamed account', () => {
  it('keeps its password, its privileges and its roles; the old name has nothing', async () => {
    const { access } = show.services;
    const before = access.find({ user: 'a', host: '%' });
    const renamed = (await grants('a')).map((line) =>
      line.replaceAll("'a'", "'c'").replaceAll('`a`', '`c`'),
    );
    await show.run("RENAME USER a TO c@'10.0.0.%'");
    const after = access.find({ user: 'c', host: '10.0.0.%' });
    expect(after).toEqual({ ...before, user: 'c', host: '10.0.0.%' });
    expect(after?.authString).toMatch(/^\$A\$/);
    expect(access.rolesOf({ user: 'c', host: '10.0.0.%' })).toEqual(['r']);
    expect((await grants("c@'10.0.0.%'")).map((line) => line.replaceAll('10.0.0.%', '%'))).toEqual(
      renamed,
    );
    expect(await show.error('SHOW GRANTS FOR a')).toMatch(/^1141 /);
    await show.run('CREATE USER a');
    expect((await grants('a')).join()).not.toContain('SELECT');
  });

  it('may change places with another in one statement', async () => {
    await show.run('RENAME USER a TO x, b TO a, x TO b');
    expect((await grants('a')).join()).toContain('`u`');
    expect((await grants('b')).join()).toContain('`t`');
  });

  it('has sessions that may do nothing more', async () => {
    const as = show.as('a', 'd');
    await show.run('RENAME USER a TO c');
    const [parsed] = parseStatements('DESCRIBE d.t', LIMITS);
    if (parsed === undefined) throw new Error('nothing was parsed');
    await expect(executeStatement(parsed.statement, as)).rejects.toMatchObject({ errno: 1142 });
  });
});

describe('a rename', () => {
  it('of one that is missing, or to a name that is taken, changes nothing', async () => {
    expect(await show.error('RENAME USER a TO c, missing TO d')).toBe(
      "1396 Operation RENAME USER failed for 'missing'@'%': no such user",
    );
    expect(await show.error('RENAME USER a TO b')).toBe(
      "1396 Operation RENAME USER failed for 'b'@'%'",
    );
    expect(await show.error("RENAME USER a TO ''")).toMatch(/^1\d+ /);
    expect(show.services.access.find({ user: 'a', host: '%' })).toBeDefined();
    expect(show.services.access.find({ user: 'c', host: '%' })).toBeUndefined();
  });

  it('of root is refused', async () => {
    expect(await show.error('RENAME USER root TO boss')).toContain('renamed');
  });

  it('needs every privilege that the account has', async () => {
    await show.run('CREATE USER helper; GRANT GRANT_PRIV ON *.* TO helper');
    const [parsed] = parseStatements('RENAME USER a TO c', LIMITS);
    if (parsed === undefined) throw new Error('nothing was parsed');
    await expect(executeStatement(parsed.statement, show.as('helper'))).rejects.toMatchObject({
      errno: 1227,
    });
  });
});
