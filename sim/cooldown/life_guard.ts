/** What a process holds stays usable only while it lives: the dead neither read nor write. */
import type { SimProcess } from '../virtual_time.ts';

export const LIFE_IS_OVER = 'this life is over';

/** `target` as the process sees it; every use after its death throws. */
export function whileAlive<T extends object>(process: SimProcess, target: T): T {
  return new Proxy(target, {
    get: (_target, name) => {
      if (process.isDead) throw new Error(LIFE_IS_OVER);
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (process.isDead) throw new Error(LIFE_IS_OVER);
        return Reflect.apply(value, target, args);
      };
    },
    set: (_target, name, value) => {
      if (process.isDead) throw new Error(LIFE_IS_OVER);
      return Reflect.set(target, name, value, target);
    },
  });
}
