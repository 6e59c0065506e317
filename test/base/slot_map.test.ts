import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SlotMap } from '../../base/slot_map.ts';

describe('slots by id', () => {
  it('are what a Map would have, whatever comes and goes', () => {
    const key = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.maxSafeInteger().map(Math.abs));
    const step = fc.tuple(
      fc.boolean(),
      key.filter((n) => n > 0),
      fc.nat(1000),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const map = new SlotMap();
        const model = new Map<number, number>();
        for (const [isSet, id, slot] of steps) {
          if (isSet) {
            map.set(id, slot);
            model.set(id, slot);
          } else {
            expect(map.delete(id)).toBe(model.delete(id));
          }
        }
        expect(map.size).toBe(model.size);
        for (const [, id] of steps) expect(map.get(id)).toBe(model.get(id) ?? -1);
        expect(new Set(map.keys())).toEqual(new Set(model.keys()));
      }),
    );
  });
});
