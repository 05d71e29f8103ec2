// Signing in: a token or a password goes out once, and what stays in the browser is a cookie that no script reads.
import { get, send } from './api.ts';
import { byId, h, lay } from './dom.ts';
import { fresh } from './parts.ts';

const NOT_KEPT =
  'amends let you in, but this browser did not keep the session: it keeps it over encrypted connections alone. ' +
  'Set tls_server_config in web.yaml, or reach amends through a proxy that ends TLS (--web.external-url=https://...).';

/** Only pages of ours: an address that somebody made up leads nowhere else. */
const wanted = (): string => {
  const next = new URLSearchParams(location.search).get('next') ?? '';
  return /^\/console(?:[/?][\w\-./~%?=&+]*)?$/.test(next) && !next.startsWith('/console/login') ? next : '/console';
};

const isPrivate = (): boolean =>
  location.protocol === 'https:' || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);

export const showLogin = (went: (to: string) => void): void => {
  document.title = 'Sign in - amends';
  lay(byId('top'), [h('p', { class: 'brand' }, 'amends')]);
  lay(byId('banner'), []);
  const field = (
    name: string,
    label: string,
    type: string,
    autocomplete: string,
  ): { readonly input: HTMLInputElement; readonly drawn: HTMLElement } => {
    const id = fresh();
    const input = h('input', {
      id,
      name,
      type,
      autocomplete,
      autocapitalize: 'none',
      spellcheck: 'false',
    }) as HTMLInputElement;
    return { input, drawn: h('p', { class: 'field' }, h('label', { for: id }, label), input) };
  };
  const token = field('token', 'Token', 'password', 'off');
  const user = field('user', 'User', 'text', 'username');
  const password = field('password', 'Password', 'password', 'current-password');
  const problem = h('p', { class: 'problem', role: 'alert' });
  const go = h('button', { type: 'submit', class: 'good' }, 'Sign in') as HTMLButtonElement;
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const body =
      token.input.value === ''
        ? { user: user.input.value, password: password.input.value }
        : { token: token.input.value };
    problem.textContent = '';
    go.disabled = true;
    const answer = await send('/console/login', body);
    const session = answer.ok ? await get('/api/v1/session') : null;
    go.disabled = false;
    if (!answer.ok) problem.textContent = answer.status === 401 ? 'That is not known here.' : answer.problem;
    else if (session?.ok === true) went(wanted());
    else problem.textContent = NOT_KEPT;
  };
  lay(byId('main'), [
    h('h1', {}, 'Sign in'),
    isPrivate()
      ? null
      : h(
          'div',
          { class: 'card bad' },
          h('h2', {}, 'This connection is not encrypted'),
          h(
            'p',
            {},
            'A password would be readable on its way, and the browser would not keep a session. Set tls_server_config in web.yaml, or put a proxy that ends TLS before amends and start it with --web.external-url=https://...',
          ),
        ),
    isPrivate()
      ? h(
          'form',
          { onsubmit: (event) => void submit(event), autocomplete: 'on' },
          h('fieldset', {}, h('legend', {}, 'With a token of bearer_tokens'), token.drawn),
          h('fieldset', {}, h('legend', {}, 'or as one of basic_auth_users'), user.drawn, password.drawn),
          problem,
          h('p', { class: 'buttons' }, go),
        )
      : null,
    h('p', { class: 'cli' }, 'In a terminal: ', h('code', {}, 'amends status --url=... --token-file=...')),
  ]);
  token.input.focus();
};
