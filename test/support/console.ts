// The pages of the console that dashboards and alerts lead people to: as routes, once amends has them.
import { ROUTES } from '../../src/http/routes.ts';

/** In the manner of routes: `:name` stands for one segment. Others link to them, so none is ever renamed. */
const PAGES = [
  '/console',
  '/console/approvals',
  '/console/components',
  '/console/components/:name',
  '/console/decisions',
  '/console/inbox',
  '/console/rules',
  '/console/runs',
] as const;

const routes = new Set(ROUTES.map(({ path }) => path));
const served = PAGES.filter((page) => routes.has(page));

/** Pages that a link may lead to, without those that amends turned out not to serve. */
const pages = served.length === 0 ? PAGES : served;

/** Filters that these lists know: those of the API, by the same names. */
const FILTERS = new Set(['component', 'target', 'reason', 'rule', 'strategy', 'state', 'outcome', 'status']);

/** Whether `link`, without the address of amends, leads to a page; what a label or a variable stands for is one segment. */
export const leadsToConsole = (link: string): boolean => {
  const filled = link.replaceAll(/\$\{[^}]+\}|\{\{[^}]+\}\}/g, 'x');
  const { pathname, searchParams } = new URL(filled, 'http://amends');
  const segments = pathname.split('/');
  const known = pages.some((page) => {
    const own = page.split('/');
    return own.length === segments.length && own.every((part, at) => part.startsWith(':') || part === segments[at]);
  });
  return known && [...searchParams.keys()].every((name) => FILTERS.has(name));
};
