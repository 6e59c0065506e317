/**
 * The programs of other projects that tests talk to, in one place: what each is for and which
 * Debian package brings it. Without them the tests that need them are skipped, except in CI.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** program → Debian package */
const PACKAGES: Readonly<Record<string, string>> = {
  // the real S3 server (test/s3_server.ts)
  ceph: 'ceph-common',
  'ceph-mon': 'ceph-mon',
  'ceph-osd': 'ceph-osd',
  monmaptool: 'ceph-common',
  radosgw: 'radosgw',
  'radosgw-admin': 'radosgw',
  setpriv: 'util-linux',
  // MySQL clients
  mysql: 'default-mysql-client',
  mysqladmin: 'default-mysql-client',
  mysqldump: 'default-mysql-client',
  mysqlslap: 'default-mysql-client',
  php: 'php-cli',
  perl: 'perl',
  python3: 'python3',
  java: 'default-jre-headless',
  // the server that benches compare with
  mariadbd: 'mariadb-server',
  'mariadb-install-db': 'mariadb-server',
};

/** Where Debian puts daemons, which are not on every user's PATH. */
const MORE_DIRECTORIES = ['/usr/sbin', '/sbin', '/usr/local/sbin'];

/** Absolute path of a program, or undefined when it is not installed. */
export function programPath(name: string): string | undefined {
  const onPath = (process.env['PATH'] ?? '').split(delimiter);
  for (const directory of [...onPath, ...MORE_DIRECTORIES]) {
    if (directory === '') continue;
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

/** Says which programs are missing and how to get them; undefined when all are there. */
export function missingPrograms(names: readonly string[]): string | undefined {
  const missing = names.filter((name) => programPath(name) === undefined);
  if (missing.length === 0) return undefined;
  const packages = new Set(missing.map((name) => PACKAGES[name] ?? name));
  return `not installed: ${missing.join(', ')} (apt-get install ${[...packages].join(' ')})`;
}

/** Libraries without a program: a file that the package brings. */
const LIBRARIES: Readonly<Record<string, string>> = {
  'python3-pymysql': '/usr/lib/python3/dist-packages/pymysql/__init__.py',
  'python3-mysqldb': '/usr/lib/python3/dist-packages/MySQLdb/__init__.py',
  'php-mysql': '/var/lib/dpkg/info/php-mysql.list',
  'libdbd-mysql-perl': '/usr/share/doc/libdbd-mysql-perl',
  'libmariadb-java': '/usr/share/java/mariadb-java-client.jar',
};

/** As `missingPrograms`, for Debian packages with a library. */
export function missingLibraries(packages: readonly string[]): string | undefined {
  const missing = packages.filter((name) => !existsSync(LIBRARIES[name] ?? ''));
  return missing.length === 0 ? undefined : `not installed: apt-get install ${missing.join(' ')}`;
}
