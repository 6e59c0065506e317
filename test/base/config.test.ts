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

  it('reads sizes with units', () => {
    expect(parseConfigValue('segment_max_bytes', '32MB')).toBe(32 * 1024 * 1024);
  });
});
