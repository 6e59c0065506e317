import { describe, expect, it } from '@jest/globals';
import { Config, CONFIG_KEYS, allowedText, parseConfigValue } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';

describe('Config', () => {
  it('has defaults that its own checks accept', () => {
    const config = new Config();
    for (const key of CONFIG_KEYS) {
      expect(parseConfigValue(key, config.text(key))).toEqual(config.get(key));
      expect(allowedText(key)).not.toBe('');
    }
  });

  it('names an unknown key and the nearest known one', () => {
    expect(() => new Config({ max_conections: '5' })).toThrow(
      "Config 'max_conections' does not exist; did you mean 'max_connections'?",
    );
  });

  it('refuses a bad value and says what is allowed', () => {
    expect(() => new Config({ max_connections: '0' })).toThrow(
      "Invalid value '0' for config 'max_connections'; allowed: a whole number from 1 to 100000",
    );
  });

  it('changes only mutable keys while running', () => {
    const config = new Config();
    config.setLive('max_connections', '7');
    expect(config.get('max_connections')).toBe(7);
    expect(() => config.setLive('server_version', '8.0.36')).toThrow(SqlError);
  });

  it('tells who listens what is another value now, when all of it is set', () => {
    const config = new Config({ max_connections: '7' });
    const heard: string[] = [];
    const stop = config.onChange((key) => {
      heard.push(`${key} ${config.text('max_connections')} ${config.text('server_version')}`);
    });
    config.replace({ max_connections: '7', server_version: '9.9.9', no_such_key: '1' });
    config.replace({ server_version: '9.9.8', max_connections: '8' });
    expect(heard).toEqual([
      'server_version 7 9.9.9',
      'server_version 8 9.9.8',
      'max_connections 8 9.9.8',
    ]);
    stop();
    config.replace({ max_connections: '9' });
    expect(heard).toHaveLength(3);
  });

  it('reads sizes with units', () => {
    expect(parseConfigValue('segment_max_bytes', '32MB')).toBe(32 * 1024 * 1024);
  });
});
