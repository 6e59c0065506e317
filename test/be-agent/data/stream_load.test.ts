import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { SqlError } from '../../../base/errors.ts';
import type { ColumnDef } from '../../../base/schema.ts';
import type { SqlRow } from '../../../base/values.ts';
import type { LoadReport } from '../../../be-agent/data/load.ts';
import {
  type HeaderValues,
  parseStreamLoadHeaders,
} from '../../../be-agent/data/stream_load_options.ts';
import { runStreamLoad } from '../../../be-agent/data/stream_load_parse.ts';
import {
  column,
  memoryStore,
  opener,
  scanAll,
  scanRequest,
  services,
  target,
} from './table_fixture.ts';

const datasets = fileURLToPath(
  new URL('../../../node_modules/vega-datasets/data', import.meta.url),
);

let tempDir = '';
beforeAll(async () => {
  tempDir = await mkdtemp(join(tmpdir(), 'thermocline-stream-load-'));
});
afterAll(async () => {
  await rm(tempDir, { recursive: true, force: true });
});

interface Loaded {
  readonly report: LoadReport;
  readonly rows: SqlRow[];
}

/** Cuts the body at odd places, so that rows and characters are split between chunks. */
async function* pieces(
  body: Uint8Array,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < body.length; at += size) {
    yield Promise.resolve(Uint8Array.from(body.subarray(at, at + size)));
  }
}

async function loadBody(
  body: string | Uint8Array | AsyncIterable<Uint8Array>,
  headers: HeaderValues,
  columns: readonly ColumnDef[],
  pieceBytes = 7,
  config: Readonly<Record<string, string>> = {},
): Promise<Loaded> {
  const store = memoryStore();
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const report = await runStreamLoad(
    {
      body: ArrayBuffer.isView(bytes) ? pieces(bytes as Uint8Array, pieceBytes) : bytes,
      options: parseStreamLoadHeaders(headers),
      target: target(columns),
      tempDir,
    },
    services(store, config),
  );
  const rows = await scanAll(scanRequest(report, columns), opener(store));
  expect(await readdir(tempDir)).toEqual([]);
  return { report, rows };
}

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SqlError) return error.message;
    throw error;
  }
  return 'no error';
}

const AB = [column('a', 'INT'), column('b', 'STRING')];
const COMMA = { column_separator: ',' };
const NAMES = { ...COMMA, format: 'csv_with_names' };
const QUOTED = { ...COMMA, enclose: '"', escape: '\\' };

