// The routes of the console. Other pages and messages link to these: none is ever renamed.
import { z } from 'zod';
import type { Route } from './routes.ts';

export const loginBody = z.union([
  z.strictObject({ token: z.string().trim().min(1).max(4_096) }),
  z.strictObject({ user: z.string().trim().min(1).max(256), password: z.string().min(1).max(1_024) }),
]);

/** The page is the same for all of them, and has nothing of ours in it. */
const page = (id: string, path: string, summary: string): Route => ({
  id,
  method: 'GET',
  path: path === '' ? '/console' : `/console/${path}`,
  role: 'anyone',
  summary,
});

export const CONSOLE_ROUTES: readonly Route[] = [
  { id: 'root', method: 'GET', path: '/', role: 'anyone', summary: 'Leads to the console.' },
  page('console', '', 'What is wrong or waits for somebody, what runs, what was decided: for a browser.'),
  page('console-approvals', 'approvals', 'Runs that wait for a yes or a no.'),
  page('console-runs', 'runs', 'The newest runs.'),
  page('console-run', 'runs/:id', 'One run, step by step.'),
  page('console-decisions', 'decisions', 'What was decided, and why.'),
  page('console-decision', 'decisions/:id', 'One decision, and what would have to change.'),
  page('console-components', 'components', 'All components, and how they stand.'),
  page('console-component', 'components/:name', 'One component.'),
  page('console-inbox', 'inbox', 'What waits for a human.'),
  page('console-rules', 'rules', 'The rules that are loaded.'),
  page('console-login', 'login', 'Where a browser signs in.'),
  page('console-script', 'console.js', 'The script of the console.'),
  page('console-style', 'console.css', 'The style of the console.'),
  {
    id: 'login',
    method: 'POST',
    path: '/console/login',
    role: 'anyone',
    summary: 'Begins a session of a browser with a token, or a user and password. From a page of amends alone.',
    body: loginBody,
  },
  {
    id: 'logout',
    method: 'POST',
    path: '/console/logout',
    role: 'viewer',
    summary: 'Ends the session of this browser.',
    body: z.strictObject({}),
  },
];
