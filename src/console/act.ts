// What a person does here: a button, a window that says what it means and asks why, one POST. Nothing happens by a link.
import { send, text } from './api.ts';
import type { Answer, Session } from './api.ts';
import { byId, h } from './dom.ts';
import { fresh, quoted } from './parts.ts';
import type { Drawn } from './parts.ts';

const ROLES: readonly string[] = ['viewer', 'operator', 'approver', 'admin'];
const NAME = 'amends.name';

let session: Session | null = null;
let changed: () => void = () => undefined;
export const actAs = (who: Session | null, afterwards: () => void): void => {
  session = who;
  changed = afterwards;
};

const may = (role: string): boolean => session !== null && ROLES.indexOf(session.role) >= ROLES.indexOf(role);

export type Act = {
  readonly verb: string;
  readonly title: string;
  readonly role: 'operator' | 'approver';
  readonly tone?: 'bad' | 'good';
  /** What it does, in sentences. */
  readonly means: readonly Drawn[];
  /** What is asked; null: nothing. `key` is its name in the API and, with dashes, on the command line. */
  readonly reason: { readonly label: string; readonly key: 'reason' | 'comment'; readonly needed: boolean } | null;
  readonly duration?: boolean;
  /** Only asked where nobody signs in. */
  readonly needsName?: boolean;
  readonly command: string;
  readonly path: string;
  readonly body?: object;
  readonly said: string;
};

const remembered = (): string => {
  try {
    return localStorage.getItem(NAME) ?? '';
  } catch {
    return '';
  }
};
const remember = (name: string): void => {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // Asked again the next time.
  }
};

/** The button, or who may. */
export const actButton = (act: Act, about = ''): HTMLElement => {
  const label = about === '' ? act.verb : `${act.verb}: ${about}`;
  return may(act.role)
    ? h(
        'button',
        {
          type: 'button',
          class: act.tone ?? '',
          'aria-label': label,
          'aria-haspopup': 'dialog',
          key: label,
          onclick: () => open(act),
        },
        act.verb,
      )
    : h('span', { class: 'hint', key: label }, `${act.verb} needs the role ${act.role}.`);
};

export const say = (words: string): void => {
  byId('said').textContent = words;
};

type Values = { readonly reason: string; readonly name: string; readonly duration: string };

const commandOf = (act: Act, { reason, name, duration }: Values): string =>
  [
    act.command,
    ...(duration === '' ? [] : [`--for=${duration}`]),
    ...(act.reason === null || reason === '' ? [] : [`--${act.reason.key}=${quoted(reason)}`]),
    ...(name === '' ? [] : [`--by=${quoted(name)}`]),
  ].join(' ');

const open = (act: Act): void => {
  const before = document.activeElement;
  const field = (
    name: string,
    label: string,
    value: string,
    more: object,
  ): { readonly input: HTMLInputElement; readonly drawn: HTMLElement } => {
    const id = fresh();
    const input = h('input', {
      id,
      name,
      type: 'text',
      value,
      autocomplete: 'off',
      maxlength: 512,
      ...more,
    }) as HTMLInputElement;
    return { input, drawn: h('p', { class: 'field' }, h('label', { for: id }, label), input) };
  };
  const { label = '', needed = false } = act.reason ?? {};
  const reason = field('reason', `${label}${needed ? '' : ' (may be left out)'}`, '', { required: needed });
  const needsName = session?.local === true && act.needsName === true;
  const who = session?.local === true || session === null ? 'Your name' : `Your name, recorded as ${session.name}/...`;
  const name = field('name', needsName ? who : `${who} (may be left out)`, remembered(), {
    required: needsName,
    maxlength: 100,
    autocomplete: 'name',
  });
  const duration = field('duration', 'For how long, such as 2h (until it is enabled again when left out)', '', {
    pattern: '[0-9]+(ms|s|m|h|d|w)([0-9]+(ms|s|m|h|d|w))*',
  });
  const values = (): Values => ({
    reason: reason.input.value.trim(),
    name: name.input.value.trim(),
    duration: duration.input.value.trim(),
  });
  const command = h('code', {}, commandOf(act, values()));
  const problem = h('p', { class: 'problem', role: 'alert' });
  const go = h('button', { type: 'submit', class: act.tone ?? '' }, act.verb) as HTMLButtonElement;
  const title = fresh();
  const close = (): void => dialog.close();
  const dialog = h(
    'dialog',
    { 'aria-labelledby': title, onclose: () => gone() },
    h(
      'form',
      { onsubmit: (event) => void submit(event), oninput: () => void (command.textContent = commandOf(act, values())) },
      h('h2', { id: title, tabindex: -1 }, act.title),
      act.means.map((one) => (typeof one === 'string' ? h('p', {}, one) : one)),
      act.reason === null ? null : reason.drawn,
      act.duration === true ? duration.drawn : null,
      name.drawn,
      problem,
      h('p', { class: 'buttons' }, go, h('button', { type: 'button', onclick: close }, 'Back')),
      h('p', { class: 'cli' }, 'The same in a terminal: ', command),
    ),
  ) as HTMLDialogElement;
  const gone = (): void => {
    dialog.remove();
    // What was pressed may be gone with what it did.
    if (before instanceof HTMLElement && before.isConnected) before.focus();
    else byId('main').focus();
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const given = values();
    if (given.name !== '') remember(given.name);
    go.disabled = true;
    problem.textContent = '';
    const answer = await send(act.path, {
      ...act.body,
      ...(act.reason === null || given.reason === '' ? {} : { [act.reason.key]: given.reason }),
      ...(given.name === '' ? {} : { by: given.name }),
      ...(given.duration === '' ? {} : { for: given.duration }),
    });
    go.disabled = false;
    finish(answer);
  };
  const finish = (answer: Answer): void => {
    if (!answer.ok) {
      problem.textContent =
        answer.status === 0
          ? `No answer: it is not known whether it was done. Look before you try again, or use the terminal.`
          : `Not done: ${answer.problem}`;
      changed();
      return;
    }
    const state = text(answer.body['state']);
    say(state === '' ? act.said : `${act.said} The run is ${state.replaceAll('_', ' ')}.`);
    close();
    changed();
  };
  document.body.append(dialog);
  dialog.showModal();
  // A keyboard that comes up would cover what is to be read first.
  if (needed) reason.input.focus();
  else byId(title).focus();
};
