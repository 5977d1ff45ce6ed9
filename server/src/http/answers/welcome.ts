import { createHash } from 'node:crypto'
import type { FastifyPluginAsync } from 'fastify'
import { AppError } from '../../errors.ts'

const STYLE = `
:root { color-scheme: light dark; font: 17px/1.6 system-ui, sans-serif }
body { margin: 12vh auto 4rem; max-width: 36rem; padding: 0 1.25rem }
h1 { font: 600 2.4rem/1.2 Georgia, serif; margin: 0 0 .5rem }
ul { padding-left: 1.2rem }
a { color: light-dark(#0b57d0, #8ab4f8) }
code { background: light-dark(#f1f3f4, #303134); border-radius: .25rem; padding: .1rem .35rem; white-space: nowrap }
`

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Dramatis</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Dramatis</h1>
<p>This is a server for AI personas. It is talked to over HTTP, with an API key in the header <code>x-hl-api-key</code>.</p>
<ul>
<li><a href="docs">What it can do</a>: every operation, to read and to try</li>
<li><a href="openapi.json">The same as an OpenAPI document</a></li>
<li><a href="readyz">Whether it takes requests</a></li>
</ul>
<p>The start has printed a command to paste. The key is that of <code>DRAMATIS_API_KEY</code>, or the one that the first start
has printed. Another one: <code>npx dramatis keys create 'my key'</code>.
In a terminal: <code>npx dramatis chat</code>.</p>
</main>
</body>
</html>
`

const POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** `/` for people: whoever opens the printed address in a browser learns what this is. Programs get what they got before. */
export function welcomeRoute(): FastifyPluginAsync {
  return async (app) => {
    app.get('/', { config: { isPublic: true }, schema: { hide: true } as object }, async (request, reply) => {
      if (!/\btext\/html\b/.test(request.headers.accept ?? '')) {
        const key = request.headers['x-hl-api-key'] ?? request.headers.authorization
        if (key !== undefined) throw new AppError('not_found', 'there is no GET /')
        throw new AppError('unauthorized', 'send your API key in the header x-hl-api-key, or as a Bearer token')
      }
      return reply.header('content-security-policy', POLICY).type('text/html; charset=utf-8').send(PAGE)
    })
  }
}
