// The page of whoever is on call: shows one view, keeps it true, and says so when it cannot.
import { get, setCsrf, text } from './api.ts';
import type { Answer, Row, Session } from './api.ts';
import { actAs, actButton, say } from './act.ts';
import { halt } from './acts.ts';
import { absolute, after, every, now, span, tick } from './clock.ts';
import { component } from './component.ts';
import { decision } from './decision.ts';
import { byId, h, lay } from './dom.ts';
import { follow } from './live.ts';
import type { Live } from './live.ts';
import { approvals, components, decisions, inbox, rules, runs } from './lists.ts';
import { showLogin } from './login.ts';
import { isHalted, overview, waitingOf } from './overview.ts';
import { cli } from './parts.ts';
import type { Drawn } from './parts.ts';
import { run } from './run.ts';
import { signOut } from './sign-out.ts';
import type { View } from './view.ts';

const VIEWS: readonly View[] = [
  overview,
  approvals,
  runs,
  run,
  decisions,
  decision,
  components,
  component,
  inbox,
  rules,
];
const NAVIGATION: ReadonlyArray<readonly [string, string]> = [
  ['', 'Overview'],
  ['/approvals', 'Approvals'],
  ['/runs', 'Runs'],
  ['/decisions', 'Decisions'],
  ['/components', 'Components'],
  ['/inbox', 'Inbox'],
  ['/rules', 'Rules'],
];

/** Changes of one moment are read together. */
const GATHER_MS = 300;
/** However much happens: a phone reads no faster. */
const APART_MS = 1_000;
/** While there is no stream. */
const ASK_MS = 10_000;
/** With a stream too: a countdown that ended, a cooldown that is over tell nobody. */
const LOOK_MS = 30_000;
/** A sign of life comes every 15 s. */
const STALE_MS = 25_000;

type Shown = { readonly view: View; readonly parameters: readonly string[] };

let session: Session | null = null;
let shown: Shown | null = null;
let live: Live | null = null;
/** When what is shown was known to be so. */
let freshAt = 0;
let lost = false;
let askedAt = 0;
let reading: Shown | null = null;
let cancelRefresh: (() => void) | null = null;
let waiting: number | null = null;
let halted: boolean | null = null;

// ---- the frame -----------------------------------------------------------------------------------------------------

const frame = (): void => {
  const here = location.pathname.replace(/^\/console/, '');
  lay(byId('top'), [
    h('p', { class: 'brand' }, h('a', { href: '/console' }, 'amends')),
    h('p', { class: `link ${lost ? 'bad' : live?.isLive() === true ? 'good' : 'warn'}`, id: 'link' }, linkWords()),
    halted === true
      ? h('a', { class: 'halted', href: '/console' }, 'HALTED')
      : session === null
        ? null
        : actButton({ ...halt, verb: 'Halt' }, 'everything'),
    h(
      'nav',
      { 'aria-label': 'Pages' },
      h(
        'ul',
        {},
        NAVIGATION.map(([to, label]) =>
          h(
            'li',
            { key: to },
            h(
              'a',
              { href: `/console${to}`, 'aria-current': here === to ? 'page' : null },
              label,
              to !== '' || waiting === null || waiting === 0 ? '' : ` (${waiting})`,
            ),
          ),
        ),
      ),
    ),
  ]);
};

const linkWords = (): string => (lost ? 'Not connected' : live?.isLive() === true ? 'Live' : 'Asks every 10 s');

const banner = (): void => {
  const age = now() - freshAt;
  const stale = lost || (freshAt > 0 && age > STALE_MS);
  document.body.classList.toggle('stale', stale && freshAt > 0);
  lay(
    byId('banner'),
    !stale || freshAt === 0
      ? []
      : [
          h(
            'p',
            {},
            h('strong', {}, `Not updated since ${absolute(freshAt)}`),
            ` - ${span(age)} ago. What you see may be wrong.`,
          ),
          h(
            'p',
            {},
            'amends does not answer, or this network is gone. Trying again. ',
            h('button', { type: 'button', onclick: () => again() }, 'Try now'),
          ),
          cli('amends status'),
        ],
  );
};

/** A banner that is laid again each second would be read out each second. */
const keepBanner = (): void => {
  const stale = lost || (freshAt > 0 && now() - freshAt > STALE_MS);
  const isThere = byId('banner').firstChild !== null;
  if (stale !== isThere) {
    banner();
    frame();
  }
};

// ---- what is shown -------------------------------------------------------------------------------------------------

const find = (): Shown | null => {
  const rest = location.pathname.replace(/^\/console\/?/, '/').replace(/\/$/, '');
  for (const view of VIEWS) {
    const parameters = view.path.exec(rest)?.slice(1).map(decoded);
    if (parameters?.every((part) => part !== null) === true) return { view, parameters };
  }
  return null;
};

/** Null: it is no address that anything of ours has. */
const decoded = (part: string): string | null => {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
};

const put = (title: string, drawn: readonly Drawn[]): void => {
  document.title = `${halted === true ? 'HALTED - ' : waiting === null || waiting === 0 ? '' : `(${waiting}) `}${title} - amends`;
  lay(byId('main'), drawn);
};

