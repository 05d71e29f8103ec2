// The receiver that is always there.
import { z } from 'zod';
import { defineNotifier } from '../port/notifier.ts';

export default defineNotifier({
  summary: 'Writes notifications to the log.',
  settings: z.strictObject({}),
  async send(_settings, notification, { log }) {
    const where = [notification.component, notification.target].filter((part) => part !== null).join(' ');
    log(
      [notification.severity ?? notification.topic, where, notification.title, notification.url ?? '']
        .filter((part) => part !== '')
        .join(' | '),
    );
  },
});
