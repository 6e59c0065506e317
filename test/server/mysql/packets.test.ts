import { describe, expect, it } from '@jest/globals';
import { BufferPool } from '../../../server/mysql/buffer_pool.ts';
import { PacketEncoder } from '../../../server/mysql/packet_encoder.ts';
import { PACKET_PAYLOAD_MAX, PacketReader } from '../../../server/mysql/packet_reader.ts';
import { packetBytes } from './raw_client.ts';

class CountingSource {
  paused = 0;
  resumed = 0;
  pause(): void {
    this.paused += 1;
  }
  resume(): void {
    this.resumed += 1;
  }
}

const MANY = 2 ** 30;
const newReader = (): { reader: PacketReader; source: CountingSource } => {
  const source = new CountingSource();
  return { reader: new PacketReader(source), source };
};

/** xorshift32 */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

describe('reader', () => {
  it('joins and splits the stream wherever it is cut', async () => {
    const next = numbers(20_261);
    for (let round = 0; round < 50; round += 1) {
      const payloads = Array.from({ length: 1 + next(6) }, () =>
        Buffer.alloc(next(5000), next(256)),
      );
      const stream = Buffer.concat(payloads.map((payload) => packetBytes(payload, 0)));
      const { reader } = newReader();
      for (let at = 0; at < stream.length;) {
        const size = 1 + next(next(2) === 0 ? 5 : 3000);
        reader.push(stream.subarray(at, at + size));
        at += size;
      }
      for (const payload of payloads) {
        const read = await reader.read(0, MANY);
        expect(payload.equals(read ?? Buffer.of(1))).toBe(true);
      }
    }
  });

  it.each([
    PACKET_PAYLOAD_MAX - 1,
    PACKET_PAYLOAD_MAX,
    PACKET_PAYLOAD_MAX + 1,
    2 * PACKET_PAYLOAD_MAX,
  ])('a payload of %d bytes, as the encoder cuts it', async (size) => {
    const payload = Buffer.alloc(size, 'thermocline');
    const encoder = new PacketEncoder();
    encoder.sequence = 254;
    encoder.begin();
    encoder.bytes(payload);
    encoder.end();
    const stream = encoder.take();
    const pieces = Math.floor(size / PACKET_PAYLOAD_MAX) + 1;
    expect(stream.length).toBe(size + 4 * pieces);
    const { reader } = newReader();
    const read = reader.read(254, MANY);
    for (let at = 0; at < stream.length; at += 1_000_000) {
      reader.push(stream.subarray(at, at + 1_000_000));
    }
    expect(payload.equals((await read) ?? Buffer.alloc(0))).toBe(true);
    expect(reader.nextSequence).toBe((254 + pieces) & 0xff);
    expect(reader.heldBytes).toBe(0);
  });

  it('checks numbers in every piece', async () => {
    const { reader } = newReader();
    reader.push(packetBytes(Buffer.of(1), 1));
    await expect(reader.read(0, MANY)).rejects.toMatchObject({ code: 'PACKETS_OUT_OF_ORDER' });
    const second = newReader().reader;
    const read = second.read(0, MANY);
    second.push(packetBytes(Buffer.alloc(PACKET_PAYLOAD_MAX), 0));
    second.push(packetBytes(Buffer.of(1), 2));
    await expect(read).rejects.toMatchObject({ code: 'PACKETS_OUT_OF_ORDER' });
  });

  it('refuses a length over the limit before its bytes are there', async () => {
    const { reader } = newReader();
    reader.push(packetBytes(Buffer.alloc(101), 0).subarray(0, 4));
    await expect(reader.read(0, 100)).rejects.toMatchObject({ errno: 1153 });
    const sum = newReader().reader;
    const read = sum.read(0, PACKET_PAYLOAD_MAX + 100);
    sum.push(packetBytes(Buffer.alloc(PACKET_PAYLOAD_MAX), 0));
    sum.push(packetBytes(Buffer.alloc(101), 1).subarray(0, 4));
    await expect(read).rejects.toMatchObject({ errno: 1153 });
  });

  it('pauses the socket when nobody reads, by bytes and by pieces', async () => {
    const bytes = newReader();
    for (let index = 0; index < 8; index += 1) bytes.reader.push(Buffer.alloc(8192));
    expect(bytes.source.paused).toBe(1);
    const pieces = newReader();
    for (let index = 0; index < 64; index += 1) pieces.reader.push(Buffer.alloc(1));
    expect(pieces.source.paused).toBe(1);
    for (let index = 0; index < 16; index += 1) {
      expect(await pieces.reader.read(0, 10)).toHaveLength(0);
    }
    expect(pieces.source.resumed).toBe(1);
  });

  it('gives undefined after the end', async () => {
    const { reader } = newReader();
    const read = reader.read(0, MANY);
    reader.push(Buffer.of(1, 0));
    reader.end();
    expect(await read).toBeUndefined();
    expect(await reader.read(0, MANY)).toBeUndefined();
  });
});

describe('encoder', () => {
  it('writes lengths of every class', () => {
    const encoder = new PacketEncoder();
    for (const value of [0, 250, 251, 65_535, 65_536, 0xff_ff_ff, 0x1_00_00_00, 2 ** 40]) {
      encoder.lenenc(value);
    }
    expect(encoder.take().toString('hex')).toBe(
      '00fafcfb00fcfffffd000001fdfffffffe0000000100000000fe0000000000010000',
    );
  });

  it('gives its buffer back to the pool and takes back what was not ended', () => {
    const pool = new BufferPool();
    const encoder = new PacketEncoder(pool);
    encoder.begin();
    encoder.u8(1);
    encoder.end();
    encoder.begin();
    encoder.plain('half');
    encoder.abandon();
    encoder.abandon();
    const taken = encoder.take();
    expect(taken.toString('hex')).toBe('0100000001');
    encoder.recycle();
    expect(pool.acquire().buffer).toBe(taken.buffer);
  });

  it('renumbers copied packets', () => {
    const block = Buffer.concat([packetBytes(Buffer.of(1), 1), packetBytes(Buffer.of(2, 3), 2)]);
    const encoder = new PacketEncoder();
    encoder.sequence = 255;
    encoder.appendPackets(block, 2);
    expect(encoder.sequence).toBe(1);
    expect(encoder.take().toString('hex')).toBe('010000ff01020000000203');
  });
});
