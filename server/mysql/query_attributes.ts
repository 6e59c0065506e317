/** Query attributes: values that a client sends beside a statement. They are read and not kept. */
import type { ClientCharset } from './charset.ts';
import { readParameter, readParameterType } from './parameters.ts';
import { PayloadReader, malformed } from './payload_reader.ts';

const ATTRIBUTES_MAX = 65_535;

/** COM_QUERY of a client with CLIENT_QUERY_ATTRIBUTES: the text behind them. */
export function withoutAttributes(body: Buffer, charset: ClientCharset): Buffer {
  const fields = new PayloadReader(body);
  const count = fields.lenenc();
  fields.lenenc(); // sets of them: always one
  if (count === 0) return fields.rest();
  if (count > ATTRIBUTES_MAX) throw malformed(`${count} query attributes`);
  const nulls = fields.bytes(Math.ceil(count / 8));
  if (fields.u8() !== 1) throw malformed('query attributes without types');
  const types = Array.from({ length: count }, () => {
    const type = readParameterType(fields);
    fields.lenencBytes();
    return type;
  });
  for (const [at, type] of types.entries()) {
    if (((nulls[at >> 3] ?? 0) & (1 << (at & 7))) !== 0) continue;
    readParameter(fields, type, charset);
  }
  return fields.rest();
}
