/*
 * The rooms of `server/src` and their order. The test of the architecture holds the imports against it, and the picture
 * of ARCHITECTURE.md is drawn from it.
 */

/** Ways to do things that know no feature. */
export const MECHANISMS = ['http', 'net', 'storage', 'models', 'blobs', 'schema-checks']
/** What everybody may use. */
export const BASE = ['lib', 'errors']
/** In their order: none reaches back. */
export const FEATURES = [
  'idempotency',
  'organizations',
  'api-keys',
  'secrets',
  'tools',
  'personas',
  'feedback',
  'unclaimed-blobs',
  'attachments',
  'conversations',
  'turns',
  'model-list',
  'archive',
  'privacy',
]
/** What puts the rest together and starts it. */
export const TOP = [
  'services',
  'main',
  'serve',
  'listen-error',
  'cli',
  'app',
  'api-examples',
  'bootstrap',
  'banner',
  'config',
  'compile-cache',
]

/** Which rooms each room may enter, besides itself. */
export const MAY_ENTER: Record<string, string[]> = {
  lib: [],
  errors: ['lib'],
  ...Object.fromEntries(MECHANISMS.map((room) => [room, BASE])),
  models: [...BASE, 'net'],
  ...Object.fromEntries(FEATURES.map((room, i) => [room, [...BASE, ...MECHANISMS, ...FEATURES.slice(0, i)]])),
  config: [...BASE, 'http', 'models', 'storage', 'blobs', 'net'],
  ...Object.fromEntries(
    TOP.filter((room) => room !== 'config').map((room) => [room, [...BASE, ...MECHANISMS, ...FEATURES, ...TOP]]),
  ),
}

/** The rooms within a room, and files that stand between them, in their order: each may enter those before it. */
export const INSIDE: Record<string, string[]> = {
  'features/turns': [
    'run',
    'reply',
    'context',
    'limits',
    'turn',
    'accepting',
    'ending',
    'running',
    'recovering',
    'afterwards',
    'run-service',
    'run-stopper',
    'turn-service',
    'routes',
    'turns',
  ],
  'features/conversations': ['conversation', 'message-pieces', 'for-archive', 'for-turns', 'for-export'],
  'features/tools': ['tool-settings', 'check-tools', 'hiding', 'outgoing', 'http-tool', 'mcp', 'toolbox'],
  'features/attachments': ['attachment', 'checks', 'attachment-service'],
  models: [
    'hosted-providers',
    'dialects',
    'thinking',
    'refusals',
    'model',
    'errors',
    'replies',
    'chat-completions',
    'local',
    'ai-sdk',
    'providers',
    'calling',
  ],
  storage: ['database', 'migrations', 'sqlite', 'postgres', 'open-database'],
  http: ['answers', 'connections', 'limits', 'requests', 'openapi', 'errors', 'server'],
  lib: ['text', 'process', 'fairness'],
}
