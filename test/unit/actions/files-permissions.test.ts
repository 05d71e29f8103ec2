import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { chmodSync, chownSync, linkSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { spawn } from 'node:child_process';
import access from '../../../src/actions/files/access.ts';
import permissions from '../../../src/actions/files/permissions.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, failureOf, perform } from '../../support/action-context.ts';
import { endHolder } from '../../support/holder.ts';
import { itAsRoot } from '../../support/small-disk.ts';

const contexts = createContexts();
// Others have to be able to come near it.
chmodSync(contexts.folder, 0o755);
afterAll(() => contexts.stop());

const NOBODY = 65_534;
let count = 0;
let path: string;
beforeEach(() => {
  count += 1;
  path = join(contexts.folder, `workspace-${count}`, 'report.txt');
  mkdirSync(dirname(path));
  writeFileSync(path, 'text');
  chmodSync(path, 0o640);
});

const look = (input: JsonObject = {}): Promise<JsonObject> =>
  perform(access, { path, account: 'nobody', ...input }, contexts.make());
const mend = (input: JsonObject): Promise<JsonObject> =>
  perform(permissions, { path, account: 'nobody', ...input }, contexts.make());
const modeOf = (file: string): string => (statSync(file).mode & 0o7777).toString(8);

describe('files.access', () => {
  itAsRoot('P4: says owner, group, mode and why the account is kept out, and that it is let in', async () => {
    const error = await failureOf(look());
    expect(error).toMatchObject({
      kind: 'retryable',
      message: expect.stringContaining(`nobody may not write ${path} (root:root 0640)`),
      outputs: { accessible: false, owner: 'root', mode: '0640', kind: 'file', account: 'nobody', blocked_at: path },
    });
    chownSync(path, NOBODY, NOBODY);
    expect(await look()).toMatchObject({ accessible: true, owner: 'nobody', blocked_at: '', reason: '' });
  });

  itAsRoot('P4: names the folder on the way that stops the account', async () => {
    chmodSync(path, 0o666);
    chmodSync(dirname(path), 0o700);
    expect(await look({ required: false })).toMatchObject({
      accessible: false,
      blocked_at: dirname(path),
      reason: expect.stringContaining('may not enter'),
    });
    expect(await look({ required: false, account: 'root' })).toMatchObject({ accessible: true });
  });

  itAsRoot('P4: takes the account from the process itself', async () => {
    const service = spawn('/usr/bin/sleep', ['100'], { uid: NOBODY, gid: NOBODY, stdio: 'ignore' });
    try {
      await new Promise((resolve) => service.once('spawn', resolve));
      const pidFile = join(contexts.folder, 'service.pid');
      writeFileSync(pidFile, `${service.pid}\n`);
      const outputs = await perform(
        access,
        { path, pid_file: pidFile, only: ['sleep'], required: false },
        contexts.make(),
      );
      expect(outputs).toMatchObject({ account: 'nobody', process_account: 'nobody', accessible: false });
    } finally {
      await endHolder(service);
    }
  });

  it('a path that is missing, outside of what is allowed, or an account that nobody has', async () => {
    expect(
      await look({ path: join(dirname(path), 'none'), required: false, account: String(process.geteuid?.()) }),
    ).toMatchObject({
      accessible: false,
      exists: false,
      kind: 'missing',
    });
    for (const input of [{ path: '/etc/hostname' }, { account: 'no-such-user' }])
      expect(await failureOf(look(input))).toMatchObject({ kind: 'permanent' });
    expect(access.input.safeParse({ path, pid_file: path }).success).toBe(false);
  });
});

describe('files.permissions', () => {
  itAsRoot(
    'P4: gives the path what is declared and nothing else, tries as the account, and can be undone',
    async () => {
      const beside = join(dirname(path), 'beside');
      writeFileSync(beside, '');
      chmodSync(beside, 0o600);
      const context = contexts.make();
      const result = await permissions.run(permissions.input.parse({ path, owner: 'nobody', mode: '0600' }), context);
      expect(result.outputs).toMatchObject({
        changed: true,
        accessible: true,
        owner: 'nobody',
        group: 'root',
        mode: '0600',
        owner_before: '0',
        mode_before: '0640',
      });
      expect(context.beganCount()).toBe(1);
      expect([statSync(path).uid, modeOf(path), statSync(beside).uid]).toEqual([NOBODY, '600', 0]);
      await mend({ ...result.undo, account: 'root' });
      expect([statSync(path).uid, modeOf(path)]).toEqual([0, '640']);
    },
  );

  itAsRoot('P4: what is as declared is left alone; what that does not help is a failure that says why', async () => {
    const context = contexts.make();
    const error = await failureOf(perform(permissions, { path, mode: '0640', account: 'nobody' }, context));
    expect(error).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('is as declared, and still: nobody may not write'),
      outputs: { changed: false, accessible: false },
    });
    expect(context.beganCount()).toBe(0);
  });

  itAsRoot('C8: links, second names, and modes that let everybody write are refused', async () => {
    const target = join(contexts.folder, `target-${count}`);
    writeFileSync(target, '');
    chmodSync(target, 0o600);
    symlinkSync(target, join(dirname(path), 'link'));
    linkSync(target, join(dirname(path), 'second'));
    for (const name of ['link', 'second'])
      expect(await failureOf(mend({ path: join(dirname(path), name), mode: '0644' }))).toMatchObject({
        kind: 'permanent',
      });
    expect(modeOf(target)).toBe('600');
    for (const mode of ['0666', '0777', '4755', '0602', '640x', 'u+w'])
      expect([mode, permissions.input.safeParse({ path, mode }).success]).toEqual([mode, false]);
    expect(permissions.input.safeParse({ path }).success).toBe(false);
  });

  itAsRoot('P4: the sticky and group bits of a folder stay', async () => {
    chmodSync(dirname(path), 0o2750);
    await mend({ path: dirname(path), owner: 'nobody', mode: '0770' });
    expect(modeOf(dirname(path))).toBe('2770');
  });
});
