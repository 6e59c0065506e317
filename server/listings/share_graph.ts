/** A share as Doris draws it in listings. */

/** One `>` for each percent. */
const PERCENTS = 100;

/** `percent` has two digits behind the point and no sign. */
export function shareGraph(
  some: number,
  all: number,
): { readonly graph: string; readonly percent: string } {
  const percent = all === 0 ? 0 : (some * PERCENTS) / all;
  return { graph: '>'.repeat(Math.round(percent)), percent: percent.toFixed(2) };
}