describe('CSV', () => {
  it.each<[string, string | Uint8Array, HeaderValues, readonly SqlRow[]]>([
    [
      'tabs by default',
      '1\tx\n2\ty\n',
      {},
      [
        [1, 'x'],
        [2, 'y'],
      ],
    ],
    [
      'no last newline',
      '1\tx\n2\ty',
      {},
      [
        [1, 'x'],
        [2, 'y'],
      ],
    ],
    [
      'CRLF and a BOM',
      '\ufeff1,x\r\n2,y\r\n',
      COMMA,
      [
        [1, 'x'],
        [2, 'y'],
      ],
    ],
    [
      '\\N is NULL',
      '\\N,\\N\n1,N\n',
      COMMA,
      [
        [null, null],
        [1, 'N'],
      ],
    ],
    ['\\N with an escape character', '\\N,\\N\n', QUOTED, [[null, null]]],
    ['empty text is no NULL', '1,\n', COMMA, [[1, '']]],
    [
      'blank lines are none',
      '1,x\n\n2,y\n\n',
      COMMA,
      [
        [1, 'x'],
        [2, 'y'],
      ],
    ],
    ['quotes are data without enclose', '1,"x"\n', COMMA, [[1, '"x"']]],
    ['enclosed', '1,"x, ""y""\nz"\n', { ...COMMA, enclose: '"' }, [[1, 'x, "y"\nz']]],
    ['escaped', '1,"x\\"y"\n', QUOTED, [[1, 'x"y']]],
    [
      'multi-character separators',
      '1||x@@2||y@@',
      { column_separator: '||', line_delimiter: '@@' },
      [
        [1, 'x'],
        [2, 'y'],
      ],
    ],
    ['\\x01', '1\u0001x\n', { column_separator: '\\x01' }, [[1, 'x']]],
    ['lines skipped', '# comment\n1,x\n', { ...COMMA, skip_lines: '1' }, [[1, 'x']]],
    ['names in another order', 'B,A\nx,1\n', NAMES, [[1, 'x']]],
    ['a names line without some column', 'a\n1\n', NAMES, [[1, null]]],
    ['columns that drop some', '1,9,x\n', { ...COMMA, columns: 'a,unused,b' }, [[1, 'x']]],
    ['columns over names', 'p,q\n1,x\n', { ...NAMES, columns: 'a,b' }, [[1, 'x']]],
    [
      'gzip',
      gzipSync('1,Zürich \u{1f600}\n'),
      { ...COMMA, compress_type: 'gz' },
      [[1, 'Zürich \u{1f600}']],
    ],
    ['nothing', '', COMMA, []],
  ])('%s', async (_, body, headers, expected) => {
    for (const pieceBytes of [1, 7, 1000]) {
      const { rows } = await loadBody(body, headers, AB, pieceBytes);
      expect(rows).toEqual(expected);
    }
  });

  it.each<[string, string | Uint8Array, HeaderValues, string]>([
    ['too few', '1,x\n2\n', COMMA, 'load failed: row 2: 1 values for 2 columns: 2'],
    ['too many', '1,x,y\n', COMMA, 'load failed: row 1: 3 values for 2 columns: 1,x,y'],
    [
      'bad number',
      '1,x\nzwei,y\n',
      COMMA,
      "Incorrect integer value: 'zwei' for column 'a' at row 2",
    ],
    [
      'bad UTF-8',
      Buffer.from('1,ok\n2,b\xffd\n', 'latin1'),
      COMMA,
      'load failed: row 2: invalid UTF-8',
    ],
    ['unknown name', 'a,zzz\n1,x\n', NAMES, "Unknown column 'zzz' in 'field list' (columns: a, b)"],
    ['name twice', 'a,A\n1,x\n', NAMES, "Duplicate column name 'A'"],
    ['no names', '', NAMES, 'load failed: the line of names is missing'],
    [
      'open quote',
      '1,"x\n2,y\n',
      { ...COMMA, enclose: '"' },
      'load failed: row 1: Quote Not Closed: the parsing is finished with an opening quote at line 2',
    ],
    [
      'cut gzip',
      gzipSync('1,x\n'.repeat(100)).subarray(0, 20),
      { ...COMMA, compress_type: 'gz' },
      'load failed: the gzip stream is damaged or cut off: unexpected end of file',
    ],
    [
      'no gzip',
      '1,x\n',
      { ...COMMA, compress_type: 'gz' },
      'load failed: the gzip stream is damaged or cut off: incorrect header check',
    ],
    [
      'unknown partition',
      '1,x\n',
      { ...COMMA, partitions: 'p9' },
      "Unknown partition 'p9' in table 't'",
    ],
  ])('%s', async (_, body, headers, message) => {
    expect(await failure(loadBody(body, headers, AB))).toBe(message);
  });

  it('refuses rows within max_filter_ratio and says which', async () => {
    const body = '1,x\nbad,y\n3,z\n4\n';
    const { report, rows } = await loadBody(body, { ...COMMA, max_filter_ratio: '0.5' }, AB);
    expect(rows).toEqual([
      [1, 'x'],
      [3, 'z'],
    ]);
    expect(report).toMatchObject({ loadedRows: 2, filteredRows: 2, loadBytes: body.length });
    expect(report.rowErrors).toEqual([
      "Incorrect integer value: 'bad' for column 'a' at row 2",
      'load failed: row 4: 1 values for 2 columns: 4',
    ]);
    expect(await failure(loadBody(body, { ...COMMA, max_filter_ratio: '0.4' }, AB))).toBe(
      'too many filtered rows: 2 of 4, allowed ratio 0.4; ' +
        "first: Incorrect integer value: 'bad' for column 'a' at row 2",
    );
  });

  it('makes NULL of what does not fit when strict_mode is false', async () => {
    const { rows } = await loadBody('x,y\n', { ...COMMA, strict_mode: 'false' }, AB);
    expect(rows).toEqual([[null, 'y']]);
  });

  it('refuses a body over streaming_load_max_bytes', async () => {
    const work = loadBody('1,xxxx\n', COMMA, AB, 7, { streaming_load_max_bytes: '6' });
    expect(await failure(work)).toBe('load failed: the body exceeds streaming_load_max_bytes (6)');
  });

  it('loads the real airports.csv with every row', async () => {
    const text = ['iata', 'name', 'city', 'state', 'country'];
    const columns = [
      ...text.map((name) => column(name, { kind: 'VARCHAR', length: 64 })),
      column('latitude', { kind: 'DECIMAL', precision: 11, scale: 8 }),
      column('longitude', 'DOUBLE'),
    ];
    const body = createReadStream(join(datasets, 'airports.csv'));
    const { rows } = await loadBody(body, { ...NAMES, enclose: '"' }, columns);
    expect(rows).toHaveLength(3376);
    expect(rows.find(([iata]) => iata === '00M')).toEqual([
      '00M',
      'Thigpen',
      'Bay Springs',
      'MS',
      'USA',
      '31.95376472',
      -89.23450472,
    ]);
  });
});

