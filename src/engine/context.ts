// What the engine's loops stand on: ports, and what is configured at this moment.
import type { Clock, SteadyClock } from '../base/clock.ts';
import type { Ids } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Redactor } from '../base/secret.ts';
import type { Catalog } from '../catalog.ts';
import type { Config } from '../config.ts';
import type { Actions, Spawner } from '../port/action.ts';
import type { Facts } from '../port/fact.ts';
import type { Notifiers } from '../port/notifier.ts';
import type { Sources } from '../port/sources.ts';
import type { Store } from '../port/store.ts';
import type { Telemetry } from '../port/telemetry.ts';
import type { EmergencyJournal } from './emergency.ts';
import type { StoreHealth } from './store-watch.ts';
import type { HaltFile } from './halt-file.ts';

/** Replaced as a whole by a reload that succeeded. */
export type Loaded = {
  readonly config: Config;
  readonly catalog: Catalog;
  /** The commit that the folder of the configuration stands at; null outside of a repository, left out where nobody asked. */
  readonly revision?: string | null;
};

export type EngineContext = {
  readonly store: Store;
  readonly clock: Clock;
  /** How a jump of the wall clock is told and settled; without it nobody looks. */
  readonly jumps?: Pick<SteadyClock, 'jump' | 'settleJump' | 'gainedSince'>;
  readonly ids: Ids;
  readonly log: Log;
  readonly redactor: Redactor;
  readonly actions: Actions;
  readonly facts: Facts;
  readonly notifiers: Notifiers;
  readonly spawner: Spawner;
  readonly sources: Sources;
  readonly telemetry: Telemetry;
  readonly halt: HaltFile;
  readonly emergency: EmergencyJournal;
  readonly storeHealth: Pick<StoreHealth, 'trouble'>;
  /** `<row>:<hash>` of where the audit ended when it was last looked at; without it nobody tells. */
  auditHead?(): string | null;
  /** Names this worker in leases and markers. */
  readonly owner: string;
  loaded(): Loaded;
};
