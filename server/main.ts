/** The command line: `thermocline serve`, `thermocline backend` and `thermocline demo`. */
import { resolve } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import { type LogLevel, jsonLog } from '../base/json_log.ts';
import { nearest } from '../base/near_miss.ts';
import type { Log } from '../base/ports.ts';
import { systemClock, systemRandom } from '../base/system_ports.ts';
import { ThermoclineServer } from './server.ts';
import type { BackendFlags } from './backend_command.ts';
import { UsageError, readSettings } from './settings.ts';
import { VERSION } from './version.ts';

const PORT_MAX = 65_535;
const EMBEDDED_MAX = 64;
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

interface ServeFlags {
  readonly dataDir: string;
  readonly config?: string;
  readonly host: string;
  readonly mysqlPort: number;
  readonly httpPort: number;
  readonly set: readonly string[];
  readonly embedded: ReadonlyMap<string, number>;
}

export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('thermocline')
    .description('Cache warm-up and cold-tiering control plane for MySQL clients')
    .version(VERSION)
    .showHelpAfterError('(thermocline --help shows what there is)')
    .exitOverride();
  program.addCommand(serveCommand(), { isDefault: true });
  program.addCommand(backendCommand());
  program.addCommand(demoCommand());
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    process.exitCode = report(error);
  }
}

/** One line on stderr, and the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (error instanceof UsageError) {
    process.stderr.write(`thermocline: ${error.message}\n`);
    return EXIT_USAGE;
  }
  const text = error instanceof Error ? error.message : String(error);
  process.stderr.write(`thermocline: ${text}\n`);
  if (!(error instanceof SqlError) && process.env['THERMOCLINE_DEBUG'] !== undefined) {
    process.stderr.write(`${error instanceof Error ? error.stack : ''}\n`);
  }
  return EXIT_FAILURE;
}

function serveCommand(): Command {
  return new Command('serve')
    .description('start the server (what happens without a command, too)')
    .exitOverride()
    .allowExcessArguments()
    .option('--data-dir <dir>', 'where everything is kept', './data')
    .option('--config <file>', 'file with key = value lines')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .addOption(portOption('--mysql-port <port>', 9030))
    .addOption(portOption('--http-port <port>', 8030))
    .option('--set <key=value...>', 'a setting; wins over the file and the environment', [])
    .addOption(
      new Option('--embedded <groups>', 'compute groups of an empty data directory, or none')
        .default(parseEmbedded('write_group=2,read_group=2'), 'write_group=2,read_group=2')
        .argParser(parseEmbedded),
    )
    .action(async (flags: ServeFlags, command: Command) => {
      // `serve` is what runs without a command, so a mistyped command comes here.
      const [extra] = command.args;
      if (extra !== undefined) throw new UsageError(unknownCommand(extra));
      await serve(flags);
    });
}

function unknownCommand(word: string): string {
  const near = nearest(word, ['serve', 'backend', 'demo', 'help']);
  const hint = near === undefined ? '' : `; did you mean '${near}'?`;
  return `unknown command '${word}'${hint} (thermocline --help shows what there is)`;
}

function demoCommand(): Command {
  return new Command('demo')
    .description('run the main job on a real dataset in a temporary directory')
    .exitOverride()
    .action(async () => {
      const { runDemo } = await import('./demo.ts');
      process.exitCode = await runDemo();
    });
}

function backendCommand(): Command {
  return new Command('backend')
    .description('start a backend that is a process of its own, for a server that runs elsewhere')
    .exitOverride()
    .requiredOption('--server <url>', "the server's HTTP address, such as http://10.0.0.1:8030")
    .requiredOption('--data-dir <dir>', 'where the backend keeps its tablets and its cache')
    .requiredOption('--token-file <file>', "copy of cluster.token of the server's data directory")
    .option('--config <file>', 'file with key = value lines')
    .option(
      '--host <address>',
      'address to listen on, where server and backends reach it',
      '127.0.0.1',
    )
    .addOption(portOption('--http-port <port>', 8040))
    .option('--compute-group <name>', 'where a new backend belongs; default: the first group')
    .option('--set <key=value...>', "a setting; wins over the server's", [])
    .action(async (flags: BackendFlags) => {
      const { runBackend } = await import('./backend_command.ts');
      await runBackend(flags);
    });
}

function portOption(flags: string, port: number): Option {
  return new Option(flags, 'port, 0 for any free one').default(port).argParser((text: string) => {
    const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value <= PORT_MAX)) {
      throw new UsageError(`${flags.split(' ')[0]} ${text}: allowed are 0 to ${PORT_MAX}`);
    }
    return value;
  });
}

function parseEmbedded(text: string): ReadonlyMap<string, number> {
  const groups = new Map<string, number>();
  if (text === 'none') return groups;
  for (const part of text.split(',')) {
    const [, name, digits] = /^([A-Za-z_]\w{0,63})=(\d{1,2})$/.exec(part.trim()) ?? [];
    const count = Number(digits);
    if (name === undefined || count > EMBEDDED_MAX || groups.has(name)) {
      const form = `group=backends,... with 0 to ${EMBEDDED_MAX} backends each, or none`;
      throw new UsageError(`--embedded ${text}: expected ${form}`);
    }
    groups.set(name, count);
  }
  return groups;
}

async function serve(flags: ServeFlags): Promise<void> {
  const config = readSettings({
    ...(flags.config === undefined ? {} : { file: flags.config }),
    environment: process.env,
    assignments: flags.set,
  });
  const log = jsonLog(config.get('log_level') as LogLevel);
  // A promise that nobody waits for must not take the server down; it is a bug all the same.
  process.on('unhandledRejection', (error) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error('a rejection was not handled', { error: text });
  });
  const dataDir = resolve(flags.dataDir);
  const { host, mysqlPort, httpPort, embedded } = flags;
  const { promise: started, resolve: hasStarted } = Promise.withResolvers<ThermoclineServer>();
  // Before anything is there to be tidied up, and before the ready line: who reads that one may
  // send the signal at once.
  stopOnSignals(started, config, log);
  const server = await ThermoclineServer.start({
    dataDir,
    host,
    mysqlPort,
    httpPort,
    embedded,
    config,
    clock: systemClock,
    random: systemRandom,
    log,
    onShutdown: () => {
      process.kill(process.pid, 'SIGTERM');
    },
    onLeaseLost: () => {
      // Two servers on one catalog: this one has nothing to say any more.
      log.error('another server has taken over the data directory; stopping', { dataDir });
      void started
        .then(async (running) => running.close(0))
        .finally(() => process.exit(EXIT_FAILURE));
    },
  });
  hasStarted(server);
  const { mysql, http } = server;
  process.stdout.write(
    `ready mysql=${mysql.host}:${mysql.port} http=${http.host}:${http.port} data=${dataDir}\n`,
  );
}

/** A server that is still starting is stopped when it has started. */
function stopOnSignals(started: Promise<ThermoclineServer>, config: Config, log: Log): void {
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    // A second signal does not wait.
    if (stopping) process.exit(EXIT_FAILURE);
    stopping = true;
    log.info('stopping', { signal });
    started
      .then(async (server) => {
        await server.close(config.get('shutdown_grace_ms'));
      })
      .then(
        () => {
          process.exit(0);
        },
        (error: unknown) => {
          log.error('stopping failed', { error: String(error) });
          process.exit(EXIT_FAILURE);
        },
      );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}
