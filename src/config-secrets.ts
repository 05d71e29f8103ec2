// Makes known what must never be shown, before anybody uses it: a target may give away a secret that amends itself has not
// needed yet.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Redactor } from './base/secret.ts';
import type { Config, WebConfig } from './config.ts';

/** `password_file`, `passwordFile`, `url_file`, `key_file`: whatever names a file beside a rule, a runbook or a log. */
const NAMES_SECRET = /(pass(word|wd|phrase)?|secret|token|api_?key|private_?key|key|credentials?|url|dsn)_?file$/i;

/** The paths that `value` names as files of secrets, at any depth. */
const secretFiles = (value: unknown, key = ''): readonly string[] => {
  if (typeof value === 'string') return NAMES_SECRET.test(key) ? [value] : [];
  if (value instanceof Map) return [...value.values()].flatMap((member) => secretFiles(member));
  if (Array.isArray(value)) return value.flatMap((member) => secretFiles(member, key));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => secretFiles(member, name));
};

/** A file that is not there is told of by whoever needs it. */
const register = async (redactor: Redactor, file: string): Promise<void> => {
  const text = await readFile(file, 'utf8').catch(() => '');
  redactor.register(text.replace(/\r?\n$/, ''));
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  // A file of several is one secret a line; of a private key each line tells a part, but for the ones that frame it.
  if (lines.length > 1) for (const line of lines) if (!line.startsWith('-----')) redactor.register(line.trim());
};

export const registerSecrets = async (redactor: Redactor, config: Config, web: WebConfig | null): Promise<void> => {
  const { alertmanagers, prometheus, components, probes, receivers, folder } = config;
  const named = secretFiles([alertmanagers, prometheus, components, probes, receivers]);
  const files = new Set([...named.map((file) => resolve(folder, file)), ...(web?.secretFiles ?? [])]);
  await Promise.all([...files].map((file) => register(redactor, file)));
};
