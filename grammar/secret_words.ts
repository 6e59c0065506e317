/** Words without which a statement holds no secret that we know of; `//user:password@` is one. */
export const SECRET_WORD =
  /secret|access_?key|token|credential|passw|identified|["'`.](?:ak|sk)["'`]|\/\/[^\s/@"'`]*:[^\s/@"'`]*@/i;

/** Addresses in a text without who signs in to them. */
export function withoutLogins(text: string): string {
  return text.replaceAll(/\/\/[^\s/@]*@/g, '//******@');
}
