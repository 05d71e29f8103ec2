// Which revision a workload would go back to, resolved before anybody is asked: "the one before" means another one as
// soon as somebody deploys.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { withCluster } from './cluster.ts';
import { called, declaredWorkload, kindName, placeOf } from './connect.ts';
import type { Revision } from './history.ts';
import { imagesOf, refuseUnseen, revisionsOf, sameVersion } from './history.ts';

const SHOWN = 10;

/** `web: shop:2 -> shop:1` for each container whose image differs. */
const changeBetween = (from: Revision, to: Revision): string => {
  const names = [from, to].flatMap(({ containers }) => containers.map(({ name }) => name));
  const imageIn = ({ containers }: Revision, name: string): string =>
    containers.find((one) => one.name === name)?.image ?? '(none)';
  const changes = [...new Set(names)]
    .filter((name) => imageIn(from, name) !== imageIn(to, name))
    .map((name) => `${name}: ${imageIn(from, name)} -> ${imageIn(to, name)}`);
  return changes.length > 0 ? changes.join(', ') : 'the same images, with other settings';
};

export default defineAction({
  summary:
    'Resolves the revision that a declared deployment, stateful set or daemon set would go back to, and says what that would change.',
  effect: 'read',
  input: z.strictObject({
    connect: declaredWorkload(),
    /** 0: the newest one that differs from the current in more than a restart. */
    revision: z.int().min(0).max(1_000_000_000).default(0),
  }),
  outputs: {
    kind: 'deployment, stateful set or daemon set',
    name: 'of the workload',
    current: 'the number of the current revision',
    current_hash: 'its hash: rollout-undo leaves no other one',
    revision: 'the number of the one to go back to',
    hash: 'its hash, by which rollout-undo knows it again',
    change: 'the images that would change, as `container: from -> to`',
    images: 'its images',
    current_images: 'the images now',
    made_at: 'when it was deployed first, RFC 3339, or empty',
    revisions: 'the newest ten: revision, images',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 30_000,
  run: ({ connect, revision: wanted }, context) =>
    withCluster(connect, context, [], async (cluster) => {
      const place = placeOf(connect);
      const found = await cluster.workload(place);
      refuseUnseen(found);
      const revisions = await revisionsOf(cluster, place, found);
      const [current] = revisions;
      const to = revisions.find((one) =>
        wanted === 0 ? current !== undefined && !sameVersion(one, current) : one.revision === wanted,
      );
      const known = revisions.map(({ revision }) => revision).join(', ') || 'none';
      if (current === undefined || to === undefined)
        throw new ActionError(
          'permanent',
          `${called(place)} has no ${wanted === 0 ? 'earlier revision' : `revision ${wanted}`}: there are ${known}; mend: is its revisionHistoryLimit 0?`,
        );
      if (to === current) throw new ActionError('permanent', `${wanted} is the current revision of ${called(place)}`);
      return {
        outputs: {
          kind: kindName(place),
          name: place.name,
          current: current.revision,
          current_hash: current.hash,
          revision: to.revision,
          hash: to.hash,
          change: changeBetween(current, to),
          images: imagesOf(to),
          current_images: imagesOf(current),
          made_at: to.madeAt,
          revisions: revisions.slice(0, SHOWN).map((one) => ({ revision: one.revision, images: imagesOf(one) })),
        },
      };
    }),
});
