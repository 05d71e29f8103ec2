// Tells applications that they can count on everything again.
import { switching } from './switching.ts';

export default switching(false, { summary: 'Clears a degraded mode.', undo: 'degrade.set with the same mode' });
