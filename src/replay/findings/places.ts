// From a JSON pointer to a line and a column, in YAML as in JSON, also where the file is not what it should be.
import { LineCounter, isMap, isNode, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import type { Json } from '../../base/json.ts';

export type Place = { readonly line: number; readonly column: number };
export type OpenFile = {
  readonly value: Json;
  /** Of the key for a member of a mapping, of the item in a list; of the nearest thing above when there is none. */
  readonly place: (pointer: string) => Place;
};

const OPTIONS = { uniqueKeys: false, merge: false, version: '1.2', prettyErrors: false, logLevel: 'silent' } as const;

export const openFile = (text: string): OpenFile => {
  const lines = new LineCounter();
  const document = documentOf(text, lines);
  return {
    value: document === null ? null : valueOf(document),
    place: (pointer) => {
      const offset = document === null ? 0 : offsetOf(document, pointer.split('/').slice(1).map(unescaped));
      const { line, col } = lines.linePos(offset);
      return { line: Math.max(1, line), column: Math.max(1, col) };
    },
  };
};

const documentOf = (text: string, lineCounter: LineCounter): Document.Parsed | null => {
  try {
    return parseDocument(text, { ...OPTIONS, lineCounter });
  } catch {
    // Nested deeper than the parser can follow.
    return null;
  }
};

const valueOf = (document: Document.Parsed): Json => {
  if (document.errors.length > 0) return null;
  try {
    return (document.toJS({ maxAliasCount: 100 }) ?? null) as Json;
  } catch {
    return null;
  }
};

const unescaped = (part: string): string => part.replaceAll('~1', '/').replaceAll('~0', '~');

const offsetOf = (document: Document.Parsed, path: readonly string[]): number => {
  let node: unknown = document.contents;
  let offset = document.contents?.range[0] ?? 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === part);
      if (pair === undefined) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (isNode(node)) offset = node.range?.[0] ?? offset;
    } else break;
  }
  return offset;
};
