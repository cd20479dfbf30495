/** The log of a server command: lines for people on a terminal, JSON elsewhere. */
import type { Log } from '../../telemetry/log.ts';
import { createLog } from '../../telemetry/log.ts';

export function commandLog(name: string, level: string): Log {
  return createLog({ name, level, pretty: Boolean(process.stderr.isTTY) });
}
