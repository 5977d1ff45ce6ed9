import { expect, test } from 'vitest'
import { readConfig } from '../../server/src/config/config.ts'
import {
  CreateConversationRequest,
  CreatePersonaConversationRequest,
  MAX_MESSAGE_LENGTH,
  SetConversationScoreRequest,
  SetMessageScoreRequest,
  SetNameRequest,
  SetStatusRequest,
} from '../../server/src/features/conversations/conversation-schemas.ts'
import { toListRequest } from '../../server/src/features/conversations/list-wire.ts'
import { MOST_FEEDBACK } from '../../server/src/features/feedback/feedback-queries.ts'
import {
  CreatePersonaRequest,
  CreatePersonaVersionRequest,
  UpdatePersonaRequest,
  UpdatePersonaVersionRequest,
} from '../../server/src/features/personas/persona-schemas.ts'
import { MAX_RENDERED_LENGTH } from '../../server/src/features/personas/template.ts'
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE } from '../../server/src/http/answers/pagination.ts'
import { PAGE_BYTES } from '../../server/src/http/answers/pieces.ts'
import { parseBody } from '../../server/src/http/requests/bodies.ts'
import { checkMetadata, checkReplacements } from '../../server/src/http/requests/fields.ts'
import { MOST_DETAILS } from '../../server/src/http/requests/validation.ts'
import { DEFAULT_TIMEOUTS } from '../../server/src/models/settings.ts'
import { rowsOf, section, textOf } from '../support/pages.ts'

type Bounds = { maxLength?: number; maxItems?: number; items?: Bounds; properties?: Record<string, Bounds> }
const boundsOf = (schema: unknown): Bounds => schema as Bounds
const lengthOf = (schema: unknown) => boundsOf(schema).maxLength

/** The one limit that all of these have. */
function same(...limits: (number | undefined)[]): number {
  expect(new Set(limits).size).toBe(1)
  return limits[0] as number
}

/** The largest number that `accept` takes without throwing. */
function largest(accept: (n: number) => unknown): number {
  let low = 0
  let high = 1
  const isTaken = (n: number) => {
    try {
      accept(n)
      return true
    } catch {
      return false
    }
  }
  while (isTaken(high)) high *= 2
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (isTaken(middle)) low = middle
    else high = middle
  }
  return low
}

const nested = (depth: number) => `${'{"a":'.repeat(depth - 1)}{}${'}'.repeat(depth - 1)}`
/** An object that is `n` bytes long as JSON. */
const ofBytes = (n: number) => ({ a: 'x'.repeat(Math.max(0, n - '{"a":""}'.length)) })

test('the limits are those of the code', () => {
  const create = CreatePersonaRequest.properties
  const update = UpdatePersonaRequest.properties
  const createVersion = CreatePersonaVersionRequest.properties
  const updateVersion = UpdatePersonaVersionRequest.properties
  const withPersona = CreatePersonaConversationRequest.properties
  const general = CreateConversationRequest.properties
  const feedback = SetMessageScoreRequest.properties
  const message = boundsOf(general.messages).items?.properties ?? {}
  const texts = [create, update, createVersion, updateVersion].map(({ personaText }) => lengthOf(personaText))
  const expected: Record<string, number> = {
    'Body of a request (`DRAMATIS_BODY_LIMIT`)': readConfig({}).config.bodyLimit,
    'Depth of a body': largest((n) => parseBody(Buffer.from(nested(n)))),
    '`message`': same(MAX_MESSAGE_LENGTH, lengthOf(withPersona.message), lengthOf(general.message)),
    '`personaText`, `systemMessage`': same(...texts, lengthOf(general.systemMessage)),
    '`personaGreeting` of a persona': same(lengthOf(create.personaGreeting), lengthOf(update.personaGreeting)),
    '`personaGreeting` of a version that is added': same(
      lengthOf(createVersion.personaGreeting),
      lengthOf(updateVersion.personaGreeting),
    ),
    'A rendered template': MAX_RENDERED_LENGTH,
    '`replacements`': largest((n) => checkReplacements(ofBytes(n))),
    Metadata: largest((n) => checkMetadata('metadata', ofBytes(n))),
    'Depth of metadata': largest((n) => checkMetadata('metadata', JSON.parse(nested(n)))),
    '`personaName`': same(lengthOf(create.personaName), lengthOf(update.personaName)),
    '`personaDescription`': same(lengthOf(create.personaDescription), lengthOf(update.personaDescription)),
    '`personaTags`, `imageUrl`': same(
      ...[create, update].flatMap(({ personaTags, imageUrl }) => [lengthOf(personaTags), lengthOf(imageUrl)]),
    ),
    '`model` of a new persona': lengthOf(create.model) ?? 0,
    '`model` elsewhere': same(...[update, createVersion, updateVersion, general].map(({ model }) => lengthOf(model))),
    '`dataspaceIds`': same(
      ...[create, update, createVersion, updateVersion, general].map((one) => boundsOf(one.dataspaceIds).maxItems),
    ),
    '`messages` of a new conversation': boundsOf(general.messages).maxItems ?? 0,
    '`content` of one of them': lengthOf(message['content']) ?? 0,
    '`name`, `toolCallId` of one of them': same(lengthOf(message['name']), lengthOf(message['toolCallId'])),
    '`externalUserId`': same(lengthOf(withPersona.externalUserId), lengthOf(general.externalUserId)),
    '`conversationName`': lengthOf(SetNameRequest.properties.conversationName) ?? 0,
    '`conversationStatus`': lengthOf(SetStatusRequest.properties.conversationStatus) ?? 0,
    '`comments`, `scoreText`': same(
      lengthOf(feedback.comments),
      lengthOf(SetConversationScoreRequest.properties.scoreText),
    ),
    '`scoreTags`': lengthOf(SetConversationScoreRequest.properties.scoreTags) ?? 0,
    '`tags` of feedback': boundsOf(feedback.tags).maxItems ?? 0,
    'One tag of feedback': boundsOf(feedback.tags).items?.maxLength ?? 0,
    // Tried over the wire in keys.test.ts: its schema is not exported.
    '`name` of an API key': 100,
    'Page, unless `pageSize` says otherwise': DEFAULT_PAGE_SIZE,
    '`pageSize`': MAX_PAGE_SIZE,
    'Feedback on one message': MOST_FEEDBACK,
    'Page of a list, in bytes': PAGE_BYTES,
    'Fields that an error names': MOST_DETAILS,
    'Metadata filters of a list': largest((n) => {
      const filters = Array.from({ length: n }, (_, i) => [`metadata.k${i}`, 'x'])
      return toListRequest(Object.fromEntries(filters), { kind: 'all' }, null)
    }),
    'Time to the first token': DEFAULT_TIMEOUTS.firstTokenMs,
    'Time between tokens': DEFAULT_TIMEOUTS.betweenTokensMs,
    'Time for a whole turn': DEFAULT_TIMEOUTS.totalMs,
  }
  const rows = rowsOf(section(textOf('docs/contract.md'), '## 10. Limits'))
  const stated = rows.map(([what, limit]) => [what, Number(/^[\d,]+/.exec(limit ?? '')?.[0].replaceAll(',', ''))])
  expect(Object.fromEntries(stated)).toEqual(expected)
})