const refused = (answer: Extract<Answer, { ok: false }>): readonly Drawn[] => [
  h('h1', {}, answer.status === 404 ? 'There is no such thing' : 'This could not be read'),
  h('p', { class: 'error' }, answer.problem),
  h('p', {}, h('a', { href: '/console' }, 'Overview')),
  cli('amends status'),
];

/** Reads anew what is shown. Never twice at once: of two answers on a slow network the older might come last. */
const refresh = async (): Promise<void> => {
  cancelRefresh = null;
  if (shown === null) return;
  if (reading === shown) {
    soon();
    return;
  }
  reading = shown;
  await read().finally(() => (reading = null));
};

const read = async (): Promise<void> => {
  const asked = shown;
  if (asked === null) return;
  askedAt = now();
  const [answer, standing] = await Promise.all([
    asked.view.load(asked.parameters, new URLSearchParams(location.search)),
    asked.view === overview ? null : get('/api/v1/halt'),
  ]);
  if (asked !== shown) return;
  if (!answer.ok && answer.status === 401) {
    leave();
    return;
  }
  const silent = !answer.ok && (answer.status === 0 || answer.status >= 500);
  if (silent) {
    lost = true;
    if (freshAt === 0) put(asked.view.title(asked.parameters), refused(answer));
    banner();
    frame();
    return;
  }
  lost = false;
  freshAt = now();
  if (answer.ok) {
    note(asked.view, answer.body, standing);
    put(asked.view.title(asked.parameters), asked.view.draw(answer.body, asked.parameters));
  } else put('Not found', refused(answer));
  banner();
  frame();
};

/** What the frame shows wherever one is, and what is said aloud. */
const note = (view: View, body: Row, standing: Answer | null): void => {
  const [before, wasHalted] = [waiting, halted];
  // Only the overview counts them: an old number is worse than none.
  waiting = view === overview ? waitingOf(body) : null;
  if (view === overview) halted = isHalted(body);
  else if (standing?.ok === true) halted = standing.body['on'] === true;
  if (wasHalted !== null && wasHalted !== halted) say(halted === true ? 'amends is halted.' : 'amends goes on.');
  else if (before !== null && waiting !== null && waiting > before) say(`${waiting} things wait for you.`);
};

const soon = (): void => {
  cancelRefresh ??= after(Math.max(GATHER_MS, askedAt + APART_MS - now()), () => void refresh());
};

const again = (): void => {
  live?.wake();
  soon();
};

const show = (focus: boolean): void => {
  const found = find();
  shown = found;
  frame();
  if (found === null) {
    put('Not found', [h('h1', {}, 'There is no such page'), h('p', {}, h('a', { href: '/console' }, 'Overview'))]);
    return;
  }
  lay(byId('main'), [h('p', { class: 'empty' }, 'Reading...')]);
  if (focus) {
    byId('main').focus();
    scrollTo(0, 0);
  }
  void refresh();
};

const go = (to: string): void => {
  history.pushState(null, '', to);
  if (session === null) void begin();
  else show(true);
};

/** Links within the console change what is shown, and keep the stream. */
const onClick = (event: MouseEvent): void => {
  const anchor = event.target instanceof Element ? event.target.closest('a') : null;
  if (
    anchor === null ||
    event.defaultPrevented ||
    event.button !== 0 ||
    event.metaKey ||
    event.ctrlKey ||
    event.shiftKey ||
    event.altKey
  )
    return;
  const to = new URL(anchor.href, location.href);
  if (to.origin !== location.origin || !/^\/console(\/|$)/.test(to.pathname) || to.hash !== '') return;
  event.preventDefault();
  if (session !== null) go(to.pathname + to.search);
};

// ---- who is here ---------------------------------------------------------------------------------------------------

const leave = (): void => {
  session = null;
  shown = null;
  live?.stop();
  live = null;
  setCsrf(null);
  if (location.pathname !== '/console/login')
    history.replaceState(null, '', `/console/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  showLogin(go);
};

const begin = async (): Promise<void> => {
  const answer = await get('/api/v1/session');
  if (!answer.ok && answer.status === 401) {
    leave();
    return;
  }
  if (!answer.ok) {
    put('amends', refused(answer));
    after(3_000, () => void begin());
    return;
  }
  const { name, role, local, csrf } = answer.body;
  session = { name: text(name), role: text(role), local: local === true, csrf: typeof csrf === 'string' ? csrf : null };
  setCsrf(session.csrf);
  actAs(session, soon);
  signOut(session, leave);
  if (location.pathname === '/console/login') history.replaceState(null, '', '/console');
  live = follow({
    changed: soon,
    heard: () => {
      if (!lost && cancelRefresh === null && reading === null) freshAt = Math.max(freshAt, freshAt === 0 ? 0 : now());
    },
    turned: () => {
      frame();
      soon();
    },
  });
  show(false);
};

addEventListener('popstate', () => (session === null ? void begin() : show(true)));
addEventListener('online', again);
addEventListener('offline', () => void refresh());
document.addEventListener('click', onClick);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState !== 'visible') return;
  keepBanner();
  again();
});
every(1_000, () => {
  tick();
  keepBanner();
  const wait = live?.isLive() === true && !lost ? LOOK_MS : lost ? 5_000 : ASK_MS;
  if (session !== null && shown !== null && now() - askedAt > wait && document.visibilityState === 'visible') soon();
});
void begin();
