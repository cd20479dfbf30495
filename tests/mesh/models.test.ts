/** Models that come into memory and leave it on real nodes, by requests, by the client library and by the command line. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../client/index.ts';
import { ModelState } from '../../client/index.ts';
import { events, infermesh } from '../cli/run.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh, TOKEN } from '../support/mesh.ts';
import type { Versions } from '../support/versions.ts';
import { twoVersions } from '../support/versions.ts';
import { expectAtRest } from './rest.ts';

const { MODEL_STATE_LOADABLE: LOADABLE, MODEL_STATE_SERVING: SERVING } = ModelState;

/** Each is generated. */
const FRESH = { cache: { mode: 'bypass' } } as const;

let mesh: TestMesh;

afterEach(() => expectAtRest(mesh));
afterAll(() => mesh[Symbol.asyncDispose]());

const stateOf = async (model: string) =>
  (await mesh.client.nodes()).flatMap(({ loads }) => loads).find((load) => load.model === model)?.state;
const is = (model: string, state: ModelState) =>
  mesh.until((nodes) => nodes.some(({ loads }) => loads.some((load) => load.model === model && load.state === state)));

async function ends(steps: AsyncIterable<{ readonly stage: string; readonly fault: Fault | undefined }>) {
  const all = await Array.fromAsync(steps);
  return all.map(({ stage, fault }) => fault?.reason ?? stage).at(-1);
}

/** Asks without a pause until it is told to stop. @returns how often it was answered, and what went wrong */
function asking(model: string | undefined, maxTokens: number) {
  let stopped = false;
  const work = async () => {
    const answered: string[] = [];
    const faults: string[] = [];
    while (!stopped) {
      const asked = { messages: 'Once upon a time', maxTokens, ...FRESH, ...(model ? { model } : {}) };
      await mesh.client.ask(asked).then(
        ({ started }) => answered.push(started.model),
        ({ reason, message }: Fault) => faults.push(`${reason}: ${message}`),
      );
    }
    return { answered, faults };
  };
  const results = Promise.all([work(), work(), work()]);
  return async () => {
    stopped = true;
    const all = await results;
    return { answered: all.flatMap(({ answered }) => answered), faults: all.flatMap(({ faults }) => faults) };
  };
}

describe('a node with two models', () => {
  beforeAll(async () => {
    const flags = ['--on-demand', 'b,c'];
    const node = { engine: 'replay', model: 'a', id: 'shelf', replay: 'rate=200,length=40', flags } as const;
    mesh = await startMesh({ nodes: [node], connect: { apiKey: TOKEN } });
  });

  const command = (...args: string[]) =>
    infermesh(['models', ...args, '--router', mesh.address, '--api-key-file', mesh.tokenFile, '--json']);

  it('loads the one that a request asks for, and answers it', async () => {
    expect(await stateOf('b')).toBe(LOADABLE);
    const { started } = await mesh.client.ask({ messages: 'hello', model: 'b' });
    expect(started).toMatchObject({ node: 'shelf', model: 'b' });
    expect(await stateOf('b')).toBe(SERVING);
    expect(mesh.router.output()).toMatch(/"event":"model_wanted".*"model":"b"/);
  });

  it('is told what to have in memory by the command line, which says what became of it', async () => {
    const unloaded = await command('unload', 'b');
    expect(unloaded.code).toBe(0);
    expect(events(unloaded.stdout).at(-1)).toEqual({ node: 'shelf', model: 'b', stage: 'done', fraction: 1 });
    await is('b', LOADABLE);
    const loaded = await command('load', 'b', '--node', 'shelf', '--slots', '2');
    expect(events(loaded.stdout).at(-1)).toMatchObject({ stage: 'done' });
    const [node] = await mesh.client.nodes();
    expect(node?.models.find(({ name }) => name === 'b')?.slots).toBe(2);
    const swapped = await command('swap', 'b', 'c');
    expect(events(swapped.stdout).at(-1)).toMatchObject({ model: 'c', stage: 'done' });
    await is('b', LOADABLE);
    expect(await stateOf('c')).toBe(SERVING);
    const failed = await command('load', 'no-such-model');
    expect(failed.code).toBe(1);
    expect(events(failed.stdout).at(-1)).toMatchObject({ stage: 'failed', reason: 'MODEL_NOT_FOUND' });
    await ends(mesh.client.unloadModel('c'));
  });

  it('swaps them again and again under load, and no request fails', async () => {
    const stop = asking(undefined, 40);
    for (const [from, to] of [
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
    ] as const) {
      expect(await ends(mesh.client.swapModel(from, to))).toBe('done');
    }
    const { answered, faults } = await stop();
    expect(faults).toEqual([]);
    expect(new Set(answered).size).toBeGreaterThan(1);
  });

  it('gives a stream that its model leaves behind to the same model when that is loaded again', async () => {
    let text = '';
    let left: Promise<unknown> | undefined;
    for await (const event of mesh.client.chat({ messages: 'hello', model: 'a', maxTokens: 40 })) {
      if (event.type !== 'delta') continue;
      text += event.text;
      left ??= ends(mesh.client.unloadModel('a', { limitMs: 0 }));
    }
    expect(await left).toBe('done');
    const whole = await mesh.client.ask({ messages: 'hello', model: 'a', maxTokens: 40, ...FRESH });
    expect(text).toBe(whole.text);
    expect(await stateOf('a')).toBe(SERVING);
  });
});

describe('two versions of one model', () => {
  let versions: Versions;

  beforeAll(async () => {
    await mesh[Symbol.asyncDispose]();
    versions = twoVersions();
    const flags = ['--on-demand', 'all-minilm-l6-v2'];
    const node = { model: versions.model, id: 'engine', env: versions.env, flags };
    mesh = await startMesh({ nodes: [node], connect: { apiKey: TOKEN } });
  });
  afterAll(() => versions[Symbol.dispose]());

  const digest = async () => {
    const models = (await mesh.client.nodes())[0]?.models ?? [];
    return models.filter(({ name }) => name === versions.model).map((model) => [model.name, model.digest]);
  };

  it('stay while another model is loaded beside, which makes vectors', async () => {
    const { model, dimensions } = await mesh.client.embed(['a fox', 'an owl'], { deadlineMs: 60_000 });
    expect({ model, dimensions }).toEqual({ model: 'all-minilm-l6-v2', dimensions: 384 });
    expect(await stateOf(versions.model)).toBe(SERVING);
  }, 120_000);

  it('are swapped under load, and who asks by name notices nothing', async () => {
    const { model, names, digests } = versions;
    const stop = asking(model, 24);
    const [[, begun]] = (await digest()) as [string, string][] as [[string, string]];
    const other = begun === digests[0] ? 1 : 0;
    expect(await ends(mesh.client.swapModel(model, names[other]))).toBe('done');
    expect(await digest()).toEqual([[model, digests[other]]]);
    expect(await ends(mesh.client.swapModel(names[other], names[1 - other] as string))).toBe('done');
    const { answered, faults } = await stop();
    expect(faults).toEqual([]);
    expect(answered.length).toBeGreaterThan(3);
    expect(await digest()).toEqual([[model, begun]]);
  }, 120_000);
});
