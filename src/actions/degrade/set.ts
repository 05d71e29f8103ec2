// Tells applications what they cannot count on for now.
import { switching } from './switching.ts';

export default switching(true, {
  summary: 'Sets a degraded mode of the configuration, which applications can read.',
  undo: 'degrade.clear with the same mode',
});
