/** STR_TO_DATE: text → date by a pattern of DATE_FORMAT's letters. */
import { MONTH_NAMES, formatDate, formatDatetime, parseMoment } from './date_math.ts';

const DIGITS: Readonly<Record<string, readonly [keyof Parts, number]>> = {
  Y: ['year', 4],
  m: ['month', 2],
  c: ['month', 2],
  d: ['day', 2],
  e: ['day', 2],
  H: ['hour', 2],
  k: ['hour', 2],
  h: ['hour', 2],
  I: ['hour', 2],
  l: ['hour', 2],
  i: ['minute', 2],
  s: ['second', 2],
  S: ['second', 2],
  f: ['micro', 6],
};

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  micro: number;
}

/** DATE or DATETIME text, whichever the pattern has letters for; undefined when it does not fit. */
export function parseByPattern(text: string, pattern: string): string | undefined {
  const parts: Parts = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0, micro: 0 };
  let at = 0;
  let hasTime = false;
  let afternoon: boolean | undefined;
  const letters = pattern.replaceAll('%T', '%H:%i:%s').replaceAll('%r', '%I:%i:%s %p');
  for (let p = 0; p < letters.length; p += 1) {
    const letter = letters[p] === '%' ? letters[(p += 1)] : undefined;
    if (letter === undefined) {
      const wanted = letters[p] ?? '';
      if (/\s/.test(wanted)) {
        while (/\s/.test(text[at] ?? '')) at += 1;
      } else if (text[at] === wanted) at += 1;
      else return undefined;
      continue;
    }
    hasTime ||= 'HkhIlisSfp'.includes(letter);
    const rest = text.slice(at);
    const taken = takePart(letter, rest, parts);
    if (taken === undefined) return undefined;
    if (letter === 'p') afternoon = /^pm/i.test(rest);
    at += taken;
  }
  if (afternoon !== undefined) parts.hour = (parts.hour % 12) + (afternoon ? 12 : 0);
  return assemble(parts, hasTime);
}

/** How many characters the letter took of `rest`. */
function takePart(letter: string, rest: string, parts: Parts): number | undefined {
  const digits = DIGITS[letter];
  if (digits !== undefined) {
    const [part, length] = digits;
    const found = new RegExp(`^\\d{1,${length}}`).exec(rest)?.[0];
    if (found === undefined) return undefined;
    parts[part] = Number(part === 'micro' ? found.padEnd(6, '0') : found);
    return found.length;
  }
  if (letter === 'y') {
    const found = /^\d{1,2}/.exec(rest)?.[0];
    if (found === undefined) return undefined;
    parts.year = Number(found) + (Number(found) < 70 ? 2000 : 1900);
    return found.length;
  }
  if (letter === 'M' || letter === 'b') return takeMonth(rest, letter === 'b' ? 3 : 9, parts);
  if (letter === 'p') return /^[ap]m/i.test(rest) ? 2 : undefined;
  if (letter === 'W' || letter === 'a') return /^[a-z]+/i.exec(rest)?.[0].length;
  return undefined;
}

function takeMonth(rest: string, length: number, parts: Parts): number | undefined {
  for (const [index, name] of MONTH_NAMES.entries()) {
    const form = name.slice(0, length);
    if (rest.toLowerCase().startsWith(form.toLowerCase())) {
      parts.month = index + 1;
      return form.length;
    }
  }
  return undefined;
}

function assemble(parts: Parts, hasTime: boolean): string | undefined {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${String(parts.year).padStart(4, '0')}-${two(parts.month)}-${two(parts.day)}`;
  const fraction = parts.micro === 0 ? '' : `.${String(parts.micro).padStart(6, '0')}`;
  const time = `${two(parts.hour)}:${two(parts.minute)}:${two(parts.second)}${fraction}`;
  if (parts.year === 0 && parts.month === 0 && parts.day === 0) return hasTime ? time : undefined;
  const moment = parseMoment(hasTime ? `${day} ${time}` : day);
  if (moment === undefined) return undefined;
  return hasTime ? formatDatetime(moment.micros) : formatDate(moment.micros);
}
