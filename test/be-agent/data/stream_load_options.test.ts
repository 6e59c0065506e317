import { describe, expect, it } from '@jest/globals';
import { parseStreamLoadHeaders } from '../../../be-agent/data/stream_load_options.ts';

describe('parseStreamLoadHeaders', () => {
  it('has Doris\u2019s defaults', () => {
    expect(parseStreamLoadHeaders({ host: 'x', 'content-length': '5' })).toEqual({
      format: 'csv',
      columnSeparator: '\t',
      lineDelimiter: '\n',
      skipLines: 0,
      stripOuterArray: false,
      readJsonByLine: true,
      gzip: false,
      maxFilterRatio: 0,
      strictMode: true,
    });
  });

  it('reads names, escapes and UTF-8 that HTTP hands over as Latin-1', () => {
    const latin1 = (text: string) => Buffer.from(text, 'utf8').toString('latin1');
    const options = parseStreamLoadHeaders({
      label: 'daily-2024.01:a',
      format: 'CSV',
      columns: latin1('a, `größe` ,c'),
      partitions: 'p1,p2',
      column_separator: '\\x01||',
      line_delimiter: '\\r\\n',
      compress_type: 'GZ',
      timeout: '60',
      max_filter_ratio: '0.25',
      strict_mode: 'false',
    });
    expect(options).toMatchObject({
      label: 'daily-2024.01:a',
      columns: ['a', 'größe', 'c'],
      partitions: ['p1', 'p2'],
      columnSeparator: '\u0001||',
      lineDelimiter: '\r\n',
      gzip: true,
      timeoutSeconds: 60,
      maxFilterRatio: 0.25,
      strictMode: false,
    });
  });

  it.each([
    [
      { format: 'orc' },
      "Invalid value 'orc' for property 'format'; allowed: csv, csv_with_names, json, parquet",
    ],
    [
      { max_filter_ratio: '2' },
      "Invalid value '2' for property 'max_filter_ratio'; allowed: a number from 0 to 1",
    ],
    [
      { timeout: '0' },
      "Invalid value '0' for property 'timeout'; allowed: a whole number from 1 to 604800",
    ],
    [
      { strict_mode: 'yes' },
      "Invalid value 'yes' for property 'strict_mode'; allowed: true or false",
    ],
    [{ compress_type: 'lz4' }, "Invalid value 'lz4' for property 'compress_type'; allowed: gz"],
    [
      { enclose: '""' },
      "Invalid value '\"\"' for property 'enclose'; allowed: one ASCII character",
    ],
    [
      { columns: 'a,,b' },
      "Invalid value 'a,,b' for property 'columns'; allowed: names separated by commas",
    ],
    [
      { column_separator: '' },
      "Invalid value '' for property 'column_separator'; allowed: 1 to 16 characters, such as , or \\t or \\x01",
    ],
    [{ where: 'a > 1' }, 'not supported yet: stream load header where: a > 1'],
    [{ columns: 'a, b = a + 1' }, 'not supported yet: expressions in stream load header columns'],
    [{ two_phase_commit: 'true' }, 'not supported yet: stream load header two_phase_commit: true'],
    [
      { label: 'a b' },
      "Label format error: 'a b'; allowed: 1 to 128 of letters, digits, '-', '_', '.', ':'",
    ],
  ])('%j: %s', (headers, message) => {
    expect(() => parseStreamLoadHeaders(headers as Record<string, string>)).toThrow(message);
  });
});
