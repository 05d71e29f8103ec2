// An application as its operations runbook knows it: the process that serves what is checked out in a repository, and what
// amends is told of it and of its breakers.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BreakerApp } from './breaker-app.ts';
import { root, until } from './servers.ts';
import type { Running, Servers } from './servers.ts';

export type ServedApplication = { readonly app: Running; readonly url: string };

/** `portFile` must not be there yet; `database` is the one whose schema the code has to know. */
export const serveRepository = async (
  servers: Pick<Servers, 'process'>,
  given: {
    readonly name: string;
    readonly repository: string;
    readonly portFile: string;
    readonly database?: string;
  },
): Promise<ServedApplication> => {
  const { name, repository, portFile, database } = given;
  const args = [repository, portFile, ...(database === undefined ? [] : [database])];
  const file = join(root, 'test/support/served-app.mjs');
  const app = servers.process({ name, file: process.execPath, args: [file, ...args], cwd: root });
  const port = await until(`${name} listens`, () => {
    try {
      return readFileSync(portFile, 'utf8');
    } catch {
      return app.exited() ? Promise.reject(new Error(app.output())) : undefined;
    }
  });
  return { app, url: `http://127.0.0.1:${port}` };
};

/** The inventory of a component of kind `application` with the targets `web` and `breakers`, and what it needs to be allowed. */
export const shopApplication = (given: {
  readonly served: ServedApplication;
  readonly folder: string;
  readonly repository: string;
  readonly database: string;
  readonly breakers: BreakerApp;
}): { readonly inventory: object; readonly allow: Readonly<Record<string, readonly string[]>> } => {
  const { served, folder, repository, database, breakers } = given;
  const { app, url } = served;
  const migrate = (verb: string): readonly string[] => [
    process.execPath,
    join(root, 'test/support/migrate.mjs'),
    verb,
    database,
  ];
  return {
    inventory: {
      static: [
        {
          target: 'web',
          connect: {
            url,
            repository,
            restart: ['/bin/kill', '-HUP', String(app.pid)],
            database,
            backups: join(folder, 'backups'),
            migration_folder: folder,
            migration_version: migrate('current'),
            migrate_down: migrate('down'),
            validation: {
              commands: [{ name: 'smoke test', argv: ['/usr/bin/test', '-f', join(repository, 'works')] }],
              endpoints: [{ url: `${url}/version` }],
            },
          },
        },
        {
          target: 'breakers',
          connect: {
            url: breakers.url,
            breaker_reset_url: `${breakers.url}/breakers/reset`,
            dependencies: [{ url: `${url}/version` }],
            promotions_url: `${breakers.url}/promotions`,
            reflection_url: `${breakers.url}/reflection`,
            stage_manager_url: `${breakers.url}/stage-manager`,
          },
        },
      ],
    },
    allow: {
      hosts: [new URL(url).host, breakers.host],
      paths: [folder],
      commands: ['/usr/bin/git', '/bin/kill', '/usr/bin/test', process.execPath],
    },
  };
};
