// Imported before any schema is made: a schema reads what it is given step by step. To compile each into a function of its
// own is worth it for one that is used a thousand times, and takes a tenth of a second of every start.
import { config } from 'zod';

config({ jitless: true });
