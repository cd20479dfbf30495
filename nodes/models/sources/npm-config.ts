/** npm's own configuration, so that the registry, proxy, certificates and logins of this machine are honoured. */
import { accessSync, realpathSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import Config from '@npmcli/config';
import lists from '@npmcli/config/lib/definitions/index.js';

export type NpmOptions = Readonly<Record<string, unknown>>;

/** The host that npm means by `replace-registry-host=npmjs`: the one of its own default registry. */
export const DEFAULT_REGISTRY_HOST = new URL(lists.definitions.registry.default).hostname;

/** Reads .npmrc of the project, user, machine and npm itself, and npm_config_* of the environment. */
export async function loadNpmOptions(env: NodeJS.ProcessEnv = process.env): Promise<NpmOptions> {
  const npm = findNpm(env);
  const config = new Config({
    ...lists,
    npmPath: npm.folder,
    execPath: npm.node,
    argv: [npm.node, 'infermesh'], // Our flags are not npm's.
    env: { ...env }, // Loading writes to it.
    cwd: process.cwd(),
  });
  await config.load();
  return config.flat;
}

/**
 * The machine-wide settings lie beside npm and the node that npm runs on, and that is not our node.
 * Without npm on the machine these two kinds of settings don't exist either.
 */
function findNpm(env: NodeJS.ProcessEnv): { readonly folder: string; readonly node: string } {
  const running = env.npm_execpath;
  if (running !== undefined && /^np[mx]-cli\.c?js$/.test(basename(running))) {
    return { folder: dirname(dirname(running)), node: env.npm_node_execpath ?? process.execPath };
  }
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    const command = join(folder, 'npm');
    try {
      accessSync(command);
      return { folder: dirname(dirname(realpathSync(command))), node: join(folder, 'node') };
    } catch {
      // Not here; the next folder of the path.
    }
  }
  return { folder: dirname(process.execPath), node: process.execPath };
}
