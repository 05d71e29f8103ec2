// Secrets: taken out of whatever is about to be stored or sent.

export const SHOWN = '[redacted]';
/** Shorter values would redact ordinary words. */
const SHORTEST = 4;
/** Of an address: `services` is no secret. */
const SHORTEST_PART = 12;
const SECRET_KEY = /(pass(word|wd|phrase)?|secret|token|api[-_]?key|authorization|credential|cookie|private[-_]?key)/i;

/** Whether what stands under this key is secret by its name alone. */
export const tellsOfSecret = (key: string): boolean => SECRET_KEY.test(key);

export type Redactor = {
  /** From now on `value` is taken out in plain, base64, URL-encoded and hex form. */
  register(value: string): void;
  text(text: string): string;
  /** A copy in which strings are redacted, and members with a telling key name are shown as `[redacted]`. */
  value<T>(value: T): T;
};

export const createRedactor = (): Redactor => {
  const needles = new Set<string>();
  let ordered: string[] = [];
  const text = (input: string): string => {
    let output = input;
    for (const needle of ordered) if (output.includes(needle)) output = output.replaceAll(needle, SHOWN);
    return output;
  };
  const copy = (input: unknown): unknown => {
    if (typeof input === 'string') return text(input);
    if (Array.isArray(input)) return input.map(copy);
    if (typeof input !== 'object' || input === null) return input;
    const output = Object.create(null) as Record<string, unknown>;
    for (const [key, member] of Object.entries(input)) {
      output[text(key)] = tellsOfSecret(key) && typeof member === 'string' ? SHOWN : copy(member);
    }
    return output;
  };
  const addForms = (value: string, shortest: number): void => {
    if (value.length < shortest) return;
    const bytes = Buffer.from(value);
    const base64 = bytes.toString('base64');
    for (const form of [
      value,
      base64,
      base64.replace(/=+$/, ''),
      bytes.toString('base64url'),
      encodeURIComponent(value),
      bytes.toString('hex'),
    ]) {
      needles.add(form);
    }
  };
  return {
    register(value) {
      addForms(value, SHORTEST);
      // Many services put a token into the path: an address that is secret is so in its parts.
      if (/^https?:/i.test(value) && URL.canParse(value)) {
        const { pathname, search, password } = new URL(value);
        for (const part of [...pathname.split('/'), ...search.slice(1).split(/[&=]/), password])
          addForms(part, SHORTEST_PART);
      }
      ordered = [...needles].toSorted((left, right) => right.length - left.length);
    },
    text,
    value: <T>(value: T) => copy(value) as T,
  };
};
