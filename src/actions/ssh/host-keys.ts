// Who a far host is: its key is known beforehand, by fingerprint or from a known_hosts file. A key that is met for the
// first time is never taken on trust.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { ActionError } from '../../base/failure.ts';

const LARGEST_FILE = 1024 * 1024;

export type Pinned = { accepts(key: Buffer): boolean; readonly from: string };

/** As `ssh-keygen -lf` shows it. */
export const fingerprintOf = (key: Buffer): string =>
  `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;

/** `ssh-ed25519`: what the key says that it is. */
export const typeOf = (key: Buffer): string => {
  const length = key.length >= 4 ? key.readUInt32BE(0) : 0;
  return length > 0 && length < 64 ? key.subarray(4, 4 + length).toString('latin1') : 'unknown';
};

const same = (left: Buffer, right: Buffer): boolean => left.length === right.length && timingSafeEqual(left, right);

export const pinnedByFingerprint = (fingerprints: readonly string[]): Pinned => ({
  from: 'host_key',
  accepts: (key) => fingerprints.some((wanted) => same(Buffer.from(wanted), Buffer.from(fingerprintOf(key)))),
});

const names = (field: string, host: string): boolean => {
  if (field.startsWith('|1|')) {
    const [, , salt = '', hash = ''] = field.split('|');
    return createHmac('sha1', Buffer.from(salt, 'base64')).update(host).digest('base64') === hash;
  }
  return field.split(',').includes(host);
};

/** The keys of one host in a known_hosts file; throws `permanent` when there is none. Patterns and authorities are not read. */
export const pinnedByFile = async (file: string, host: string, port: number): Promise<Pinned> => {
  const unreadable = (error: unknown): never => {
    throw new ActionError(
      'permanent',
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
      {
        cause: error,
      },
    );
  };
  const { size } = await stat(file).catch(unreadable);
  if (size > LARGEST_FILE)
    throw new ActionError('permanent', `${file} is larger than 1 MiB: is it a known_hosts file?`);
  const text = await readFile(file, 'utf8').catch(unreadable);
  const wanted = port === 22 ? host : `[${host}]:${port}`;
  const known: Buffer[] = [];
  const revoked: Buffer[] = [];
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/\s+/);
    const marker = fields[0]?.startsWith('@') === true ? fields.shift() : undefined;
    const [field = '', , key = ''] = fields;
    if (field === '' || field.startsWith('#') || key === '' || marker === '@cert-authority' || !names(field, wanted))
      continue;
    (marker === '@revoked' ? revoked : known).push(Buffer.from(key, 'base64'));
  }
  if (known.length === 0)
    throw new ActionError(
      'permanent',
      `${file} knows no key of ${wanted}; mend: compare its fingerprint with the host's own, then add the line that ssh-keyscan gives`,
    );
  return {
    from: file,
    accepts: (key) => known.some((each) => same(each, key)) && !revoked.some((each) => same(each, key)),
  };
};
