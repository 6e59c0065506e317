/** Words without which a statement holds no secret that we know of. */
export const SECRET_WORD =
  /secret|access_?key|token|credential|passw|identified|["'`.](?:ak|sk)["'`]/i;
