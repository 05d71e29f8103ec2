// Which address a request may go to: a name is looked up once, the answer is judged, and that very address is used.
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { ActionError } from '../../base/failure.ts';
import type { Allow } from '../../port/action.ts';

// Two lists: one for both would take every IPv4 address for its mapped form.
const special4 = new BlockList();
const special6 = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['100.100.100.200', 32],
  ['192.0.0.192', 32],
  ['224.0.0.0', 4],
  ['255.255.255.255', 32],
] as const) {
  special4.addSubnet(network, prefix, 'ipv4');
}
// Unspecified, loopback, IPv4 in IPv6 (mapped, compatible, NAT64, 6to4, Teredo), link-local, the metadata service's, multicast.
for (const [network, prefix] of [
  ['::', 96],
  ['::ffff:0:0', 96],
  ['64:ff9b::', 96],
  ['2002::', 16],
  ['2001::', 32],
  ['fe80::', 10],
  ['fd00:ec2::254', 128],
  ['ff00::', 8],
] as const) {
  special6.addSubnet(network, prefix, 'ipv6');
}

/** Loopback, link-local, metadata, unspecified, multicast, or an IPv4 address dressed as an IPv6 one. */
export const isSpecial = (address: string): boolean => {
  const version = isIP(address);
  if (version === 6) return special6.check(address, 'ipv6');
  return version === 0 || special4.check(address, 'ipv4');
};

// oxlint-disable-next-line no-control-regex
const SUSPICIOUS = /[\u0000-\u0020\u007f-\uffff\\#]|%00|%2e|%2f|%5c|\/\.{1,2}(?:[/?]|$)/i;

/** The URL as it will be used. Throws `permanent` for one that two readers could understand differently. */
export const plainUrl = (text: string): URL => {
  const refuse = (reason: string): never => {
    throw new ActionError('permanent', `the URL ${JSON.stringify(text.slice(0, 200))} is refused: ${reason}`);
  };
  if (SUSPICIOUS.test(text))
    refuse(
      'it holds blanks, control characters, a fragment, a backslash, dots that climb, or characters outside ASCII',
    );
  if (!/^https?:\/\/[^/]/i.test(text)) refuse('only http:// and https:// are known');
  const authority = text.replace(/^https?:\/\//i, '').split(/[/?]/, 1)[0] ?? '';
  if (authority.includes('@')) refuse('credentials do not belong into a URL; mend: bearer_token_file or header_files');
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse('it is not a URL');
  }
  if (url.hostname.endsWith('.')) refuse('its host ends in a dot');
  // 127.1, 0x7f000001 and 2130706433 are all one address; only the plain form can be compared with what is declared.
  const written = authority.toLowerCase().replace(/:\d*$/, '');
  if (written !== url.hostname) refuse(`its host is ${url.hostname} in disguise`);
  return url;
};

const withoutBrackets = (host: string): string => host.replace(/^\[(.*)\]$/, '$1');

/** `host` or `host:port` of `allow.hosts`. */
const isDeclared = (url: URL, allow: Allow): boolean => {
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  const names = new Set([url.hostname, `${url.hostname}:${port}`, withoutBrackets(url.hostname)]);
  return allow.hosts.some((entry) => names.has(entry.toLowerCase()));
};

export type Address = { readonly address: string; readonly family: 4 | 6 };

/** Throws `permanent` for what is not declared, `retryable` when the name is not to be had now. */
export const resolveAllowed = async (url: URL, allow: Allow): Promise<Address> => {
  const host = withoutBrackets(url.hostname);
  if (!isDeclared(url, allow)) {
    throw new ActionError(
      'permanent',
      `the host ${url.host} is not allowed; mend: add "${url.host}" to allow.hosts in the configuration`,
    );
  }
  const version = isIP(host);
  // Declared as an address, it was meant.
  if (version !== 0) return { address: host, family: version === 6 ? 6 : 4 };
  let found: Address;
  try {
    const { address, family } = await lookup(host);
    found = { address, family: family === 6 ? 6 : 4 };
  } catch (error) {
    throw new ActionError(
      'retryable',
      `the name ${host} could not be looked up (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
      { cause: error },
    );
  }
  if (isSpecial(found.address) && host !== 'localhost') {
    throw new ActionError(
      'permanent',
      `the name ${host} leads to ${found.address}, which is an address of this machine or of its cloud; mend: if that is meant, add "${found.address}" to allow.hosts and use it in the URL`,
    );
  }
  return found;
};
