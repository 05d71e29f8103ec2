// A real Chromium, as a person holds it: a phone or a desktop, light or dark. One process serves a test file; each page has a
// profile of its own, and everything that its console or its policy complained about is kept.
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { binaryOf, itWith } from './requires.ts';

/** A browser and an amends are started: on a machine that has other work that takes its time. */
const PATIENCE_MS = 90_000;
const itWithChromium = itWith('chromium');
export const itOnChromium = (name: string, body: () => unknown, timeout = PATIENCE_MS): void =>
  itWithChromium(name, body, timeout);

const PHONE = { width: 360, height: 740 };
export const DESKTOP = { width: 1280, height: 900 };

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Other names for this machine, as a stranger's page and a proxy have them.
  '--host-resolver-rules=MAP *.example 127.0.0.1',
];

export type Held = {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors, refusals of the content security policy, and windows that a script put up. */
  readonly complaints: string[];
};

export type Hands = {
  take(given?: {
    readonly size?: { readonly width: number; readonly height: number };
    readonly dark?: boolean;
    readonly javaScript?: boolean;
  }): Promise<Held>;
  close(): Promise<void>;
};

export const createHands = (): Hands => {
  let starting: Promise<Browser> | null = null;
  const browser = (): Promise<Browser> =>
    (starting ??= chromium.launch({ executablePath: binaryOf('chromium') ?? 'chromium', args: FLAGS }));
  return {
    async take({ size = PHONE, dark = false, javaScript = true } = {}) {
      const context = await (
        await browser()
      ).newContext({
        viewport: size,
        colorScheme: dark ? 'dark' : 'light',
        javaScriptEnabled: javaScript,
        hasTouch: size === PHONE,
        isMobile: size === PHONE,
        timezoneId: 'Europe/Berlin',
      });
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on('dialog', (dialog) => {
        complaints.push(`dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
      page.on('console', (message) => {
        // What the network did not give is told by the page itself.
        if (message.type() === 'error' && !/Failed to load resource|net::ERR_/.test(message.text()))
          complaints.push(`console: ${message.text()}`);
      });
      return { page, context, complaints };
    },
    async close() {
      await (await starting)?.close();
    },
  };
};
