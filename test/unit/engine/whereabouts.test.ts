import { describe, expect, it } from '@jest/globals';
import { whereabouts } from '../../../src/engine/whereabouts.ts';

describe('where an action was at work when its time was up', () => {
  it.each([
    [{ url: 'http://shop:8080/health?token=abc', timeout: '2s' }, 'http://shop:8080/health'],
    [{ url: 'redis://amends:secret@10.0.0.7:6379' }, 'redis://10.0.0.7:6379'],
    [{ connect: { server: 'https://10.0.0.1:6443', token_file: '/run/token' } }, 'https://10.0.0.1:6443'],
    [{ host: 'builder-1', port: 2222, private_key_file: '/run/key' }, 'builder-1:2222'],
    [{ container: 'cache', socket: '/run/podman.sock' }, '/run/podman.sock'],
    [{ path: '/var/lib/shop.db', backups: '/var/backups' }, '/var/lib/shop.db'],
    [{ argv: ['/usr/bin/make', 'deploy'] }, '/usr/bin/make'],
    [{ endpoints: ['a', 'b', 'c', 'd'].map((host) => ({ url: `http://${host}` })) }, 'http://a, http://b, http://c'],
    [{ duration: 1_000 }, ''],
    [null, ''],
  ])('%j is at %j', (input, places) => {
    expect(whereabouts(input)).toBe(places);
  });
});
