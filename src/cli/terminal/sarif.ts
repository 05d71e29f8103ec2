// Problems as SARIF 2.1.0, which code scanning and editors read.
import { pathToFileURL } from 'node:url';
import { isAbsolute } from 'node:path';
import type { Problem } from '../../base/failure.ts';
import { sha256 } from '../../base/json.ts';

export type KnownCode = { readonly cause: string; readonly mend: string };

/** `known` has the codes that are explained; only those that occur are listed. */
export const sarif = (
  problems: readonly Problem[],
  known: ReadonlyMap<string, KnownCode>,
  version: string,
): Readonly<Record<string, unknown>> => {
  const codes = [...new Set(problems.map(({ code }) => code))].toSorted();
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'amends',
            semanticVersion: version,
            rules: codes.map((id) => ({
              id,
              shortDescription: { text: known.get(id)?.cause ?? id },
              help: { text: known.get(id)?.mend ?? 'see the message' },
            })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results: problems.map((problem) => resultOf(problem, codes)),
      },
    ],
  };
};

const resultOf = (
  { code, severity, message, mend, file, pointer, line, column }: Problem,
  codes: readonly string[],
): Readonly<Record<string, unknown>> => ({
  ruleId: code,
  ruleIndex: codes.indexOf(code),
  level: severity ?? 'error',
  message: { text: mend === undefined ? message : `${message}\nmend: ${mend}` },
  locations: [
    {
      physicalLocation: {
        artifactLocation: { uri: uriOf(file ?? '') },
        region: { startLine: line ?? 1, startColumn: column ?? 1 },
      },
      ...(pointer === undefined || pointer === ''
        ? {}
        : { logicalLocations: [{ fullyQualifiedName: pointer, kind: 'member' }] }),
    },
  ],
  // The same problem on another line is the same problem.
  partialFingerprints: { 'amends/v1': sha256(JSON.stringify([code, file, pointer, message])) },
});

const uriOf = (file: string): string =>
  isAbsolute(file) ? pathToFileURL(file).href : file.split('/').map(encodeURIComponent).join('/');
