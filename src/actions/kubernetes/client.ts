// The official client, loaded with the first use: it is optional, weighs 40 MB, and many an amends never meets a cluster.
import type * as Official from '@kubernetes/client-node';
import { ActionError } from '../../base/failure.ts';

export type Client = typeof Official;

const PACKAGE = '@kubernetes/client-node';
/** As in package.json. */
export const CLIENT_VERSION = '1.4.0';

/** Throws `permanent` with the command that installs it when it is not there. */
export const loadClient = async (
  load: () => Promise<Client> = () => import('@kubernetes/client-node'),
): Promise<Client> => {
  try {
    return await load();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error;
    throw new ActionError(
      'permanent',
      `the Kubernetes client is not installed (${message.split('\n', 1)[0]?.slice(0, 200)}); mend: npm install ${PACKAGE}@${CLIENT_VERSION} in the folder of amends`,
      { cause: error },
    );
  }
};
