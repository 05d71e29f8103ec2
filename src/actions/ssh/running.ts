// One command on one far host over a connection of its own: known host first, then who we are, then the command, all
// within one deadline.
import type { Client, ClientChannel, PublicKeyAuthMethod } from 'ssh2';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import type { ActionContext, ActionResult } from '../../port/action.ts';
import { resolveAllowed } from '../http/address.ts';
import { absolutePath, duration } from '../inputs.ts';
import { createOutputWindow } from '../output-window.ts';
import { declaredInput, farLine } from './declared.ts';
import type { Line } from './declared.ts';
import { fingerprintOf, pinnedByFile, pinnedByFingerprint, typeOf } from './host-keys.ts';
import type { Pinned } from './host-keys.ts';

/** Half of what is kept of each output: its beginning and its end. */
const WINDOW = 8 * 1024;
const KEEPALIVE_MS = 5_000;
const KEEPALIVES = 3;
/** From what the far side says last to the end of the connection. */
const LAST_WORD_MS = 500;

const fingerprint = z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/, {
  message: 'the fingerprint of a host key: SHA256: and 43 characters, as `ssh-keygen -lf` shows it',
});

export const sshInput = z
  .strictObject({
    host: z.string().regex(/^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:]{2,45})$/, {
      message: 'the name or the address of a host',
    }),
    port: z.int().min(1).max(65_535),
    username: z.string().regex(/^[a-z_][a-z0-9_.-]{0,63}$/i, { message: 'the name of a user' }),
    private_key_file: absolutePath,
    passphrase_file: absolutePath.optional(),
    /** Fingerprints of keys that the host may show. */
    host_key: z.union([fingerprint, z.array(fingerprint).min(1).max(10)]).optional(),
    /** Or a file with them, as ssh keeps it. */
    known_hosts_file: absolutePath.optional(),
    /** Until it is logged in; the step's time limit is over all. */
    connect_timeout: duration.default(10_000),
    ...declaredInput,
  })
  .refine((input) => (input.host_key === undefined) !== (input.known_hosts_file === undefined), {
    message: 'either host_key or known_hosts_file says which host it has to be',
  });
type SshInput = z.output<typeof sshInput>;

export const sshOutputs = {
  exit_code: 'its exit code, -1 when it was ended by a signal',
  stdout: 'what it wrote: the first and the last 8 KiB',
  stderr: 'what it wrote to stderr: the first and the last 8 KiB',
  dropped_bytes: 'bytes of its output that were not kept',
  line: 'the command line as it was sent, quoted',
  host_key: "the fingerprint of the host's key",
};

type Connection = { readonly client: Client; readonly hostKey: string };

/** Its errors have a level; what was refused has to be told from what was not to be reached. */
const connectFailure = (
  error: Error & { level?: string; code?: string },
  where: string,
  denied: string | null,
): ActionError => {
  if (denied !== null) return new ActionError('permanent', denied);
  if (error.level === 'client-authentication')
    return new ActionError(
      'permanent',
      `${where} does not let us in with this key; mend: is its public half in the authorized_keys of that user?`,
    );
  const code = error.code === undefined ? '' : ` (${error.code})`;
  return new ActionError('retryable', `${where} could not be reached: ${error.message.slice(0, 200)}${code}`);
};

