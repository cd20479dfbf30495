/** infermesh doctor */
import type { Command } from 'commander';
import { detectHardware, engineReport, openModelStore } from '../../nodes/index.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { addConnectionFlags, connectionSettings } from '../connection.ts';
import type { Finding } from '../doctor/finding.ts';
import { machineFindings } from '../doctor/machine.ts';
import { modelsFinding, roomFinding } from '../doctor/models.ts';
import { redisFinding, routerFinding } from '../doctor/network.ts';
import { engineFindings, nodeFinding, ollamaFinding, registryFinding, tracingFinding, vllmFinding } from '../doctor/software.ts';
import { harmless, style } from '../output/terminal.ts';

const EXAMPLES = `
Examples:
  infermesh doctor
  infermesh doctor --json | jq '.findings[] | select(.status != "ok")'

The exit code is 0 unless something is missing without which nothing runs.
`;

export function define(command: Command): void {
  addConnectionFlags(command).addHelpText('after', EXAMPLES);
  action(command, doctor);
}

async function doctor({ command, terminal }: Context): Promise<void> {
  const { router } = connectionSettings(command);
  const store = openModelStore();
  const groups = await Promise.all([
    detectHardware().then(machineFindings),
    nodeFinding(),
    engineReport().then(engineFindings),
    modelsFinding(store),
    roomFinding(store),
    Promise.all(router.map(routerFinding)),
    registryFinding(),
    ollamaFinding(),
    vllmFinding(),
    redisFinding(),
    tracingFinding(),
  ]);
  const findings = groups.flat();
  const healthy = findings.every(({ status, essential }) => status === 'ok' || !essential);
  if (terminal.json) terminal.object({ healthy, findings });
  else for (const finding of findings) terminal.line(shown(finding));
  if (!terminal.json)
    terminal.line(healthy ? '\nThis machine can run a mesh: infermesh up' : '\nThis machine cannot run a mesh yet');
  process.exitCode = healthy ? 0 : 1;
}

function shown({ name, status, detail, advice, essential }: Finding): string {
  const colour = status === 'ok' ? 'green' : status === 'warn' || !essential ? 'yellow' : 'red';
  const line = `  ${style(colour, status.padEnd(7))}  ${name.padEnd(9)}  ${harmless(detail)}`;
  return advice ? `${line}\n${' '.repeat(22)}${style('dim', harmless(advice))}` : line;
}
