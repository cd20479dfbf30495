/** What a node can say of its model before the engine has loaded it. Pure. */
import type { ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import type { ModelSpec, ServerSpec } from './backends/backend.ts';
import { servedModel } from './backends/served.ts';
import type { ModelSettings } from './model-settings.ts';

interface Known extends Pick<ModelSettings, 'engine' | 'slots' | 'watts'> {
  readonly server?: ServerSpec | undefined;
}

/**
 * @returns the model with everything that is known from the catalogue and the settings; what the engine measures or
 *   tells is 0 or empty, and its context may turn out shorter
 */
export function expectedModel(model: ModelSpec, { engine, ...known }: Known): ServedModel {
  return servedModel(
    { model, ...known },
    {
      engine,
      // Who asks for something is to hear that the model is not ready, rather than that it can't.
      structuredOutput: engine !== 'replay',
      resumes: true,
      resumesStructured: engine !== 'replay',
    },
  );
}
