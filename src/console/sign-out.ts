// Who is signed in, at the foot of the page, and the way out.
import { send } from './api.ts';
import type { Session } from './api.ts';
import { h } from './dom.ts';

export const signOut = (session: Session, left: () => void): void => {
  document.querySelector('body > footer')?.remove();
  const out = async (): Promise<void> => {
    await send('/console/logout', {});
    document.querySelector('body > footer')?.remove();
    left();
  };
  document.body.append(
    h(
      'footer',
      {},
      h(
        'p',
        {},
        session.local
          ? 'Without credentials: amends listens to its own machine alone.'
          : `Signed in as ${session.name}, ${session.role}.`,
      ),
      session.csrf === null ? null : h('button', { type: 'button', onclick: () => void out() }, 'Sign out'),
    ),
  );
};
