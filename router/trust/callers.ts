/** Who calls, by the credential alone: an API key or a certificate, and the tenant that it belongs to. */
import { Fault } from '../../proto/contract/faults.ts';
import type { CallContext } from '../../proto/transport/handlers.ts';
import { sameToken, tokenOf } from '../../proto/transport/join-token.ts';
import type { Tenants } from './tenants.ts';

type Shown = Pick<CallContext, 'metadata' | 'certificateNames'>;

export interface CallersParts {
  /** Undefined where there is no such file, and everybody is the one tenant without a name. */
  readonly tenants: () => Tenants | undefined;
  /** The router's own token, whose holder is its admin. */
  readonly token: string;
  /** Whether AdminService is for admins only; else for everybody who reaches the router. */
  readonly guarded: boolean;
}

export class Callers {
  readonly #parts: CallersParts;

  constructor(parts: CallersParts) {
    this.#parts = parts;
  }

  /** Undefined: the tenant without a name. @throws Fault UNAUTHENTICATED or FORBIDDEN */
  tenantOf(shown: Shown): string | undefined {
    const tenants = this.#parts.tenants();
    if (!tenants) return undefined;
    const found = this.#find(tenants, shown);
    if (found) return found.id;
    const key = keyIn(shown);
    if (key === undefined) throw new Fault('UNAUTHENTICATED', 'no API key came: send the metadata authorization: Bearer KEY');
    if (this.#isOwn(key)) throw new Fault('FORBIDDEN', "the router's own token is for its administration, and of no tenant");
    throw new Fault('UNAUTHENTICATED', 'the API key is not known here');
  }

  /** For what is told of a request before it is let in, or refused. */
  knownTenant(shown: Shown): string | undefined {
    const tenants = this.#parts.tenants();
    return tenants && this.#find(tenants, shown)?.id;
  }

  /** What reads the state of the mesh. @throws Fault UNAUTHENTICATED or FORBIDDEN */
  checkReader(shown: Shown): void {
    if (this.#parts.guarded) this.checkAdmin(shown);
  }

  /** What lets others in, also where everybody may read. @throws Fault UNAUTHENTICATED or FORBIDDEN */
  checkAdmin(shown: Shown): void {
    const key = keyIn(shown);
    if (key !== undefined && this.#isOwn(key)) return;
    const tenants = this.#parts.tenants();
    if (tenants && this.#find(tenants, shown)?.admin) return;
    // Who is known, or shows nothing where nothing is known to anybody, is told the same.
    if (tenants) this.tenantOf(shown);
    throw new Fault('FORBIDDEN', "this is for admins: send the router's own token, or the key of a tenant whose role is admin");
  }

  /** A key that came counts alone: one that is wrong is not mended by a certificate. */
  #find(tenants: Tenants, shown: Shown) {
    const key = keyIn(shown);
    return key === undefined ? tenants.ofCertificate(shown.certificateNames()) : tenants.ofKey(key);
  }

  #isOwn(key: string): boolean {
    return sameToken(key, this.#parts.token);
  }
}

function keyIn(shown: Shown): string | undefined {
  return tokenOf(shown.metadata('authorization'));
}
