// Whether what is shown is true now. Changes come by the event stream, of which every sign of life counts, its comments too: a
// phone that moved to another network hears nothing, and nobody tells it so. While there is no stream the page asks by itself.
import { after, now } from './clock.ts';

/** A comment comes every 15 s. */
const SILENCE_MS = 20_000;
const AGAIN_MS = 2_000;
const LONGEST_AGAIN_MS = 15_000;

export type Live = {
  /** Whether the stream is open and heard. */
  isLive(): boolean;
  /** Tries now: somebody looks again, or the network is back. */
  wake(): void;
  stop(): void;
};

type Listener = {
  /** Something changed. */
  changed(): void;
  /** Sign of life. */
  heard(): void;
  /** It opened or was lost. */
  turned(): void;
};

export const follow = (listener: Listener): Live => {
  let live = false;
  let wait = AGAIN_MS;
  let lastId: string | null = null;
  let controller: AbortController | null = null;
  let cancel: () => void = () => undefined;
  let stopped = false;

  const turn = (to: boolean): void => {
    if (live === to) return;
    live = to;
    listener.turned();
  };
  const again = (): void => {
    if (stopped) return;
    cancel();
    cancel = after(wait, () => void open());
    wait = Math.min(LONGEST_AGAIN_MS, wait * 2);
  };
  const open = async (): Promise<void> => {
    cancel();
    controller?.abort();
    const own = new AbortController();
    controller = own;
    let heardAt = now();
    const silence = (): void => {
      if (now() - heardAt > SILENCE_MS) own.abort();
      else cancelSilence = after(1_000, silence);
    };
    let cancelSilence = after(1_000, silence);
    try {
      const query = lastId === null ? '' : `?last_event_id=${encodeURIComponent(lastId)}`;
      const response = await fetch(`/api/v1/events/stream${query}`, { signal: own.signal, credentials: 'same-origin' });
      if (!response.ok || response.body === null) throw new Error(String(response.status));
      wait = AGAIN_MS;
      turn(true);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        heardAt = now();
        listener.heard();
        const frames = (rest + value).split('\n\n');
        rest = frames.pop() ?? '';
        for (const frame of frames) {
          const field = (name: string): string | null => new RegExp(`^${name}: (.*)$`, 'm').exec(frame)?.[1] ?? null;
          lastId = field('id') ?? lastId;
          if (field('event') !== null) listener.changed();
        }
      }
    } catch {
      // Lost, or never had: both are told by the banner.
    } finally {
      cancelSilence();
      if (controller === own) {
        controller = null;
        turn(false);
        again();
      }
    }
  };
  void open();
  return {
    isLive: () => live,
    wake() {
      if (live || stopped) return;
      wait = AGAIN_MS;
      void open();
    },
    stop() {
      stopped = true;
      cancel();
      const last = controller;
      controller = null;
      last?.abort();
      turn(false);
    },
  };
};
