#!/usr/bin/env node
/**
 * The `infermesh` command: finds the Node.js that the project brings and runs main.ts with it. Plain JavaScript without
 * dependencies, because an older Node of the machine may be the one that reads this file.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const LEAST = [24, 15];
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const main = join(dirname(fileURLToPath(import.meta.url)), 'main.ts');
const node = findNode();

if (node === undefined) {
  process.stderr.write(
    `infermesh: needs Node.js ${LEAST.join('.')} or newer and found ${process.version}; run "npm ci" without --omit=optional, which brings it along\n`,
  );
  process.exitCode = 1;
} else if (process.argv[2] !== '--assert-node') {
  await start(node);
}

/** @returns the path of a Node that is new enough, or undefined */
function findNode() {
  if (isNewEnough(process.versions.node)) return process.execPath;
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/package.json`);
    const path = join(dirname(manifest), 'bin', 'node');
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > LEAST[0] || (major === LEAST[0] && minor >= LEAST[1]);
}

async function start(path) {
  if (path === process.execPath) {
    // main.ts reads the arguments after the script's name, which are the same.
    await import(pathToFileURL(main).href);
  } else if (typeof process.execve === 'function') {
    process.execve(path, [path, main, ...process.argv.slice(2)], process.env);
  } else {
    runAsChild(path);
  }
}

/**
 * The child ends as this process ends: signals are passed on, and should this process be killed, the child sees the
 * channel close. A Ctrl-C thus reaches the child twice, from the terminal and from here; it counts the two as one.
 */
function runAsChild(path) {
  const child = spawn(path, [main, ...process.argv.slice(2)], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`infermesh: cannot run ${path}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const forwarded of FORWARDED) process.removeAllListeners(forwarded);
    process.kill(process.pid, signal);
  });
}
