import { describe, expect, it } from 'vitest';
import type { Fault } from '../../proto/contract/faults.ts';
import { Hello, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { checkHello, checkModels, checkReport } from '../../router/services/link-bounds.ts';

const x = (length: number) => 'x'.repeat(length);
const many = <T>(length: number, one: T) => Array.from({ length }, () => one);

function violations(check: () => void) {
  try {
    check();
  } catch (thrown) {
    expect(thrown).toMatchObject({ reason: 'INVALID_REQUEST' });
    return (thrown as Fault).violations;
  }
  return [];
}

type HelloFields = Parameters<typeof Hello.fromPartial>[0];
const hello = (more: HelloFields) => violations(() => checkHello(Hello.fromPartial({ nodeId: 'n', ...more })));
const gpu = (name: string, backend = 'cuda') => ({ name, backend });

describe('a hello', () => {
  it.each<[string, HelloFields, HelloFields, string]>([
    ['hello.version', { version: x(128) }, { version: x(129) }, 'must be of up to 128 bytes, received 129'],
    ['hello.zone', { zone: x(128) }, { zone: 'é'.repeat(65) }, 'must be of up to 128 bytes, received 130'],
    [
      'hello.labels',
      { labels: Object.fromEntries(many(64, 0).map((_, i) => [`l${i}`, ''])) },
      { labels: Object.fromEntries(many(65, 0).map((_, i) => [`l${i}`, ''])) },
      'must be at most 64, received 65',
    ],
    [
      'hello.labels[0].key',
      { labels: { 'a/b.c-d_9': '' } },
      { labels: { 'a b': '' } },
      'must be up to 64 letters, digits and ._-/, received 3 characters',
    ],
    ['hello.labels[0].value', { labels: { a: x(256) } }, { labels: { a: x(257) } }, 'must be of up to 256 bytes, received 257'],
    [
      'hello.hardware.cpu_model',
      { hardware: { cpuModel: x(256) } },
      { hardware: { cpuModel: x(257) } },
      'must be of up to 256 bytes, received 257',
    ],
    [
      'hello.hardware.cpu_features',
      { hardware: { cpuFeatures: many(256, 'avx2') } },
      { hardware: { cpuFeatures: many(257, 'avx2') } },
      'must be at most 256, received 257',
    ],
    [
      'hello.hardware.cpu_features[0]',
      { hardware: { cpuFeatures: [x(128)] } },
      { hardware: { cpuFeatures: [x(129)] } },
      'must be of up to 128 bytes, received 129',
    ],
    [
      'hello.hardware.gpus',
      { hardware: { gpus: many(64, gpu('g')) } },
      { hardware: { gpus: many(65, gpu('g')) } },
      'must be at most 64, received 65',
    ],
    [
      'hello.hardware.gpus[1].name',
      { hardware: { gpus: [gpu('g'), gpu(x(256))] } },
      { hardware: { gpus: [gpu('g'), gpu(x(257))] } },
      'must be of up to 256 bytes, received 257',
    ],
    [
      'hello.hardware.gpus[0].backend',
      { hardware: { gpus: [gpu('g', x(128))] } },
      { hardware: { gpus: [gpu('g', x(129))] } },
      'must be of up to 128 bytes, received 129',
    ],
    ['hello.hardware.os', { hardware: { os: x(128) } }, { hardware: { os: x(129) } }, 'must be of up to 128 bytes, received 129'],
    [
      'hello.hardware.arch',
      { hardware: { arch: x(128) } },
      { hardware: { arch: x(129) } },
      'must be of up to 128 bytes, received 129',
    ],
  ])('is refused beyond the bound of %s', (field, within, beyond, description) => {
    expect(hello(within)).toEqual([]);
    expect(hello(beyond)).toEqual([{ field, description }]);
  });
});

describe('an inventory', () => {
  const of = (more: Partial<ServedModel>) => violations(() => checkModels([ServedModel.fromPartial({ name: 'm', ...more })]));

  it.each([
    ['engine', 'engine'],
    ['engineVersion', 'engine_version'],
    ['quantization', 'quantization'],
    ['licence', 'licence'],
  ] as const)('is refused beyond the bound of %s', (key, field) => {
    expect(of({ [key]: x(128) })).toEqual([]);
    const description = 'must be of up to 128 bytes, received 129';
    expect(of({ [key]: x(129) })).toEqual([{ field: `inventory.models[0].${field}`, description }]);
  });

  it.each([
    ['digest', 'digest'],
    ['tokenizerDigest', 'tokenizer_digest'],
  ] as const)('is refused with a %s that is no name', (key, field) => {
    for (const fine of ['', 'sha256:ab', x(128)]) expect(of({ [key]: fine })).toEqual([]);
    for (const wrong of ['../weights', '/etc/passwd', 'https://a.example/b', 'a b', 'a\nb', '..', x(129)]) {
      const description = `must be up to 128 letters, digits and ._:-, received ${wrong.length} characters`;
      expect(of({ [key]: wrong })).toEqual([{ field: `inventory.models[0].${field}`, description }]);
    }
  });

  it('is refused with too many tasks, too long ones, or too many models', () => {
    expect(of({ tasks: many(32, 'chat') })).toEqual([]);
    expect(of({ tasks: many(33, 'chat') })[0]?.description).toBe('must be at most 32, received 33');
    expect(of({ tasks: ['chat', x(129)] })[0]?.field).toBe('inventory.models[0].tasks[1]');
    const model = ServedModel.fromPartial({ name: 'm' });
    expect(violations(() => checkModels(many(256, model)))).toEqual([]);
    const description = 'must be at most 256, received 257';
    expect(violations(() => checkModels(many(257, model)))).toEqual([{ field: 'inventory.models', description }]);
  });

  it('with very many faults is told of the first sixteen', () => {
    expect(violations(() => checkModels(many(200, ServedModel.fromPartial({ name: '../x' }))))).toHaveLength(16);
  });
});

describe('a report', () => {
  it('is refused with too many loads', () => {
    const of = (count: number) => violations(() => checkReport(Report.fromPartial({ loads: many(count, { model: 'm' }) })));
    expect(of(256)).toEqual([]);
    expect(of(257)).toEqual([{ field: 'report.loads', description: 'must be at most 256, received 257' }]);
  });

  it('is refused with too many GPUs, or steps against pressure that are too many or too long', () => {
    type Fields = Parameters<typeof Report.fromPartial>[0];
    const of = (more: Fields) => violations(() => checkReport(Report.fromPartial(more)));
    expect(of({ gpus: many(64, {}), pressure: { steps: many(16, x(128)) } })).toEqual([]);
    expect(of({ gpus: many(65, {}) })).toMatchObject([{ field: 'report.gpus' }]);
    expect(of({ pressure: { steps: many(17, 'shed') } })).toMatchObject([{ field: 'report.pressure.steps' }]);
    expect(of({ pressure: { steps: [x(129)] } })).toMatchObject([{ field: 'report.pressure.steps[0]' }]);
  });

  it('is refused with too many cached prefixes', () => {
    const of = (models: number, hashes: number) =>
      violations(() =>
        checkReport(Report.fromPartial({ cachedPrefixes: many(models, { model: 'm', hashes: many(hashes, 1) }) })),
      );
    expect(of(256, 1)).toEqual([]);
    expect(of(1, 4096)).toEqual([]);
    expect(of(257, 0)).toEqual([{ field: 'report.cached_prefixes', description: 'must be at most 256, received 257' }]);
    expect(of(1, 4097)).toEqual([
      { field: 'report.cached_prefixes[0].hashes', description: 'must be at most 4096, received 4097' },
    ]);
  });
});