const connect = async (input: SshInput, pinned: Pinned, context: ActionContext): Promise<Connection> => {
  const where = `${input.username}@${input.host}:${input.port}`;
  const shownHost = input.host.includes(':') ? `[${input.host}]` : input.host;
  const { address } = await resolveAllowed(new URL(`http://${shownHost}:${input.port}`), context.allow);
  const privateKey = `${(await context.secret(input.private_key_file)).trimEnd()}\n`;
  const passphrase =
    input.passphrase_file === undefined ? undefined : (await context.secret(input.passphrase_file)).trimEnd();
  context.signal.throwIfAborted();
  // Loaded with the first use: most runs never need it.
  const { default: ssh2 } = await import('ssh2');
  const parsed = ssh2.utils.parseKey(privateKey, passphrase);
  if (parsed instanceof Error)
    throw new ActionError(
      'permanent',
      `the private key in ${input.private_key_file} cannot be used: ${parsed.message}`,
    );
  const unlocked = passphrase === undefined ? {} : { passphrase };
  const method: PublicKeyAuthMethod = { type: 'publickey', username: input.username, key: privateKey, ...unlocked };
  const client = new ssh2.Client();
  let denied: string | null = null;
  let hostKey = '';
  return new Promise<Connection>((resolve, reject) => {
    const { signal } = context;
    const onAbort = (): void => {
      client.destroy();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    client.once('ready', () => {
      signal.removeEventListener('abort', onAbort);
      resolve({ client, hostKey });
    });
    client.on('error', (error) => {
      signal.removeEventListener('abort', onAbort);
      client.destroy();
      reject(connectFailure(error, where, denied));
    });
    client.once('close', () => reject(connectFailure(new Error('it closed the connection'), where, denied)));
    client.connect({
      host: address,
      port: input.port,
      username: input.username,
      privateKey,
      ...unlocked,
      readyTimeout: Math.max(1, Math.min(input.connect_timeout, context.deadline - context.clock.monotonic())),
      keepaliveInterval: KEEPALIVE_MS,
      keepaliveCountMax: KEEPALIVES,
      // The key and nothing else: no password that could be asked for, no agent.
      authHandler: [method],
      hostVerifier: (key: Buffer) => {
        hostKey = fingerprintOf(key);
        if (pinned.accepts(key)) return true;
        denied = `${where} shows a ${typeOf(key)} key with the fingerprint ${hostKey}, which ${pinned.from} does not name: nothing was said to it, not even who we are; mend: if its key was changed on purpose, compare with the host's own \`ssh-keygen -lf\``;
        return false;
      },
    });
  });
};

type Ran = { readonly code: number | null; readonly ended: boolean; readonly outputs: JsonObject };

const execute = ({ client, hostKey }: Connection, { line }: Line, context: ActionContext): Promise<Ran> =>
  new Promise((resolve, reject) => {
    const { clock, signal } = context;
    const stdout = createOutputWindow(WINDOW);
    const stderr = createOutputWindow(WINDOW);
    let code: number | null = null;
    let exited = false;
    let channel: ClientChannel | null = null;
    const finish = (): void => {
      signal.removeEventListener('abort', onAbort);
      const out = stdout.read();
      const bad = stderr.read();
      const outputs = {
        exit_code: code ?? -1,
        stdout: out.text,
        stderr: bad.text,
        dropped_bytes: out.dropped + bad.dropped,
        line,
        host_key: hostKey,
      };
      resolve({ code, ended: exited, outputs });
    };
    const onAbort = (): void => {
      // The far sshd passes it on if it can; whether it did is not to be known.
      channel?.signal('TERM');
      finish();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    client.once('close', finish);
    context.began();
    client.exec(line, (error, opened) => {
      if (error !== undefined) {
        signal.removeEventListener('abort', onAbort);
        reject(new ActionError('permanent', `the far side did not run it: ${error.message}`));
        return;
      }
      channel = opened;
      opened.on('data', (chunk: Buffer) => stdout.add(chunk));
      opened.stderr.on('data', (chunk: Buffer) => stderr.add(chunk));
      opened.once('exit', (value: number | null) => {
        exited = true;
        code = value;
        // A child that it left behind may hold its output open for ever.
        clock.after(LAST_WORD_MS, finish);
      });
      opened.once('close', finish);
      opened.end();
    });
  });

const lastLine = (text: unknown): string => String(text).trimEnd().split('\n').at(-1)?.slice(0, 200) ?? '';

/** Throws ActionError with the outputs when it did not end as declared. */
export const runFar = async (input: SshInput, onlyReading: boolean, context: ActionContext): Promise<ActionResult> => {
  context.signal.throwIfAborted();
  const far = farLine(input, onlyReading);
  const where = `${input.command} on ${input.host}`;
  const pinned =
    input.known_hosts_file === undefined
      ? pinnedByFingerprint([input.host_key ?? []].flat())
      : await pinnedByFile(input.known_hosts_file, input.host, input.port);
  const connection = await connect(input, pinned, context);
  try {
    const { code, ended, outputs } = await execute(connection, far, context);
    if (code !== null && far.expect.includes(code)) return { outputs };
    const lost = onlyReading ? 'retryable' : 'indeterminate';
    if (!ended)
      throw new ActionError(lost, `${where} was given up before it had ended; it may go on there`, { outputs });
    if (code === null) throw new ActionError(lost, `${where} was ended by a signal`, { outputs });
    const said = lastLine(outputs['stderr']);
    throw new ActionError(
      'retryable',
      `${where} ended with ${code} instead of ${far.expect.join(' or ')}${said === '' ? '' : `: ${said}`}`,
      { outputs },
    );
  } finally {
    connection.client.end();
    // One that does not answer to a good-bye either.
    context.clock.after(LAST_WORD_MS, () => connection.client.destroy());
  }
};
