// A configuration as it is remembered: every text that made it, secrets taken out; and the way back, from such texts to
// what was loaded. A journal is decided again with it, in a folder where there is none of it.
import { dirname, resolve } from 'node:path';
import type { Result } from './base/failure.ts';
import { ok } from './base/failure.ts';
import { sha256 } from './base/json.ts';
import type { Redactor } from './base/secret.ts';
import type { Catalog, CatalogFiles } from './catalog.ts';
import { loadCatalog, shownAs } from './catalog.ts';
import { readersOf } from './config-files.ts';
import { redactedText } from './config-redaction.ts';
import type { Config } from './config.ts';
import { builtInConfig, loadConfig } from './config.ts';
import type { Actions } from './port/action.ts';
import type { Facts } from './port/fact.ts';
import type { KeptFile, NewConfiguration } from './port/record.ts';

type Active = { readonly config: Config; readonly catalog: Catalog; readonly revision?: string | null };

/** `textOf` answers for each of the digests. */
export type ConfigurationRecord = {
  readonly about: Omit<NewConfiguration, 'at'>;
  readonly textOf: (digest: string) => string;
};

export const recordOf = (
  { config, catalog, revision = null }: Active,
  files: CatalogFiles,
  redactor: Redactor,
): ConfigurationRecord => {
  const texts = new Map<string, string>();
  // The configuration by its whole path, from which patterns start; what stands in its folder by its place there.
  const keep = (kind: KeptFile['kind'], file: string, given: string): KeptFile => {
    const text = redactedText(given, redactor);
    const digest = `sha256:${sha256(text)}`;
    texts.set(digest, text);
    return { kind, file: kind === 'config' ? file : shownAs(config.folder, file), digest };
  };
  return {
    about: {
      catalog: catalog.digest,
      config: config.digest,
      revision,
      mode: config.recovery.mode,
      files: [
        ...config.texts.map(({ file, text }, index) => keep(index === 0 ? 'config' : 'inventory', file, text)),
        ...files.rules.map(({ file, text }) => keep('rule', file, text)),
        ...files.runbooks.map(({ file, text }) => keep('runbook', file, text)),
        ...files.conditions.map(({ file, text }) => keep('condition', file, text)),
      ],
    },
    textOf: (digest) => texts.get(digest) ?? '',
  };
};

/** With its texts: what `recordOf` said, as it comes out of a journal. */
export type RecordedTexts = {
  readonly catalog: string;
  readonly config: string;
  readonly revision: string | null;
  readonly mode: string;
  readonly files: ReadonlyArray<Pick<KeptFile, 'kind' | 'file'> & { readonly text: string }>;
};

/**
 * As it was loaded then, by this program. It keeps the digests that it had then: texts without their secrets have others.
 * `recoveryMode` goes before the mode that it had.
 */
export const loadRecorded = async (
  recorded: RecordedTexts,
  parts: { readonly actions: Actions; readonly facts: Facts },
  recoveryMode: string | null = null,
): Promise<Result<Required<Active>>> => {
  const of = (kind: KeptFile['kind']) =>
    recorded.files.flatMap((one) => (one.kind === kind ? [{ file: one.file, text: one.text }] : []));
  const mode = recoveryMode ?? recorded.mode;
  const [main] = of('config');
  const folder = main === undefined ? '/' : dirname(resolve('/', main.file));
  const texts = new Map([...of('config'), ...of('inventory')].map(({ file, text }) => [resolve(folder, file), text]));
  const config =
    main === undefined
      ? ok(builtInConfig(folder, mode))
      : await loadConfig(resolve(folder, main.file), readersOf(texts), mode);
  if (!config.ok) return config;
  const catalog = await loadCatalog({
    config: config.value,
    ...parts,
    readFiles: async () => ok({ rules: of('rule'), runbooks: of('runbook'), conditions: of('condition') }),
  });
  if (!catalog.ok) return catalog;
  return ok({
    config: { ...config.value, digest: recorded.config },
    catalog: { ...catalog.value, digest: recorded.catalog },
    revision: recorded.revision,
  });
};
