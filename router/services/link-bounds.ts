/**
 * The bounds of what a node may say of itself, as stated in proto/infermesh/v1/link.proto. What it says goes into logs,
 * spans, keys and other people's screens, so a node out of bounds is refused; figures are clamped instead, in
 * fleet/claims.ts.
 */
import { MODEL_NAME, NODE_ID, NODE_ID_BOUND } from '../../proto/contract/bounds.ts';
import type { Violation } from '../../proto/contract/faults.ts';
import { invalid } from '../../proto/contract/faults.ts';
import { MOST_CACHED_PREFIXES } from '../../proto/contract/prefix.ts';
import type { Hello, Report } from '../../proto/gen/infermesh/v1/link.ts';
import type { Hardware, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';

/** Of weights or a tokenizer, by whatever its engine reckons: a name, and never a place. */
const DIGEST = /^(?:[A-Za-z0-9][A-Za-z0-9._:-]{0,127})?$/;
const DIGEST_BOUND = 'up to 128 letters, digits and ._:-';
const LABEL_NAME = /^[A-Za-z0-9._/-]{1,64}$/;
const MAX_MODELS = 256;
const MAX_LOADS = 256;
const MAX_CACHES = 256;
const MAX_LABELS = 64;
const MAX_LABEL_BYTES = 256;
const MAX_CPU_FEATURES = 256;
const MAX_GPUS = 64;
const MAX_TASKS = 32;
const MAX_STEPS = 16;
const SIGNATURE_BYTES = 64;
/** Of names, versions, places and the like. */
const SHORT_BYTES = 128;
/** Of what a maker calls its processor or accelerator. */
const LONG_BYTES = 256;

/** @throws Fault INVALID_REQUEST */
export function checkNodeId(nodeId: string): void {
  if (NODE_ID.test(nodeId)) return;
  throw invalid([{ field: 'node_id', description: `must be ${NODE_ID_BOUND}, received ${nodeId.length} characters` }]);
}

/** @throws Fault INVALID_REQUEST with every violation */
export function checkHello({ nodeId, version, zone, labels, hardware, signature }: Hello): void {
  const found = new Violations('hello');
  found.name('node_id', nodeId, NODE_ID, NODE_ID_BOUND);
  found.count('signature', signature?.length ?? 0, SIGNATURE_BYTES);
  found.text('version', version, SHORT_BYTES);
  found.text('zone', zone, SHORT_BYTES);
  const names = Object.keys(labels);
  if (found.count('labels', names.length, MAX_LABELS)) {
    names.forEach((name, i) => {
      found.name(`labels[${i}].key`, name, LABEL_NAME, 'up to 64 letters, digits and ._-/');
      found.text(`labels[${i}].value`, labels[name] as string, MAX_LABEL_BYTES);
    });
  }
  if (hardware) checkHardware(found, hardware);
  found.refuse();
}

function checkHardware(found: Violations, { cpuModel, cpuFeatures, gpus, os, arch }: Hardware): void {
  found.text('hardware.cpu_model', cpuModel, LONG_BYTES);
  found.texts('hardware.cpu_features', cpuFeatures, MAX_CPU_FEATURES, SHORT_BYTES);
  found.text('hardware.os', os, SHORT_BYTES);
  found.text('hardware.arch', arch, SHORT_BYTES);
  if (!found.count('hardware.gpus', gpus.length, MAX_GPUS)) return;
  gpus.forEach(({ name, backend }, i) => {
    found.text(`hardware.gpus[${i}].name`, name, LONG_BYTES);
    found.text(`hardware.gpus[${i}].backend`, backend, SHORT_BYTES);
  });
}

/** @throws Fault INVALID_REQUEST with every violation */
export function checkModels(models: readonly ServedModel[]): void {
  const found = new Violations('inventory');
  if (found.count('models', models.length, MAX_MODELS)) {
    models.forEach((model, i) => {
      checkModel(found, `models[${i}]`, model);
    });
  }
  found.refuse();
}

function checkModel(found: Violations, at: string, model: ServedModel): void {
  found.name(`${at}.name`, model.name, MODEL_NAME, 'up to 128 letters, digits and ._:-');
  found.name(`${at}.digest`, model.digest, DIGEST, DIGEST_BOUND);
  found.text(`${at}.engine`, model.engine, SHORT_BYTES);
  found.text(`${at}.engine_version`, model.engineVersion, SHORT_BYTES);
  found.text(`${at}.quantization`, model.quantization, SHORT_BYTES);
  found.name(`${at}.tokenizer_digest`, model.tokenizerDigest, DIGEST, DIGEST_BOUND);
  found.text(`${at}.licence`, model.licence, SHORT_BYTES);
  found.texts(`${at}.tasks`, model.tasks, MAX_TASKS, SHORT_BYTES);
}

/** @throws Fault INVALID_REQUEST with every violation */
export function checkReport({ loads, cachedPrefixes, gpus, pressure }: Report): void {
  const found = new Violations('report');
  found.count('loads', loads.length, MAX_LOADS);
  found.count('gpus', gpus.length, MAX_GPUS);
  found.texts('pressure.steps', pressure?.steps ?? [], MAX_STEPS, SHORT_BYTES);
  if (found.count('cached_prefixes', cachedPrefixes.length, MAX_CACHES)) {
    cachedPrefixes.forEach(({ hashes }, i) => {
      found.count(`cached_prefixes[${i}].hashes`, hashes.length, MOST_CACHED_PREFIXES);
    });
  }
  found.refuse();
}

/** A frame with very many is told of the first. */
const MAX_VIOLATIONS = 16;

class Violations {
  readonly #frame: string;
  readonly #all: Violation[] = [];

  constructor(frame: string) {
    this.#frame = frame;
  }

  name(field: string, value: string, form: RegExp, bound: string): void {
    if (!form.test(value)) this.#add(field, `must be ${bound}, received ${value.length} characters`);
  }

  text(field: string, value: string, bytes: number): void {
    const received = Buffer.byteLength(value);
    if (received > bytes) this.#add(field, `must be of up to ${bytes} bytes, received ${received}`);
  }

  /** @returns whether it is within the bound */
  count(field: string, received: number, most: number): boolean {
    if (received > most) this.#add(field, `must be at most ${most}, received ${received}`);
    return received <= most;
  }

  texts(field: string, values: readonly string[], most: number, bytes: number): void {
    if (!this.count(field, values.length, most)) return;
    values.forEach((value, i) => {
      this.text(`${field}[${i}]`, value, bytes);
    });
  }

  refuse(): void {
    if (this.#all.length > 0) throw invalid(this.#all);
  }

  #add(field: string, description: string): void {
    if (this.#all.length < MAX_VIOLATIONS) this.#all.push({ field: `${this.#frame}.${field}`, description });
  }
}
