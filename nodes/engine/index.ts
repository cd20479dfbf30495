/** Makes the engine that a node serves a model with. */
import type { LoadOptions } from '../backends/backend.ts';
import { endsItsProcess } from '../backends/replay-options.ts';
import type { ChildEngineDeps } from './child-engine.ts';
import { ChildEngine } from './child-engine.ts';
import type { Engine } from './engine.ts';
import { InProcessEngine } from './in-process.ts';
import type { BackendName } from './registry.ts';
import { makeBackend } from './registry.ts';
import { ServerEngine } from './server-engine.ts';

export type { Engine } from './engine.ts';
export type { BackendName } from './registry.ts';

export interface EngineDeps extends Partial<ChildEngineDeps> {
  /** Runs also a backend without native code in a child process, as crash tests want it. */
  readonly forceChild?: boolean;
  /** Is told what the operator should know of an engine in this process; never the user's text. */
  readonly warn?: (message: string) => void;
}

/** Their engines are servers that other people start and stop. */
const SERVED_OUTSIDE: ReadonlySet<BackendName> = new Set(['ollama', 'openai']);

/** Their native code may end its process, or keep it busy. */
const NATIVE: ReadonlySet<BackendName> = new Set(['llama-cpp', 'onnx']);

/**
 * The engine is not started yet. llama.cpp and ONNX Runtime run in a child process, replay in this one, unless it was told that a prompt
 * can end its process.
 */
export function createEngine(backend: BackendName, options: LoadOptions, deps: EngineDeps = {}): Engine {
  const { forceChild = false, warn, ...childDeps } = deps;
  const make = () => makeBackend(backend, options.model, warn);
  if (SERVED_OUTSIDE.has(backend)) return new ServerEngine(make, options, childDeps);
  const ownProcess = NATIVE.has(backend) || endsItsProcess(options.model.path);
  if (ownProcess || forceChild) return new ChildEngine(backend, options, childDeps);
  return new InProcessEngine(make, options);
}
