/** Settings reach backends when they are set, and not only with their next heartbeat. */
import { describe, expect, it } from '@jest/globals';
import type { AgentTransport } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { type BackendId, id } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { BackendDef } from '../../base/schema.ts';
import { AgentConfig } from '../../server/agent_config.ts';

interface Heard {
  readonly backendId: BackendId;
  readonly interval: string | undefined;
}

const KEY = 'report_tablet_interval_seconds';

function world(dead: readonly number[] = []) {
  const config = new Config();
  const heard: Heard[] = [];
  let answers = Promise.withResolvers<void>();
  const transport: AgentTransport = {
    call: async (backendId, name, request) => {
      expect(name).toBe('configure');
      const { values } = request as { readonly values: Readonly<Record<string, string>> };
      heard.push({ backendId, interval: values[KEY] });
      await answers.promise;
      if (backendId === id<BackendId>(2)) {
        throw new SqlError('AGENT_LOST', { backend: 2, what: name, why: 'for a test' });
      }
      const reply: unknown = {};
      return reply as never;
    },
  };
  const backends = [1, 2, 3].map((n) => ({ backendId: id<BackendId>(n) }) as BackendDef);
  const catalog = { backends: { list: async () => await Promise.resolve(backends) } };
  const registry = { isAlive: (backendId: BackendId) => !dead.includes(backendId) };
  void new AgentConfig({
    config,
    catalog: catalog as never,
    registry,
    transport,
    log: SILENT_LOG,
  });
  const answer = async (): Promise<void> => {
    answers.resolve();
    answers = Promise.withResolvers<void>();
    await settled();
  };
  return { config, heard, answer };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}

describe('a setting', () => {
  it('is told to all backends that are alive, once for all that are set together', async () => {
    const { config, heard } = world([3]);
    config.setLive(KEY, '7');
    config.setLive('generate_cooldown_task_interval_sec', '7');
    await settled();
    expect(heard).toEqual([
      { backendId: 1, interval: '7' },
      { backendId: 2, interval: '7' },
    ]);
  });

  it('that backends have no copy of is told to nobody', async () => {
    const { config, heard } = world();
    config.setLive('max_connections', '7');
    await settled();
    expect(heard).toEqual([]);
  });

  it('that is changed while backends are told is told after that, also when one failed', async () => {
    const { config, heard, answer } = world();
    config.setLive(KEY, '7');
    await settled();
    config.setLive(KEY, '8');
    config.setLive(KEY, '9');
    await settled();
    expect(heard.map(({ interval }) => interval)).toEqual(['7', '7', '7']);
    await answer();
    expect(heard.slice(3).map(({ interval }) => interval)).toEqual(['9', '9', '9']);
    await answer();
    expect(heard).toHaveLength(6);
  });
});
