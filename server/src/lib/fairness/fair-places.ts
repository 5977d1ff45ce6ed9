/** Whose place it is; the key is null where nobody knows it any more. */
export type Holder = { organizationId: string; keyId: string | null }
/** What is in the way of one more place: all are taken, or as many as the organization or the key may have. */
export type Obstacle = { limit: 'all' | 'organization' | 'key'; most: number }
export type FairPlaces = ReturnType<typeof createFairPlaces>

/**
 * Counts places that are held for a while: at most `perKey` of one API key, and `inAll`. Where there is more than one
 * organization, none can hold them all: once half of them are taken, one that has its share, an equal part for each that
 * holds some and one for who may come, gets no more. `isShared` says whether there are others, who need not have come yet.
 */
export function createFairPlaces(options: { perKey: number; inAll: number; isShared?: () => boolean }) {
  const { perKey, inAll, isShared = () => false } = options
  const ofOrganization = new Map<string, number>()
  const ofKey = new Map<string, number>()
  let taken = 0

  function share(organizationId: string): number {
    const others = ofOrganization.size - (ofOrganization.has(organizationId) ? 1 : 0)
    return Math.max(1, Math.floor(inAll / (others + 2)))
  }

  function obstacle({ organizationId, keyId }: Holder): Obstacle | null {
    if (taken >= inAll) return { limit: 'all', most: inAll }
    if (keyId !== null && (ofKey.get(keyId) ?? 0) >= perKey) return { limit: 'key', most: perKey }
    const most = share(organizationId)
    const isOver = isShared() && taken * 2 >= inAll && (ofOrganization.get(organizationId) ?? 0) >= most
    return isOver ? { limit: 'organization', most } : null
  }

  return {
    obstacle,

    /** Takes a place even if there is none, and gives the function that gives it back. */
    occupy({ organizationId, keyId }: Holder): () => void {
      const change = (by: 1 | -1) => {
        taken += by
        add(ofOrganization, organizationId, by)
        if (keyId !== null) add(ofKey, keyId, by)
      }
      let isBack = false
      change(1)
      return () => {
        if (!isBack) change(-1)
        isBack = true
      }
    },

    /** How many places are taken. */
    count: (): number => taken,
  }
}

function add(counts: Map<string, number>, name: string, by: number): void {
  const after = (counts.get(name) ?? 0) + by
  if (after === 0) counts.delete(name)
  else counts.set(name, after)
}
