// What every action owes when what it is given is no good: performed as the engine performs it, it ends within its time
// limit with an error that names what and where, of the right kind, and with no effect that it does not report.
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { systemClock } from '../../../src/base/clock.ts';
import { createLog } from '../../../src/base/log.ts';
import { createRedactor } from '../../../src/base/secret.ts';
import type { EngineContext } from '../../../src/engine/context.ts';
import type { Performance } from '../../../src/engine/perform.ts';
import { perform } from '../../../src/engine/perform.ts';
import type { Allow } from '../../../src/port/action.ts';
import { createContexts } from '../../support/action-context.ts';
import { itWith } from '../../support/requires.ts';
import type { Peer } from './bad-peers.ts';
import { PEERS, createBadPeers } from './bad-peers.ts';
import { NEEDS, actions, createCases } from './cases.ts';

const contexts = createContexts();
const samples = await createCases(contexts);
const peers = createBadPeers(contexts.folder);
afterEach(() => samples.settle());
afterAll(async () => {
  await peers.stop();
  await samples.stop();
  await contexts.stop();
});

const LIMIT_MS = 700;
/** For those who say at once that it cannot be. */
const LONG_MS = 4_000;
const ANSWERS = new Set<Peer>(['closed', 'refusing']);
/** What a busy machine may add to it. */
const LATE_MS = 1_500;

type Failed = Extract<Performance, { readonly ok: false }>;
const NOTHING: Allow = { hosts: [], commands: [], paths: [], containers: [] };

/** The address only says whose dumps are meant. */
const NO_SERVER = new Set(['postgres.check-backup']);

let performed = 0;
const run = async (uses: string, input: unknown, allow: Allow, timeoutMs = LIMIT_MS): Promise<Performance> => {
  performed += 1;
  const redactor = createRedactor();
  const context: Pick<EngineContext, 'actions' | 'clock' | 'log' | 'redactor' | 'spawner' | 'loaded'> = {
    actions,
    clock: systemClock,
    log: createLog('silent', redactor),
    redactor,
    spawner: contexts.spawner,
    loaded: () => ({ config: { allow } }) as ReturnType<EngineContext['loaded']>,
  };
  return perform(context as EngineContext, {
    uses,
    input,
    timeoutMs,
    allowedActions: ['*'],
    marker: `bad-${process.pid}-${performed}/step`,
    signal: new AbortController().signal,
    run: { id: 'run', component: 'shop-db', kind: 'database', target: 'orders' },
  });
};
const failed = (performance: Performance): Failed => {
  if (performance.ok) throw new Error(`it succeeded: ${JSON.stringify(performance.outputs)}`);
  return performance;
};

describe.each([...actions.entries()])('%s', (name, action) => {
  const given = samples.cases[name];
  const needed = NEEDS[name.split('.')[0] ?? ''];
  const itOnServer = needed === undefined ? it : itWith(needed);

  itOnServer('given a wrong type or a member too few, says which, and does nothing', async () => {
    const good = (await given?.good()) ?? {};
    const members = Object.keys((z.toJSONSchema(action.input, { io: 'input' }) as { properties: object }).properties);
    for (const member of members) {
      for (const wrong of member === 'json' ? [Number.NaN] : [null, [[]], { wrong: {} }]) {
        const { kind, error, began } = failed(await run(name, { ...good, [member]: wrong }, NOTHING));
        expect([member, kind, began]).toEqual([member, 'permanent', false]);
        expect(error).toContain(`${name} refuses its input: `);
        expect(error).toMatch(new RegExp(`\\b${member}\\b`));
      }
    }
  });

  itOnServer('given what is not allowed, refuses it before any effect and says what it is', async () => {
    const good = await given?.good();
    if (good === undefined || !/127\.0\.0\.1|"\//.test(JSON.stringify(good))) return;
    const { kind, error, began } = failed(await run(name, good, NOTHING, 10_000));
    expect([kind, began]).toEqual(['permanent', false]);
    expect(error).toMatch(/not allowed|allow\./);
  });

  itOnServer(
    'given an address where nobody is, or somebody who is silent, drips, never ends or refuses it, ends in time with an error that says where',
    async () => {
      const good = (await given?.good()) ?? {};
      const allow: Allow = { ...NOTHING, paths: [contexts.folder], ...samples.allow() };
      const tried = await Promise.all(
        PEERS.map(async (peer) => {
          const bad = NO_SERVER.has(name) ? null : await peers.at(peer, good);
          if (bad === null) return null;
          const began = systemClock.monotonic();
          const performance = await run(name, bad.input, allow, ANSWERS.has(peer) ? LONG_MS : LIMIT_MS);
          return { peer, places: bad.places, performance, ms: systemClock.monotonic() - began };
        }),
      );
      for (const one of tried) {
        if (one === null) continue;
        const { peer, places, performance, ms } = one;
        const { error, kind, began } = failed(performance);
        expect([peer, ms < (ANSWERS.has(peer) ? LONG_MS : LIMIT_MS) + LATE_MS]).toEqual([peer, true]);
        expect([peer, error, [...places, ...allow.commands].some((place) => names(error, place))]).toEqual([
          peer,
          error,
          true,
        ]);
        expect([peer, error, expectedOf(name, peer, began)]).toEqual([peer, error, expect.arrayContaining([kind])]);
      }
    },
    30_000,
  );
});

/** Some programs put host and port apart; what is ended in the middle of a command is told by the command. */
const names = (error: string, place: string): boolean =>
  error.includes(place) || place.split(':').every((part) => error.includes(part));

/** They stop a service first, or go on asking until their time is over, since who starts up refuses as well. */
const WAITS = new Set(['faiss.rebuild-index', 'faiss.restart-service', 'faiss.verify', 'http.poll']);

/** Nobody was there: nothing can have happened. Who refuses it today does so tomorrow. */
const expectedOf = (name: string, peer: Peer, began: boolean): readonly string[] => {
  if (WAITS.has(name)) return began ? ['indeterminate'] : ['retryable'];
  if (peer === 'closed') return ['retryable', 'permanent'];
  // Without the certificate that it expects, nobody is asked who it is; what a cluster's 401 means is in its own tests.
  if (peer === 'refusing') return name.startsWith('kubernetes.') ? ['retryable', 'permanent'] : ['permanent'];
  return began ? ['indeterminate', 'retryable', 'permanent'] : ['retryable', 'permanent'];
};