describe('a request over HTTP that fails early', () => {
  it.each<[string, HeaderValues]>([
    ['plain', COMMA],
    ['gzip', { ...COMMA, compress_type: 'gz' }],
  ])('is answered on a connection that goes on (%s)', async (_, headers) => {
    const server = createServer((request, response) => {
      const input = {
        body: request,
        options: parseStreamLoadHeaders(headers),
        target: target(AB),
        tempDir,
      };
      failure(runStreamLoad(input, services(memoryStore()))).then(
        (message) => response.end(message),
        (error: unknown) => response.end(String(error)),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const text = `bad,x\n${'1,y\n'.repeat(2_000_000)}`;
      const body = headers === COMMA ? text : gzipSync(text, { level: 0 });
      for (let turn = 0; turn < 2; turn += 1) {
        const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'PUT', body });
        expect(await answer.text()).toBe("Incorrect integer value: 'bad' for column 'a' at row 1");
      }
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

const JSON_LINES = { format: 'json' };
const ARRAY = { format: 'json', strip_outer_array: 'true' };
const ABC = [...AB, column('c', 'BIGINT', { defaultValue: 7n })];

describe('JSON', () => {
  it.each<[string, string, HeaderValues, readonly SqlRow[]]>([
    [
      'lines',
      '{"a":1,"b":"x","c":2}\n{"a":null,"b":null,"c":null}\n',
      JSON_LINES,
      [
        [1, 'x', 2n],
        [null, null, null],
      ],
    ],
    [
      'CRLF, blank lines, no last newline',
      '{"a":1}\r\n\r\n{"a":2}',
      JSON_LINES,
      [
        [1, null, 7n],
        [2, null, 7n],
      ],
    ],
    ['other fields and letter case', '{"A":1,"zzz":5}', JSON_LINES, [[1, null, 7n]]],
    [
      'exact long numbers',
      '{"a":1,"c":9007199254740993}',
      JSON_LINES,
      [[1, null, 9007199254740993n]],
    ],
    ['values of other kinds', '{"a":true,"b":{"k":[1,2]}}', JSON_LINES, [[1, '{"k":[1,2]}', 7n]]],
    [
      'an array',
      ' [ {"a":1,"b":"]},["} , {"a":2,"b":"\\"}"} ] ',
      ARRAY,
      [
        [1, ']},[', 7n],
        [2, '"}', 7n],
      ],
    ],
    [
      'arrays one after the other',
      '[{"a":1}]\n[{"a":2},{"a":3}]',
      ARRAY,
      [
        [1, null, 7n],
        [2, null, 7n],
        [3, null, 7n],
      ],
    ],
    ['an empty array', '[ ]', ARRAY, []],
    [
      'one object over lines',
      '{\n"a": 1,\n"b": "x"\n}',
      { format: 'json', read_json_by_line: 'false' },
      [[1, 'x', 7n]],
    ],
    ['only some columns', '{"a":1,"b":"x"}', { ...JSON_LINES, columns: 'a' }, [[1, null, 7n]]],
  ])('%s', async (_, body, headers, expected) => {
    for (const pieceBytes of [1, 7, 1000]) {
      const { rows } = await loadBody(body, headers, ABC, pieceBytes);
      expect(rows).toEqual(expected);
    }
  });

  it.each<[string, string | Uint8Array, HeaderValues, RegExp]>([
    ['broken line', '{"a":1}\n{"a":\n', JSON_LINES, /^load failed: row 2: no JSON object: /],
    [
      'array without the header',
      '[{"a":1}]',
      JSON_LINES,
      /^load failed: row 1: a JSON array instead of an object; set strip_outer_array: true$/,
    ],
    ['a number', '123456789012345678901', JSON_LINES, /^load failed: row 1: no JSON object$/],
    [
      'bad UTF-8',
      Buffer.from('{"b":"\xff"}', 'latin1'),
      JSON_LINES,
      /^load failed: row 1: invalid UTF-8$/,
    ],
    ['no array', '{"a":1}', ARRAY, /^load failed: strip_outer_array needs a JSON array$/],
    ['cut array', '[{"a":1},{"a"', ARRAY, /^load failed: the JSON array is cut off$/],
    ['empty element', '[{"a":1},]', ARRAY, /^load failed: row 2: an empty array element$/],
    [
      'rubbish behind',
      '[{"a":1}] x',
      ARRAY,
      /^load failed: there is something behind the JSON array$/,
    ],
    ['half a surrogate pair', '{"b":"\\ud800"}', JSON_LINES, /^Incorrect string value/],
  ])('%s', async (_, body, headers, message) => {
    expect(await failure(loadBody(body, headers, ABC))).toMatch(message);
  });

  it('loads the real flights-200k.json with every row', async () => {
    const columns = [
      column('delay', 'INT', { isKey: true }),
      column('distance', 'INT'),
      column('time', 'DOUBLE'),
    ];
    const body = createReadStream(join(datasets, 'flights-200k.json'));
    const { rows, report } = await loadBody(body, ARRAY, columns);
    expect(report.loadedRows).toBe(200_000);
    expect(rows).toHaveLength(200_000);
    const source = JSON.parse(await readFile(join(datasets, 'flights-200k.json'), 'utf8')) as {
      distance: number;
    }[];
    const sum = source.reduce((total, { distance }) => total + distance, 0);
    expect(rows.reduce((total, [, distance]) => total + Number(distance), 0)).toBe(sum);
  });
});

describe('Parquet', () => {
  const PARQUET = { format: 'parquet' };

  function file(): Uint8Array {
    return new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: 'B', data: ['x', null, 'z'], type: 'STRING' },
          { name: 'a', data: [1, 2, null], type: 'INT32' },
          { name: 'at', data: [new Date(0), new Date(86_400_000), null], type: 'TIMESTAMP' },
          { name: 'wide', data: [1n, -(2n ** 63n), null], type: 'INT64' },
        ],
      }),
    );
  }

  it('converts by name', async () => {
    const columns = [
      ...AB,
      column('at', { kind: 'DATETIME', precision: 0 }),
      column('wide', 'BIGINT'),
    ];
    const { rows } = await loadBody(file(), PARQUET, columns);
    expect(rows).toEqual([
      [1, 'x', '1970-01-01 00:00:00', 1n],
      [2, null, '1970-01-02 00:00:00', -(2n ** 63n)],
      [null, 'z', null, null],
    ]);
  });

  it('keeps decimals exact', async () => {
    const body = parquetWriteBuffer({
      columnData: [{ name: 'd', data: [12_345_678_901_234_567_890n, -1n, null] }],
      schema: [
        { name: 'root', num_children: 1 },
        {
          name: 'd',
          type: 'FIXED_LEN_BYTE_ARRAY',
          type_length: 16,
          converted_type: 'DECIMAL',
          precision: 38,
          scale: 10,
          repetition_type: 'OPTIONAL',
        },
      ],
    });
    const columns = [column('d', { kind: 'DECIMAL', precision: 38, scale: 10 })];
    const { rows } = await loadBody(new Uint8Array(body), PARQUET, columns);
    expect(rows).toEqual([['1234567890.1234567890'], ['-0.0000000001'], [null]]);
  });

  it('says that a file is cut in half, or none', async () => {
    const whole = file();
    const half = whole.subarray(0, whole.length / 2);
    expect(await failure(loadBody(half, PARQUET, AB))).toMatch(
      /^load failed: not a Parquet file, or cut off: it does not end with the Parquet magic number$/,
    );
    expect(await failure(loadBody('1,x\n', PARQUET, AB))).toMatch(
      /^load failed: not a Parquet file, or cut off: it does not begin with PAR1$/,
    );
    expect(await failure(loadBody('', PARQUET, AB))).toMatch(/^load failed: not a Parquet file/);
    const tail = Buffer.concat([whole.subarray(0, 4), whole.subarray(-8)]);
    expect(await failure(loadBody(tail, PARQUET, AB))).toMatch(/its footer of \d+ bytes/);
  });

  it('says that data pages are damaged', async () => {
    const damaged = file();
    damaged.fill(0xff, 4, 60);
    expect(await failure(loadBody(damaged, PARQUET, AB))).toMatch(
      /^load failed: Parquet rows 1 to 3 cannot be read: /,
    );
  });

  it('says what columns there are when none fits', async () => {
    expect(await failure(loadBody(file(), PARQUET, [column('q', 'INT')]))).toBe(
      'load failed: the Parquet file has no column of the table; it has: B, a, at, wide',
    );
  });

  it('refuses nested columns that the table wants', async () => {
    const body = parquetWriteBuffer({
      columnData: [
        { name: 'a', data: [1] },
        { name: 'b', data: [[1, 2]] },
      ],
      schema: [
        { name: 'root', num_children: 2 },
        { name: 'a', type: 'INT32', repetition_type: 'REQUIRED' },
        { name: 'b', converted_type: 'LIST', repetition_type: 'OPTIONAL', num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', type: 'INT32', repetition_type: 'OPTIONAL' },
      ],
    });
    expect(await failure(loadBody(new Uint8Array(body), PARQUET, AB))).toBe(
      'not supported yet: nested Parquet column b',
    );
    const { rows } = await loadBody(new Uint8Array(body), PARQUET, [column('a', 'INT')]);
    expect(rows).toEqual([[1]]);
  });
});
