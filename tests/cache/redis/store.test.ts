import type { TestContext } from 'vitest';
import { afterAll } from 'vitest';
import type { StoreSubject } from '../../contract/store.ts';
import { storeContract } from '../../contract/store.ts';
import { binaryOrSkip, redisOrSkip, startCluster, startSentinel } from '../../support/redis.ts';
import type { TestStore } from './open.ts';
import { openTestStore } from './open.ts';

const cleanup = new AsyncDisposableStack();
afterAll(() => cleanup.disposeAsync());

/** Started by the first test that needs it, for all. */
function shared(start: (context: TestContext) => Promise<StoreSubject>): (context: TestContext) => Promise<StoreSubject> {
  let subject: Promise<StoreSubject> | undefined;
  return async (context) => {
    // Each test says for itself where it had its Redis from, or why it had none.
    await binaryOrSkip(context, false);
    subject ??= start(context);
    return subject;
  };
}

/** What is under test is what stores do, not how soon beside other tests. */
const LIMIT_MS = 5_000;

async function open(url: string): Promise<TestStore> {
  const opened = cleanup.use(openTestStore(url, LIMIT_MS));
  await opened.become('up');
  return opened;
}

function subjectOf([ours, theirs]: readonly [TestStore, TestStore]): StoreSubject {
  return {
    store: ours.store,
    other: theirs.store,
    async age(name, ms) {
      const left = Number(await ours.link.ask((redis) => redis.call('pttl', name)));
      await ours.link.ask((redis) => redis.call('pexpire', name, left - ms));
    },
  };
}

const openTwo = (url: string) => Promise.all([open(url), open(url)]);

storeContract(
  'Redis',
  shared(async (context) => subjectOf(await openTwo(cleanup.use(await redisOrSkip(context)).url))),
);

storeContract(
  'Redis Cluster',
  shared(async (context) => subjectOf(await openTwo(cleanup.use(await startCluster(await binaryOrSkip(context))).url))),
);

storeContract(
  'Redis behind a sentinel, after a failover,',
  shared(async (context) => {
    const sentinel = cleanup.use(await startSentinel(await binaryOrSkip(context)));
    const stores = await openTwo(sentinel.url);
    await Promise.all([sentinel.failOver(), ...stores.map((one) => one.become('down'))]);
    await Promise.all(stores.map((one) => one.become('up')));
    return subjectOf(stores);
  }),
);
