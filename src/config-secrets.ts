// Makes known what must never be shown, before anybody uses it: a target may give away a secret that amends itself has not
// needed yet.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Redactor } from './base/secret.ts';
import type { Config } from './config.ts';
import type { WebConfig } from './config-web.ts';

/** `password_file`, `passwordFile`, `url_file`, `key_file`: whatever names a file beside a rule, a runbook or a log. */
const NAMES_SECRET = /(pass(word|wd|phrase)?|secret|token|api_?key|private_?key|key|credentials?|url|dsn)_?file$/i;

const NAMES_KUBECONFIG = /^kubeconfig$/i;
/** Of a kubeconfig only these are secret: its other lines are words like any other. */
const IN_KUBECONFIG = /["']?\b(?:token|password|client-key-data)["']?\s*:\s*(?:"([^"]+)"|'([^']+)'|([^\s"',}]+))/g;

/** The paths that `value` names as files of this sort, at any depth. */
const filesNamed = (sort: RegExp, value: unknown, key = ''): readonly string[] => {
  if (typeof value === 'string') return sort.test(key) ? [value] : [];
  if (value instanceof Map) return [...value.values()].flatMap((member) => filesNamed(sort, member));
  if (Array.isArray(value)) return value.flatMap((member) => filesNamed(sort, member, key));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => filesNamed(sort, member, name));
};

/** A file that is not there is told of by whoever needs it. */
const register = async (redactor: Redactor, file: string): Promise<void> => {
  const text = await readFile(file, 'utf8').catch(() => '');
  redactor.register(text.replace(/\r?\n$/, ''));
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  // A file of several is one secret a line; of a private key each line tells a part, but for the ones that frame it.
  if (lines.length > 1) for (const line of lines) if (!line.startsWith('-----')) redactor.register(line.trim());
};

const registerKubeconfig = async (redactor: Redactor, file: string): Promise<void> => {
  const text = await readFile(file, 'utf8').catch(() => '');
  for (const [, double, single, bare] of text.matchAll(IN_KUBECONFIG)) {
    const secret = double ?? single ?? bare ?? '';
    redactor.register(secret);
    // A key is shown by others as the text that it stands for.
    const decoded = Buffer.from(secret, 'base64').toString('utf8').trim();
    if (decoded.startsWith('-----BEGIN')) redactor.register(decoded);
  }
};

export const registerSecrets = async (redactor: Redactor, config: Config, web: WebConfig | null): Promise<void> => {
  const { alertmanagers, prometheus, components, probes, receivers, folder } = config;
  const places = [alertmanagers, prometheus, components, probes, receivers];
  const named = filesNamed(NAMES_SECRET, places);
  const files = new Set([...named.map((file) => resolve(folder, file)), ...(web?.secretFiles ?? [])]);
  const kubeconfigs = new Set(filesNamed(NAMES_KUBECONFIG, places).map((file) => resolve(folder, file)));
  await Promise.all([
    ...[...files].map((file) => register(redactor, file)),
    ...[...kubeconfigs].map((file) => registerKubeconfig(redactor, file)),
  ]);
};
