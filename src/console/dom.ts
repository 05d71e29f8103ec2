// The page is made of elements and text, never of HTML: whatever a label says, it is read and not run. A view is built anew
// each time and laid over what is there, so that focus, scrolling and half-typed words stay.
type Child = Node | string | number | null | undefined | false | readonly Child[];
type Handler = (event: Event) => void;
type Value = string | number | boolean | null | undefined | Handler;
export type Attributes = Readonly<Record<string, Value>>;

/** What an element does is not an attribute: kept beside it, and taken over with the rest. */
const handlers = new WeakMap<Element, Map<string, Handler>>();

/** An element that lost what it did and got it again is still listened to: twice, and a click would act twice. */
const listened = new WeakMap<Element, Set<string>>();

const listen = (element: Element, type: string): void => {
  const types = listened.get(element) ?? new Set<string>();
  listened.set(element, types);
  if (types.has(type)) return;
  types.add(type);
  element.addEventListener(type, (event) => handlers.get(element)?.get(type)?.(event));
};

/** Only pages of this server and of the web are linked to. */
const isSafeLink = (text: string): boolean => {
  if (!URL.canParse(text, location.href)) return false;
  return ['http:', 'https:'].includes(new URL(text, location.href).protocol);
};

/** `onclick` and its like take functions, never text; `key` says which element of a list it is. */
export const h = (tag: string, attributes: Attributes = {}, ...children: readonly Child[]): HTMLElement => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') {
      const own = handlers.get(element) ?? new Map<string, Handler>();
      own.set(name.slice(2), value);
      handlers.set(element, own);
      listen(element, name.slice(2));
    } else if (name === 'key') element.dataset['key'] = String(value);
    else if (name !== 'href' || isSafeLink(String(value)))
      element.setAttribute(name, value === true ? '' : String(value));
  }
  add(element, children);
  return element;
};

const add = (element: Element, children: readonly Child[]): void => {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Node) element.append(child);
    else if (typeof child === 'string' || typeof child === 'number')
      element.append(document.createTextNode(String(child)));
    else add(element, child);
  }
};

/** Makes the children of `parent` be `wanted`, keeping what is the same. */
export const lay = (parent: Element, wanted: readonly Child[]): void => {
  const made = document.createElement('div');
  add(made, wanted);
  layNodes(parent, [...made.childNodes]);
};

const isSame = (old: Node, fresh: Node): boolean =>
  old.nodeType === fresh.nodeType &&
  old.nodeName === fresh.nodeName &&
  (!(old instanceof HTMLElement) || old.dataset['key'] === (fresh as HTMLElement).dataset['key']);

const layNodes = (parent: Element, wanted: readonly Node[]): void => {
  let at: ChildNode | null = parent.firstChild;
  for (const fresh of wanted) {
    let found: ChildNode | null = at;
    while (found !== null && !isSame(found, fresh)) found = found.nextSibling;
    if (found === null) {
      parent.insertBefore(fresh, at);
      continue;
    }
    if (found === at) at = at.nextSibling;
    else parent.insertBefore(found, at);
    layOver(found, fresh);
  }
  while (at !== null) {
    const next: ChildNode | null = at.nextSibling;
    at.remove();
    at = next;
  }
};

/** What a person did to the element stays as they left it. */
const THEIRS: ReadonlySet<string> = new Set(['open', 'value']);

const layOver = (old: Node, fresh: Node): void => {
  if (!(old instanceof Element) || !(fresh instanceof Element)) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const name of old.getAttributeNames())
    if (!fresh.hasAttribute(name) && !THEIRS.has(name)) old.removeAttribute(name);
  for (const name of fresh.getAttributeNames()) {
    const value = fresh.getAttribute(name) ?? '';
    if (old.getAttribute(name) !== value && !THEIRS.has(name)) old.setAttribute(name, value);
  }
  const after = handlers.get(fresh);
  if (after === undefined) handlers.delete(old);
  else {
    handlers.set(old, after);
    for (const type of after.keys()) listen(old, type);
  }
  layNodes(old, [...fresh.childNodes]);
};

export const byId = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
};
