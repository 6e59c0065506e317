/** Windows: WINDOW and OVER. */
import { quoteName, type Spelled } from './spelled.ts';
import type { SpellerContext } from './speller_context.ts';

/** `WINDOW w AS (...), ...`, or nothing. */
export function spellWindows(ctx: SpellerContext): string {
  if (!ctx.accept('WINDOW')) return '';
  const windows: string[] = [];
  do {
    const name = quoteName(ctx.name());
    ctx.expect('AS');
    windows.push(`${name} AS ${spellWindow(ctx)}`);
  } while (ctx.accept(','));
  return ` WINDOW ${windows.join(', ')}`;
}

/** `call OVER ...`, or the call as it is. */
export function spellOver(ctx: SpellerContext, call: Spelled): Spelled {
  if (!ctx.accept('OVER')) return call;
  const window = ctx.is('(') ? spellWindow(ctx) : quoteName(ctx.name());
  return { sql: `${call.sql} OVER ${window}`, type: call.type };
}

const FRAME_WORDS = new Set(
  'ROWS RANGE GROUPS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW FOLLOWING'.split(' '),
);

/** Whether the window has a RANGE frame, which calculates with what it is ordered by. */
function hasRange(ctx: SpellerContext): boolean {
  let depth = 1;
  for (let ahead = 0; depth > 0 && ctx.peek(ahead).kind !== 'end'; ahead += 1) {
    const { key } = ctx.peek(ahead);
    if (key === 'RANGE' && depth === 1) return true;
    if (key === '(') depth += 1;
    if (key === ')') depth -= 1;
  }
  return false;
}

function spellWindow(ctx: SpellerContext): string {
  ctx.expect('(');
  const parts: string[] = [];
  const exact = !hasRange(ctx);
  if (ctx.token.kind === 'name') parts.push(quoteName(ctx.name()));
  if (ctx.accept('PARTITION', 'BY'))
    parts.push(`PARTITION BY ${ctx.grammar.orderItems(ctx, false)}`);
  if (ctx.accept('ORDER', 'BY')) parts.push(`ORDER BY ${ctx.grammar.orderItems(ctx, true, exact)}`);
  while (!ctx.accept(')')) {
    const token = ctx.next();
    if (token.kind !== 'number' && !FRAME_WORDS.has(token.key)) {
      ctx.at -= 1;
      throw ctx.unexpected("')'");
    }
    parts.push(token.text);
  }
  return `(${parts.join(' ')})`;
}
