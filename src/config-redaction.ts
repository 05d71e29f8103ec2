// A text of a configuration without its secrets, still one that can be loaded: what stands in the place of a secret is
// quoted. Nearly every text has none, and is not parsed for it.
import { Pair, isScalar, parseDocument, visit } from 'yaml';
import { SHOWN, tellsOfSecret } from './base/secret.ts';
import type { Redactor } from './base/secret.ts';

/** `password_file` and the like say where a secret stands, not what it is. */
const NAMES_PLACE = /(?:file|path)$/i;
const ADDRESS_PASSWORD = /:\/\/[^\s/:@"']*:[^\s/@"'{}]+@/;
const USER_PASSWORD = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"']*:)([^\s/@"'{}]+)@/gi;
/** In a text: a key that tells of a secret, whatever stands under it. */
const KEY = /(?:^|[\s{,"'-])([\w.-]+)["']?\s*:/gm;
const TEMPLATE = '${{';
/** Into the address of a receiver many services put a token. */
const RECEIVERS = /receivers["']?\s*:/;

export const redactedText = (text: string, redactor: Redactor): string => {
  // The cheap look first: a start has a hundred texts to go through.
  const mayHold =
    (tellsOfSecret(text) && [...text.matchAll(KEY)].some(([, key = '']) => isSecretKey(key))) ||
    (text.includes('://') && ADDRESS_PASSWORD.test(text)) ||
    RECEIVERS.test(text) ||
    redactor.text(text) !== text;
  if (!mayHold) return text;
  // Comments may hold one too, and what the parser does not show.
  return redactor.text(inPlace(text, redactor));
};

const isSecretKey = (key: string): boolean => tellsOfSecret(key) && !NAMES_PLACE.test(key);

/** Every string in which there is something, written anew where it stands. JSON is YAML here. */
const inPlace = (text: string, redactor: Redactor): string => {
  const document = parseDocument(text, { version: '1.2', strict: false, prettyErrors: false, uniqueKeys: false });
  const replaced: Array<{ readonly from: number; readonly to: number; readonly by: string }> = [];
  visit(document, {
    Scalar(where, node, path) {
      if (typeof node.value !== 'string' || node.range === undefined || node.range === null) return;
      const value = where === 'key' ? redactor.text(node.value) : redactedValue(node.value, path, redactor);
      if (value === node.value) return;
      const [from, to] = node.range;
      replaced.push({ from, to, by: `${JSON.stringify(value)}${text.slice(from, to).endsWith('\n') ? '\n' : ''}` });
    },
  });
  let output = text;
  for (const { from, to, by } of replaced.toReversed()) output = output.slice(0, from) + by + output.slice(to);
  return output;
};

const redactedValue = (value: string, path: readonly unknown[], redactor: Redactor): string => {
  const keys = path.flatMap((node) => (node instanceof Pair && isScalar(node.key) ? [String(node.key.value)] : []));
  const key = path.at(-1) instanceof Pair ? (keys.at(-1) ?? '') : '';
  if (isSecretKey(key) && !value.includes(TEMPLATE)) return SHOWN;
  const without = redactor.text(value).replaceAll(USER_PASSWORD, `$1${SHOWN}@`);
  return key === 'url' && keys.includes('receivers') ? withoutPath(without) : without;
};

const withoutPath = (url: string): string => {
  if (!URL.canParse(url)) return url;
  const { origin, pathname, search } = new URL(url);
  return pathname === '/' && search === '' ? url : `${origin}/${SHOWN}`;
};
