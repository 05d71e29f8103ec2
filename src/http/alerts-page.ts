// The page behind the runbook_url of the alerts about amends itself: docs/alerts.md as a person reads it in any browser. Only
// what that file is written in is understood: headings, paragraphs, numbered lists, and code in backticks.
import { readFile } from 'node:fs/promises';
import { escaped } from './runbook-page.ts';

const SOURCE = new URL('../../docs/alerts.md', import.meta.url);

export const alertsPage = async (): Promise<string> => pageOf(await readFile(SOURCE, 'utf8'));

const inline = (text: string): string =>
  escaped(text.replaceAll('\n', ' ')).replaceAll(/`([^`]+)`/g, (_, code: string) => `<code>${code}</code>`);

const heading = (block: string): string | null => {
  const [, marks = '', title = ''] = /^(#{1,3}) (.+)$/.exec(block) ?? [];
  if (marks === '') return null;
  const level = marks.length;
  const id = title.toLowerCase().replaceAll(/[^\w]+/g, '-');
  return `<h${level} id="${id}">${inline(title)}</h${level}>`;
};

const items = (block: string): string | null =>
  block.startsWith('1. ')
    ? `<ol>${block
        .split(/^\d+\. /m)
        .slice(1)
        .map((item) => `<li>${inline(item.trim())}</li>`)
        .join('')}</ol>`
    : null;

const pageOf = (markdown: string): string =>
  [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<title>Alerts about amends itself</title>',
    '</head>',
    '<body>',
    ...markdown
      .trim()
      .split(/\n{2,}/)
      .map((block) => heading(block) ?? items(block) ?? `<p>${inline(block)}</p>`),
    '</body>',
    '</html>',
    '',
  ].join('\n');
