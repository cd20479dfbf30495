/** A process with an engine, made to be killed: tells the pid of the engine's child and stays. */
import { ChildEngine } from '../../../nodes/engine/child-engine.ts';
import { loadOptions } from '../../contract/jobs.ts';

const engine = new ChildEngine('replay', loadOptions({ path: 'replay:' }));
await engine.start();
process.send?.(engine.pid);
