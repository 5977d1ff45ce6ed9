import type { FastifyPluginAsync } from 'fastify'
import { AppError } from '../errors.ts'
import { Type } from '../lib/schema.ts'
import { answers, answersAs } from './schemas.ts'

export type SystemRoutesOptions = {
  /** What keeps the server from taking requests; null when nothing does. */
  findObstacle: () => Promise<string | null>
  metrics: { contentType: string; print: () => Promise<string> }
  metricsArePublic: boolean
}

const Status = Type.Object({ status: Type.String() })

/** `/healthz`, `/readyz` and `/metrics`: for the machines that look after this one. */
export function systemRoutes(options: SystemRoutesOptions): FastifyPluginAsync {
  return async (app) => {
    const tags = ['System']

    app.get(
      '/healthz',
      {
        config: { isPublic: true },
        logLevel: 'warn',
        schema: { tags, summary: 'Whether the process is alive', response: answers(Status) },
      },
      async () => ({ status: 'alive' }),
    )

    app.get(
      '/readyz',
      {
        config: { isPublic: true },
        logLevel: 'warn',
        schema: { tags, summary: 'Whether it takes requests', response: answers(Status, 'unavailable') },
      },
      async () => {
        const obstacle = await options.findObstacle()
        if (obstacle !== null) throw new AppError('unavailable', obstacle)
        return { status: 'ready' }
      },
    )

    app.get(
      '/metrics',
      {
        config: options.metricsArePublic ? { isPublic: true } : { scope: 'admin:read' },
        logLevel: 'warn',
        schema: {
          tags,
          summary: "Metrics in Prometheus' text format",
          response: answersAs<string>({ 'text/plain': Type.String() }),
        },
      },
      async (_request, reply) => reply.type(options.metrics.contentType).send(await options.metrics.print()),
    )
  }
}
