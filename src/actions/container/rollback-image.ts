// Back to an image that is known to work: the container is replaced by one of that image, with all else as it was.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { allowContainer, containerInput, graceInput, stateOf, withEngine } from './engine.ts';
import { honestly, recreate } from './recreating.ts';
import { shownState, stateOutputs } from './steadiness.ts';

export default defineAction({
  summary: 'Replaces a declared container by one of another image that the engine has, with all else as it was.',
  effect: 'destroy',
  keeps: true,
  input: z.strictObject({
    ...containerInput,
    /** A tag, a digest or an id; it is not pulled, so that it is the one that was tried before. */
    image: z
      .string()
      .regex(/^[a-zA-Z0-9][\w./:@-]{0,511}$/, { message: 'an image: name:tag, name@sha256:... or an id' }),
    grace: graceInput,
    stable: duration.default(5_000),
  }),
  outputs: { ...stateOutputs, replaced_image: 'the id of the image that it had' },
  undo: 'container.rollback-image to replaced_image, which the step keeps as `undo.image`',
  defaultTimeout: 120_000,
  async run(input, context) {
    allowContainer(input.container, context);
    let begun = false;
    const noting = { ...context, began: () => ((begun = true), context.began()) };
    const { before, after } = await honestly(
      withEngine(input.socket, context, async (engine) => {
        const image = await engine.imageId(input.image);
        const found = stateOf(await engine.inspect(input.container));
        if (found.image === image)
          throw new ActionError(
            'permanent',
            `${input.container} runs ${input.image} already (${image}): there is nothing to roll back`,
            { outputs: { ...shownState(found), replaced_image: image } },
          );
        return recreate(engine, { name: input.container, image, graceMs: input.grace, stableMs: input.stable }, noting);
      }),
      () => begun,
      input.container,
    );
    return { outputs: { ...shownState(after), replaced_image: before.image }, undo: { image: before.image } };
  },
});
