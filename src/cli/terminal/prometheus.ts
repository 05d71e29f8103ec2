// A Prometheus that a command asks: where it is, and who asks. The credential is that of the configuration's own Prometheus,
// where it is the same one, or is named by flags; files are read at each question, as those of the facts are.
import type { Command as Commander } from 'commander';
import { Option } from 'commander';
import { formatDuration, parseDuration } from '../../base/duration.ts';
import { isObject } from '../../base/json.ts';
import { createRedactor } from '../../base/secret.ts';
import type { Settings } from '../../config.ts';
import type { Credential, Neighbour } from '../../port/sources.ts';
import type { AskPrometheus } from '../../replay/alert-series.ts';
import type { Options } from './command.ts';
import { Misuse, textOption } from './command.ts';

/** `--prometheus` is the same, spelt as in the days of the first backtest. */
export const addPrometheusFlags = (command: Commander, what: string): Commander =>
  command
    .option('--prometheus.url <url>', what)
    .addOption(new Option('--prometheus <url>').hideHelp())
    .option('--prometheus.bearer-token-file <file>', 'a token for it (default: what the configuration has for it)')
    .option('--prometheus.username <name>', 'or a user, with the next')
    .option('--prometheus.password-file <file>', "that user's password")
    .option('--prometheus.timeout <duration>', 'how long it may take for an answer, for example 30s');

/** Undefined: nobody has named one. Without a slash at its end. */
const prometheusUrl = (options: Options): string | undefined => {
  const [one, other] = [textOption(options, 'prometheus.url'), textOption(options, 'prometheus')];
  if (one !== undefined && other !== undefined)
    throw new Misuse('--prometheus.url and --prometheus are the same: give one');
  const url = one ?? other;
  if (url === undefined) return undefined;
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw new Misuse(`--prometheus.url: ${url} is no address; for example http://127.0.0.1:9090`);
  const { username, password } = new URL(url);
  if (username !== '' || password !== '')
    throw new Misuse(
      '--prometheus.url: a password does not belong in an address; give --prometheus.username and --prometheus.password-file',
    );
  return url.replace(/\/+$/, '');
};

/** Milliseconds; `otherwise` where nobody has said. */
export const patienceOf = (options: Options, otherwise: number): number => {
  const text = textOption(options, 'prometheus.timeout');
  if (text === undefined) return otherwise;
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0) throw new Misuse('--prometheus.timeout: a duration, for example 30s');
  return ms;
};

/** What the flags say; null: nothing. */
const credentialOf = (options: Options): Credential | null => {
  const [tokenFile, username, passwordFile] = [
    textOption(options, 'prometheus.bearerTokenFile'),
    textOption(options, 'prometheus.username'),
    textOption(options, 'prometheus.passwordFile'),
  ];
  if ((username === undefined) !== (passwordFile === undefined))
    throw new Misuse('--prometheus.username and --prometheus.password-file go together');
  if (username !== undefined && passwordFile !== undefined) {
    if (tokenFile !== undefined) throw new Misuse('give a token or a user for Prometheus, not both');
    return { type: 'basic', username, passwordFile };
  }
  return tokenFile === undefined ? null : { type: 'bearer', tokenFile };
};

/** The configuration's Prometheus; null: there is none, or no configuration that can be read. */
export const configuredPrometheus = async ({ configFile, recoveryMode }: Settings): Promise<Neighbour | null> => {
  const { loadConfig } = await import('../../config.ts');
  const config = await loadConfig(configFile, undefined, recoveryMode);
  return config.ok ? config.value.prometheus : null;
};

/** The one that is named, with the credential that is its own. `note` hears when the configuration's is for another. */
export const prometheusOf = (
  options: Options,
  configured: Neighbour | null,
  note: (line: string) => void,
): Neighbour | null => {
  const url = prometheusUrl(options);
  if (url === undefined) return null;
  const given = credentialOf(options);
  if (given !== null || configured === null || configured.credential === null) return { url, credential: given };
  if (new URL(configured.url).origin === new URL(url).origin) return { url, credential: configured.credential };
  note(
    `No credential is sent to ${url}: the configuration's is for ${configured.url}. If it is meant: --prometheus.bearer-token-file, or --prometheus.username and --prometheus.password-file.`,
  );
  return { url, credential: null };
};

/** Throws with what went wrong, in words that name the time limit or the status. */
export const askOf = (neighbour: Neighbour, patienceMs: number): AskPrometheus => {
  const redactor = createRedactor();
  return async (path, parameters) => {
    const { authorizationOf } = await import('../../app.ts');
    const authorization = await authorizationOf(neighbour, redactor);
    if (!authorization.ok) throw new Error(authorization.error);
    const query = new URLSearchParams(parameters).toString();
    // A question may be long; only these take it in the body.
    const inBody = /^\/api\/v1\/(?:query|query_range|series)$/.test(path);
    let response: Response;
    try {
      response = await fetch(`${neighbour.url}${path}${inBody || query === '' ? '' : `?${query}`}`, {
        ...(inBody ? { method: 'POST', body: new URLSearchParams(parameters) } : {}),
        headers: { accept: 'application/json', ...authorization.headers },
        redirect: 'error',
        signal: AbortSignal.timeout(patienceMs),
      });
      if (response.ok) return await response.json();
    } catch (error) {
      throw new Error(reasonOf(error, patienceMs), { cause: error });
    }
    const said = redactor.text((await response.text().catch(() => '')).trim().slice(0, 300));
    const mend = response.status === 401 || response.status === 403 ? ASKED_WHO : '';
    throw new Error(`it answered ${response.status}${mend}${said === '' || mend !== '' ? '' : `: ${said}`}`);
  };
};

const ASKED_WHO =
  ', it wants to know who asks: give prometheus its credential in the configuration, or --prometheus.bearer-token-file, or --prometheus.username and --prometheus.password-file';

/** Errors of Node's own are asked by shape: they may come from another realm. */
const reasonOf = (error: unknown, patienceMs: number): string => {
  if (!isObject(error)) return String(error);
  if (error['name'] === 'TimeoutError')
    return `it did not answer within ${formatDuration(patienceMs)} (--prometheus.timeout)`;
  const cause = isObject(error['cause']) ? error['cause'] : error;
  return String(cause['code'] ?? cause['message']);
};
