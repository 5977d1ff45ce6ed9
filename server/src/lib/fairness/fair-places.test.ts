import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFairPlaces, type FairPlaces } from './fair-places.ts'

const of = (organizationId: string, keyId = `${organizationId} key`) => ({ organizationId, keyId })

/** Takes places until there is none for this one. */
function fill(places: FairPlaces, organizationId: string, keys = 100): (() => void)[] {
  const taken: (() => void)[] = []
  for (let n = 0; ; n++) {
    const holder = of(organizationId, `${organizationId} ${n % keys}`)
    if (places.obstacle(holder)) return taken
    taken.push(places.occupy(holder))
  }
}

test('whoever is alone may have them all', () => {
  const places = createFairPlaces({ perKey: 100, inAll: 20 })
  expect(fill(places, 'a')).toHaveLength(20)
  expect(places.obstacle(of('a'))).toEqual({ limit: 'all', most: 20 })
})

test('one of several leaves half for who may come, and those who come leave some too', () => {
  const places = createFairPlaces({ perKey: 100, inAll: 24, isShared: () => true })
  const taken = fill(places, 'a')
  expect(taken).toHaveLength(12)
  expect(places.obstacle(of('a'))).toEqual({ limit: 'organization', most: 12 })
  expect(fill(places, 'b')).toHaveLength(8)
  expect(fill(places, 'c').length).toBeGreaterThan(0)
  // Who has more than its share waits until it has less.
  taken.pop()?.()
  expect(places.obstacle(of('a'))).toMatchObject({ limit: 'organization' })
})

test('it may become known later that there are others', () => {
  let isShared = false
  const places = createFairPlaces({ perKey: 100, inAll: 20, isShared: () => isShared })
  const taken = Array.from({ length: 15 }, () => places.occupy(of('a')))
  expect(places.obstacle(of('a'))).toBeNull()
  isShared = true
  expect(places.obstacle(of('a'))).toEqual({ limit: 'organization', most: 10 })
  for (const leave of taken.splice(6)) leave()
  expect(places.obstacle(of('a'))).toBeNull()
})

test('a key has its own limit, and giving back twice gives back once', () => {
  const places = createFairPlaces({ perKey: 2, inAll: 20 })
  const [first] = fill(places, 'a', 1)
  expect(places.obstacle(of('a', 'a 0'))).toEqual({ limit: 'key', most: 2 })
  expect(places.obstacle(of('a', 'a 1'))).toBeNull()
  first?.()
  first?.()
  expect(places.count()).toBe(1)
})

test('whatever the others do, a newcomer finds a place while they go through the front door', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 4, max: 200 }),
      fc.array(fc.constantFrom('a', 'b'), { maxLength: 600 }),
      (inAll, come) => {
        const places = createFairPlaces({ perKey: 1_000, inAll, isShared: () => true })
        for (const organizationId of come) {
          if (!places.obstacle(of(organizationId))) places.occupy(of(organizationId))
        }
        expect(places.count()).toBeLessThanOrEqual(inAll)
        // One third and a half at most.
        if (inAll >= 6) expect(places.obstacle(of('c'))).toBeNull()
      },
    ),
  )
})
